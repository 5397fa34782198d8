//! Element types of the output.

use crate::ptx::cvt;

/// How two neighbouring results become one 32-bit word.
pub(crate) trait Output {
    /// `low` goes to bits 0..16; both are rounded to nearest even, once.
    fn pack(low: f32, high: f32) -> u32;
}

/// bfloat16.
pub(crate) struct Bf16;
/// IEEE binary16; results past 65504 become infinite.
pub(crate) struct F16;

impl Output for Bf16 {
    #[inline(always)]
    fn pack(low: f32, high: f32) -> u32 {
        cvt::bf16x2(low, high)
    }
}

impl Output for F16 {
    #[inline(always)]
    fn pack(low: f32, high: f32) -> u32 {
        cvt::f16x2(low, high)
    }
}
