//! The FP8 tensor core of Hopper, bit for bit, and the kernel's promotion on top of it.
//!
//! One `wgmma` instruction (e4m3 x e4m3 -> f32, K = 32) computes every output as a single fused sum:
//!
//! 1. A product has the exponent `ea + eb` and the significand `ma * mb`, which is not renormalised. The
//!    accumulator enters with its own exponent. Zero terms take no part.
//! 2. `E` is the largest exponent of all terms. Every term is truncated toward zero to a multiple of
//!    `2^(E - 13)`.
//! 3. The terms are added exactly, and the sum is truncated toward zero to 13 explicit mantissa bits.
//! 4. A NaN operand makes the result `0x7FFF_FFFF`.
//!
//! A scale block (K = 128) is four such steps from a zero accumulator. The kernel then promotes it:
//! `f = sa * sb` in f32, `acc = fma(block, f, acc)` in f32, blocks ascending from `acc = 0`, and one
//! conversion to the output type at the end. [`scalar`] says exactly this and nothing else; [`fast`] is
//! what the tests run.
//!
//! The rule was compared with an H200 on 614,400 outputs of five kinds of operands, without a difference.
//!
//! [`bf16`] is the same for the tensor core's bf16 operands.

pub mod bf16;
pub mod fast;
pub mod grouped;
pub mod scalar;

pub use grouped::{grouped, rows};

/// Explicit mantissa bits that survive in a sum, and the distance from the largest exponent to the unit.
pub const FRACTION_BITS: i32 = 13;
/// Products in one fused sum.
pub const STEP: usize = 32;
/// Products in one scale block: four steps.
pub const BLOCK: usize = 128;
/// The NaN that the tensor core produces.
pub const NAN_BITS: u32 = 0x7FFF_FFFF;
