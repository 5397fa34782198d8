//! Conversions (PTX ISA, "cvt"): round to nearest even, overflow to infinity, NaN to 0x7FFF.

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
