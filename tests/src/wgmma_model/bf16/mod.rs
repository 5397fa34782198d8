//! The bf16 tensor core of Hopper, bit for bit.
//!
//! One `wgmma` instruction (bf16 x bf16 -> f32, K = 16) computes every output as a single fused sum:
//!
//! 1. A product has the exponent `ea + eb` and the significand `ma * mb`, which is not renormalised; subnormal numbers
//!    have the exponent -126. The accumulator enters with its own exponent. Zero terms take no part.
//! 2. `E` is the largest exponent of all terms. Every term is truncated toward zero to a multiple of `2^(E - 25)`.
//! 3. The 16 products and the accumulator are added exactly.
//! 4. The sum is truncated toward zero to binary32, subnormal results included. Beyond the range it is infinite, and an
//!    exact zero is positive.
//! 5. A NaN, zero times infinity and infinities of both signs make the result `0x7FFF_FFFF`.
//!
//! [`scalar`] says this and nothing else; [`fast`] is what references of whole problems run. The rule was compared with
//! an H100 on 352,256 outputs of 16 kinds of operands, without a difference (`tests/emulator/captures/h100_bf16.bin`).

pub mod fast;
pub mod scalar;

pub use fast::matrix;

/// The distance from the largest exponent to the unit of the sum.
pub const FRACTION_BITS: i32 = 25;
/// Products in one fused sum.
pub const STEP: usize = 16;

/// A bf16 number as binary32, which holds it exactly.
pub const fn value(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}
