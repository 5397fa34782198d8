//! Conversions (PTX ISA, "cvt"). To bf16 and f16: round to nearest even, overflow to infinity, NaN to 0x7FFF.

use core::arch::asm;

/// Executed by: any thread. Two bf16 in one register, `low` in bits 0..16.
#[inline(always)]
pub(crate) fn bf16x2(low: f32, high: f32) -> u32 {
    let packed: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("cvt.rn.bf16x2.f32 {packed}, {high}, {low};",
            packed = out(reg32) packed, high = in(reg32) high, low = in(reg32) low,
            options(pure, nomem, nostack));
    }
    packed
}

/// Executed by: any thread. Two f16 in one register, `low` in bits 0..16.
#[inline(always)]
pub(crate) fn f16x2(low: f32, high: f32) -> u32 {
    let packed: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("cvt.rn.f16x2.f32 {packed}, {high}, {low};",
            packed = out(reg32) packed, high = in(reg32) high, low = in(reg32) low,
            options(pure, nomem, nostack));
    }
    packed
}

/// Executed by: any thread. The two f16 of a register, bits 0..16 first.
#[inline(always)]
pub(crate) fn f32_from_f16x2(pair: u32) -> [f32; 2] {
    let (low, high): (f32, f32);
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{",
            ".reg .b16 l;",
            ".reg .b16 h;",
            "mov.b32 {{l, h}}, {pair};",
            "cvt.f32.f16 {low}, l;",
            "cvt.f32.f16 {high}, h;",
            "}}",
            low = out(reg32) low, high = out(reg32) high, pair = in(reg32) pair,
            options(pure, nomem, nostack)
        );
    }
    [low, high]
}

/// Executed by: any thread. Four e4m3 codes, the first in bits 0..8, as f16: codes 0 and 1, 2 and 3. Exact; NaN to 0x7FFF.
#[inline(always)]
pub(crate) fn f16x2_from_e4m3x4(codes: u32) -> [u32; 2] {
    let (low, high): (u32, u32);
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{",
            ".reg .b16 l;",
            ".reg .b16 h;",
            "mov.b32 {{l, h}}, {codes};",
            "cvt.rn.f16x2.e4m3x2 {low}, l;",
            "cvt.rn.f16x2.e4m3x2 {high}, h;",
            "}}",
            low = out(reg32) low, high = out(reg32) high, codes = in(reg32) codes,
            options(pure, nomem, nostack)
        );
    }
    [low, high]
}

/// Executed by: any thread. Four e4m3 codes, the first in bits 0..8: round to nearest even, saturate at 448, NaN to
/// 0x7F.
#[inline(always)]
pub(crate) fn e4m3x4([a, b, c, d]: [f32; 4]) -> u32 {
    let packed: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{",
            ".reg .b16 l;",
            ".reg .b16 h;",
            "cvt.rn.satfinite.e4m3x2.f32 l, {b}, {a};",
            "cvt.rn.satfinite.e4m3x2.f32 h, {d}, {c};",
            "mov.b32 {packed}, {{l, h}};",
            "}}",
            packed = out(reg32) packed, a = in(reg32) a, b = in(reg32) b, c = in(reg32) c,
            d = in(reg32) d, options(pure, nomem, nostack)
        );
    }
    packed
}

/// Executed by: any thread. The smallest power of two not below `value`, which is not negative, as an E8M0 byte;
/// sm_100 and newer.
#[inline(always)]
pub(crate) fn ue8m0_round_up(value: f32) -> u32 {
    let byte: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{",
            ".reg .b16 both;",
            "cvt.rp.satfinite.ue8m0x2.f32 both, {value}, {value};",
            "cvt.u32.u16 {byte}, both;",
            "}}",
            byte = out(reg32) byte, value = in(reg32) value, options(pure, nomem, nostack)
        );
    }
    byte & 0xFF
}
