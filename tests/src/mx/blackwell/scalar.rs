//! The rule in binary64, one output at a time. Products, scales and their sum are exact there.

use super::{FRACTION_BITS, STEP};
use crate::e4m3;
use crate::wgmma_model::NAN_BITS;
use crate::wgmma_model::bf16::scalar::{exponent, truncate};
use expert_gemm_kernels::abi::scale_atoms::NAN as SCALE_NAN;

/// One step for one output: the fused sum of 32 products and the accumulator.
pub fn step(a: &[u8; STEP], b: &[u8; STEP], scales: [u8; 2], accumulator: f32) -> f32 {
    let nan_operand = a.iter().chain(b).any(|&code| e4m3::is_nan(code));
    if nan_operand || scales.contains(&SCALE_NAN) || accumulator.is_nan() {
        return f32::from_bits(NAN_BITS);
    }
    if accumulator.is_infinite() {
        return accumulator;
    }
    let scale = i32::from(scales[0]) + i32::from(scales[1]) - 254;
    // The terms with their exponents.
    let mut terms = vec![(f64::from(accumulator), exponent(accumulator))];
    for (&a, &b) in a.iter().zip(b) {
        let product = f64::from(e4m3::decode(a)) * f64::from(e4m3::decode(b));
        let exponent = e4m3::exponent(a) + e4m3::exponent(b) + scale;
        terms.push((product * 2f64.powi(scale), exponent));
    }
    let nonzero = terms.iter().filter(|(term, _)| *term != 0.0);
    let Some(largest) = nonzero.map(|&(_, exponent)| exponent).max() else { return 0.0 };
    let unit = 2f64.powi(largest - FRACTION_BITS);
    let sum: f64 = terms.iter().map(|(term, _)| (term / unit).trunc()).sum();
    truncate(sum * unit)
}

/// A chain of steps over all of K from zero, in ascending order; one scale for each step.
///
/// # Panics
/// If the lengths do not fit each other.
pub fn chain(a: &[u8], b: &[u8], scales_a: &[u8], scales_b: &[u8]) -> f32 {
    assert!(a.len() == b.len() && a.len() == scales_a.len() * STEP, "whole steps");
    let operands = a.as_chunks().0.iter().zip(b.as_chunks().0);
    let scales = scales_a.iter().zip(scales_b);
    operands.zip(scales).fold(0.0, |sum, ((a, b), (&sa, &sb))| step(a, b, [sa, sb], sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes that are zero but for the given numbers.
    fn codes(numbers: &[f32]) -> [u8; STEP] {
        let mut codes = [0; STEP];
        for (code, &x) in codes.iter_mut().zip(numbers) {
            *code = e4m3::encode(x);
            assert!((e4m3::decode(*code) - x).abs() < f32::EPSILON, "{x} is no e4m3 number");
        }
        codes
    }

    #[test]
    fn scales_multiply_and_small_integers_are_exact() {
        assert_eq!(step(&[0x38; STEP], &[0xB8; STEP], [127, 127], 5.0), -27.0);
        assert_eq!(step(&[0x38; STEP], &[0x38; STEP], [130, 126], 0.0), 128.0);
        assert_eq!(chain(&[0x38; 64], &[0x38; 64], &[127, 128], &[127, 127]), 96.0);
        assert_eq!(step(&[0x38; STEP], &[0x38; STEP], [254, 0], 0.0), 32.0);
    }

    #[test]
    fn terms_are_truncated_25_bits_below_the_largest() {
        let one = codes(&[1.0, 2f32.powi(-9)]);
        // 1 + 2^-9 * 2^-9 lies within 25 bits, times 2^-8 of scale it stays so: all terms share the scale.
        assert_eq!(step(&one, &one, [123, 123], 0.0), (1.0 + 2f32.powi(-18)) * 2f32.powi(-8));
        // Against an accumulator of -1 the unit is 2^-25: a product of 2^-26 vanishes, and one of 2^-25 brings the sum
        // nearer to zero, where the result is truncated to.
        let tiny = codes(&[1.0, -1.0]);
        let with = |scale| step(&tiny, &codes(&[1.0]), [scale, 127], -1.0);
        assert_eq!([with(127 - 25), with(127 - 26)], [(-1.0f32).next_up(), -1.0]);
    }

    #[test]
    fn nan_comes_from_codes_and_from_scales() {
        let ones = [0x38; STEP];
        let mut nan = ones;
        nan[31] = 0xFF;
        for (a, b, scales) in
            [(nan, ones, [127; 2]), (ones, ones, [255, 0]), (ones, ones, [0, 255])]
        {
            assert_eq!(step(&a, &b, scales, 0.0).to_bits(), NAN_BITS);
        }
        assert_eq!(step(&[0; STEP], &ones, [254, 254], -0.0).to_bits(), 0);
    }
}
