//! The sums of the tensor cores, bit for bit.
//!
//! All of them follow one scheme: the products and the accumulator of one instruction step are aligned to
//! the largest exponent, truncated there, added exactly, and truncated once more. They differ in how far
//! below the largest exponent the truncation lies, and in what the result keeps.
//!
//! [`operand`] decodes the codes; [`hopper`] is `wgmma` of E4M3, measured on an H200, and [`hopper_half`] of bf16,
//! measured on an H100, and of f16; both are instances of [`fused`]; [`blackwell`] is `tcgen05.mma`, published but not measured here;
//! [`mma_sync`] is `mma.sync` on the smaller families.

#![allow(
    clippy::inline_always,
    reason = "the lanes must become part of the function that enables vector instructions"
)]

pub mod blackwell;
pub mod fused;
pub mod hopper;
pub mod hopper_half;
mod lanes;
pub mod mma_sync;
pub mod operand;

pub use blackwell::{
    blackwell_dot32, blackwell_dot32_block_scaled, tcgen05_e4m3, tcgen05_e4m3_block_scaled,
};
pub use fused::{FusedSum, Rounding};
pub use hopper::{hopper_dot32, wgmma_e4m3};
pub use hopper_half::{K16, WGMMA_BF16, WGMMA_F16, wgmma_half};
pub use mma_sync::{mma_dot32, mma_e4m3};

/// The NaN that the tensor cores produce (H200 measurement).
pub const NAN_BITS: u32 = 0x7FFF_FFFF;

/// Terms in one fused sum: K of one instruction with 8-bit operands (PTX ISA 9.7.15.2).
pub const K: usize = 32;

#[cfg(test)]
mod tests;
