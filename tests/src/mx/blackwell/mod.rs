//! The block-scaled tensor core of Blackwell, bit for bit as it has been published.
//!
//! One step (e4m3 x e4m3 -> f32, K = 32, one scale byte for each operand's row) computes every output as a single fused
//! sum:
//!
//! 1. A product has the exponent `ea + eb + (sa - 127) + (sb - 127)` and the significand `ma * mb`, which is not
//!    renormalised; subnormal codes have the exponent -6. The accumulator enters with its own exponent. Zero terms take
//!    no part.
//! 2. `E` is the largest exponent of all terms. Every term is truncated toward zero to a multiple of `2^(E - 25)`.
//! 3. The terms are added exactly, and the sum is truncated toward zero to binary32.
//! 4. A NaN among operands, scales or as accumulator makes the result `0x7FFF_FFFF`.
//!
//! The rule is that of MMA-Sim, whose authors compared it with hardware; it was not measured here. [`scalar`] says it in
//! binary64, [`fast`] is what references of whole problems run, and the emulator's tests hold both against its own.

pub mod fast;
pub mod scalar;

/// The distance from the largest exponent to the unit of the sum.
pub const FRACTION_BITS: i32 = 25;
/// Products in one fused sum.
pub const STEP: usize = 32;
