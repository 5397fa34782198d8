//! Halves and bytes of a register (PTX ISA, "max", "mul", "prmt").

use core::arch::asm;

/// Executed by: any thread. The larger of each pair of unsigned halves.
#[inline(always)]
pub(crate) fn max_u16x2(a: u32, b: u32) -> u32 {
    let larger: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("max.u16x2 {larger}, {a}, {b};",
            larger = out(reg32) larger, a = in(reg32) a, b = in(reg32) b,
            options(pure, nomem, nostack));
    }
    larger
}

/// Executed by: any thread. The product of each pair of f16 halves, rounded to nearest even.
#[inline(always)]
pub(crate) fn mul_f16x2(a: u32, b: u32) -> u32 {
    let product: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("mul.rn.f16x2 {product}, {a}, {b};",
            product = out(reg32) product, a = in(reg32) a, b = in(reg32) b,
            options(pure, nomem, nostack));
    }
    product
}

/// Executed by: any thread. The product of each pair of bf16 halves, rounded to nearest even.
#[inline(always)]
pub(crate) fn mul_bf16x2(a: u32, b: u32) -> u32 {
    let product: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("mul.rn.bf16x2 {product}, {a}, {b};",
            product = out(reg32) product, a = in(reg32) a, b = in(reg32) b,
            options(pure, nomem, nostack));
    }
    product
}

/// Executed by: any thread. Four of the eight bytes of `a` (0..4) and `b` (4..8), as the hexadecimal digits of `selector`
/// say, the last digit for the lowest byte.
#[inline(always)]
pub(crate) fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("prmt.b32 {bytes}, {a}, {b}, {selector};",
            bytes = out(reg32) bytes, a = in(reg32) a, b = in(reg32) b,
            selector = in(reg32) selector, options(pure, nomem, nostack));
    }
    bytes
}
