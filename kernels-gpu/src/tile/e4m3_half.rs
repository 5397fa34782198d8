//! From e4m3 codes to the 16-bit floats that Hopper multiplies, two codes a register.
//!
//! The hardware converts a pair of codes to f16, NaN included. Where all scales of a block are near each other
//! ([`super::f16_frame`]), the product of code and scale is taken in f16; everywhere else in bf16, which holds every
//! product of a code and a scale from 3 to 246 exactly, and rounds the others once.

use crate::ptx::{cvt, simd};

/// Executed by: any thread. The four codes of a word as f16: codes 0 and 1, 2 and 3.
#[inline(always)]
fn values(word: u32) -> [u32; 2] {
    cvt::f16x2_from_e4m3x4(word)
}

/// Executed by: any thread. Four codes times a power of two, as f16.
#[inline(always)]
pub(crate) fn scaled_f16(word: u32, factor: u32) -> [u32; 2] {
    values(word).map(|pair| simd::mul_f16x2(pair, factor))
}

/// Executed by: any thread. Four codes times any scale, as bf16.
#[inline(always)]
pub(crate) fn scaled_bf16(word: u32, scale: f32) -> [u32; 2] {
    values(word).map(|pair| {
        let [low, high] = cvt::f32_from_f16x2(pair);
        cvt::bf16x2(low * scale, high * scale)
    })
}
