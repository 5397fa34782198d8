//! Loads and stores (PTX ISA, "ld", "st", "red"), and the base of dynamic shared memory.

use super::Smem;
use core::arch::{asm, global_asm};

global_asm!(".extern .shared .align 1024 .b8 dynamic_smem[];");

/// Executed by: any thread. First byte of the CTA's dynamic shared memory, 1024-aligned.
#[inline(always)]
pub(crate) fn dynamic_smem() -> Smem {
    let address: u32;
    // SAFETY: reads a link-time constant.
    unsafe {
        asm!("mov.u32 {address}, dynamic_smem;", address = out(reg32) address,
            options(pure, nomem, nostack));
    }
    Smem(address)
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn load_shared_f32(address: Smem) -> f32 {
    let value: f32;
    // SAFETY: `address` is 4-aligned and initialised, by contract.
    unsafe {
        asm!("ld.shared.f32 {value}, [{address}];",
            value = out(reg32) value, address = in(reg32) address.0, options(nostack));
    }
    value
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn load_shared_f32x4(address: Smem) -> [f32; 4] {
    let (x, y, z, w): (f32, f32, f32, f32);
    // SAFETY: `address` is 16-aligned and initialised, by contract.
    unsafe {
        asm!("ld.shared.v4.f32 {{{x}, {y}, {z}, {w}}}, [{address}];",
            x = out(reg32) x, y = out(reg32) y, z = out(reg32) z, w = out(reg32) w,
            address = in(reg32) address.0, options(nostack));
    }
    [x, y, z, w]
}

/// Executed by: any thread. A byte.
#[inline(always)]
pub(crate) unsafe fn load_shared_u8(address: Smem) -> u32 {
    let value: u32;
    // SAFETY: `address` is initialised, by contract.
    unsafe {
        asm!("ld.shared.u8 {value}, [{address}];",
            value = out(reg32) value, address = in(reg32) address.0, options(nostack));
    }
    value
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn load_shared_u32(address: Smem) -> u32 {
    let value: u32;
    // SAFETY: `address` is 4-aligned and initialised, by contract.
    unsafe {
        asm!("ld.shared.u32 {value}, [{address}];",
            value = out(reg32) value, address = in(reg32) address.0, options(nostack));
    }
    value
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn load_shared_u32x4(address: Smem) -> [u32; 4] {
    let (x, y, z, w): (u32, u32, u32, u32);
    // SAFETY: `address` is 16-aligned and initialised, by contract.
    unsafe {
        asm!("ld.shared.v4.u32 {{{x}, {y}, {z}, {w}}}, [{address}];",
            x = out(reg32) x, y = out(reg32) y, z = out(reg32) z, w = out(reg32) w,
            address = in(reg32) address.0, options(nostack));
    }
    [x, y, z, w]
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn load_shared_u64(address: Smem) -> u64 {
    let value: u64;
    // SAFETY: `address` is 8-aligned and initialised, by contract.
    unsafe {
        asm!("ld.shared.u64 {value}, [{address}];",
            value = out(reg64) value, address = in(reg32) address.0, options(nostack));
    }
    value
}

/// Executed by: any thread. Stores if `wanted`.
#[inline(always)]
pub(crate) unsafe fn store_shared_u32_if(address: Smem, value: u32, wanted: bool) {
    // SAFETY: `address` is 4-aligned and, if wanted, the caller's to write, by contract.
    unsafe {
        asm!(
            "{{",
            ".reg .pred wanted;",
            "setp.ne.u32 wanted, {wanted}, 0;",
            "@wanted st.shared.u32 [{address}], {value};",
            "}}",
            value = in(reg32) value, address = in(reg32) address.0,
            wanted = in(reg32) u32::from(wanted), options(nostack)
        );
    }
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn store_shared_u64(address: Smem, value: u64) {
    // SAFETY: `address` is 8-aligned and the caller's to write, by contract.
    unsafe {
        asm!("st.shared.u64 [{address}], {value};",
            value = in(reg64) value, address = in(reg32) address.0, options(nostack));
    }
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn store_shared_u32x4(address: Smem, [x, y, z, w]: [u32; 4]) {
    // SAFETY: `address` is 16-aligned and the caller's to write, by contract.
    unsafe {
        asm!("st.shared.v4.u32 [{address}], {{{x}, {y}, {z}, {w}}};",
            x = in(reg32) x, y = in(reg32) y, z = in(reg32) z, w = in(reg32) w,
            address = in(reg32) address.0, options(nostack));
    }
}

/// Executed by: any thread.
#[inline(always)]
pub(crate) unsafe fn store_global_u32x4(address: u64, [x, y, z, w]: [u32; 4]) {
    // SAFETY: `address` is 16-aligned and the caller's to write, by contract.
    unsafe {
        asm!("st.global.v4.u32 [{address}], {{{x}, {y}, {z}, {w}}};",
            x = in(reg32) x, y = in(reg32) y, z = in(reg32) z, w = in(reg32) w,
            address = in(reg64) address, options(nostack));
    }
}

/// Executed by: any thread. Stores if `wanted`.
#[inline(always)]
pub(crate) unsafe fn store_global_u32_if(address: u64, value: u32, wanted: bool) {
    // SAFETY: `address` is 4-aligned and, if wanted, the caller's to write, by contract.
    unsafe {
        asm!(
            "{{",
            ".reg .pred wanted;",
            "setp.ne.u32 wanted, {wanted}, 0;",
            "@wanted st.global.u32 [{address}], {value};",
            "}}",
            value = in(reg32) value, address = in(reg64) address,
            wanted = in(reg32) u32::from(wanted), options(nostack)
        );
    }
}

/// Executed by: any thread. Stores if `wanted`.
#[inline(always)]
pub(crate) unsafe fn store_global_u32x2_if(address: u64, [x, y]: [u32; 2], wanted: bool) {
    // SAFETY: `address` is 8-aligned and, if wanted, the caller's to write, by contract.
    unsafe {
        asm!(
            "{{",
            ".reg .pred wanted;",
            "setp.ne.u32 wanted, {wanted}, 0;",
            "@wanted st.global.v2.u32 [{address}], {{{x}, {y}}};",
            "}}",
            x = in(reg32) x, y = in(reg32) y, address = in(reg64) address,
            wanted = in(reg32) u32::from(wanted), options(nostack)
        );
    }
}

/// Executed by: any thread. Replaces `words` by 16 bytes that nobody writes while the kernel runs, if `wanted`. One
/// piece, so that a row of such loads is not a row of branches.
#[inline(always)]
pub(crate) unsafe fn load_global_u32x4_if(words: &mut [u32; 4], address: u64, wanted: bool) {
    let [x, y, z, w] = words;
    // SAFETY: `address` is 16-aligned and, if wanted, readable, by contract.
    unsafe {
        asm!(
            "{{",
            ".reg .pred wanted;",
            "setp.ne.u32 wanted, {wanted}, 0;",
            "@wanted ld.global.nc.v4.u32 {{{x}, {y}, {z}, {w}}}, [{address}];",
            "}}",
            x = inout(reg32) *x, y = inout(reg32) *y, z = inout(reg32) *z, w = inout(reg32) *w,
            address = in(reg64) address, wanted = in(reg32) u32::from(wanted),
            options(nostack, readonly)
        );
    }
}

/// Executed by: any thread. A word that nobody writes while the kernel runs.
#[inline(always)]
pub(crate) unsafe fn load_global_i32(address: u64) -> i32 {
    let value: i32;
    // SAFETY: `address` is 4-aligned and readable, by contract.
    unsafe {
        asm!("ld.global.nc.s32 {value}, [{address}];",
            value = out(reg32) value, address = in(reg64) address, options(nostack, readonly));
    }
    value
}

/// Executed by: any thread. Sets bits of a word.
#[inline(always)]
pub(crate) unsafe fn or_global_u32(address: u64, bits: u32) {
    // SAFETY: `address` is 4-aligned and writable, by contract.
    unsafe {
        asm!("red.global.or.b32 [{address}], {bits};",
            address = in(reg64) address, bits = in(reg32) bits, options(nostack));
    }
}
