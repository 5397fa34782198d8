//! The rule in binary64, one output at a time. A product of two bf16 numbers is exact there, and so is everything else
//! that the rule does not cut.

use super::{FRACTION_BITS, STEP, value};
use crate::wgmma_model::NAN_BITS;

/// The exponent that a binary32 number has for the rule; subnormals share the smallest of the normal numbers.
pub(crate) fn exponent(x: f32) -> i32 {
    ((x.to_bits() >> 23 & 0xFF) as i32).max(1) - 127
}

/// One instruction for one output: the fused sum of 16 products and the accumulator.
pub fn step(a: &[u16; STEP], b: &[u16; STEP], accumulator: f32) -> f32 {
    // The terms with their exponents.
    let mut terms = vec![(f64::from(accumulator), exponent(accumulator))];
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (value(a), value(b));
        terms.push((f64::from(a) * f64::from(b), exponent(a) + exponent(b)));
    }
    if terms.iter().any(|(term, _)| !term.is_finite()) {
        let sum: f64 = terms.iter().map(|(term, _)| term).sum();
        return if sum.is_nan() { f32::from_bits(NAN_BITS) } else { sum as f32 };
    }

    let nonzero = terms.iter().filter(|(term, _)| *term != 0.0);
    let Some(largest) = nonzero.map(|&(_, exponent)| exponent).max() else { return 0.0 };
    let unit = 2f64.powi(largest - FRACTION_BITS);
    let sum: f64 = terms.iter().map(|(term, _)| (term / unit).trunc()).sum();
    truncate(sum * unit)
}

/// The binary32 number next to `x` toward zero; infinite beyond the range.
pub(crate) fn truncate(x: f64) -> f32 {
    if x.abs() >= 2f64.powi(128) {
        return if x < 0.0 { f32::NEG_INFINITY } else { f32::INFINITY };
    }
    let nearest = x as f32;
    if f64::from(nearest).abs() <= x.abs() {
        // A sum of zero is positive.
        return if x == 0.0 { 0.0 } else { nearest };
    }
    f32::from_bits(nearest.to_bits() - 1)
}

/// A chain of instructions over all of K, in ascending order.
///
/// # Panics
/// If the lengths differ or are no multiple of [`STEP`].
pub fn chain(a: &[u16], b: &[u16], accumulator: f32) -> f32 {
    assert!(a.len() == b.len() && a.len().is_multiple_of(STEP), "whole steps");
    let steps = a.as_chunks().0.iter().zip(b.as_chunks().0);
    steps.fold(accumulator, |accumulator, (a, b)| step(a, b, accumulator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(products: &[(f32, f32)], accumulator: f32) -> f32 {
        let (mut a, mut b) = ([0; STEP], [0; STEP]);
        for (i, &(x, y)) in products.iter().enumerate() {
            (a[i], b[i]) = ((x.to_bits() >> 16) as u16, (y.to_bits() >> 16) as u16);
            assert_eq!((x.to_bits() | y.to_bits()) & 0xFFFF, 0, "not a bf16 number");
        }
        step(&a, &b, accumulator)
    }

    #[test]
    fn small_integers_are_exact() {
        assert_eq!(sum(&[(1.0, 1.0); STEP], 0.0), 16.0);
        assert_eq!(sum(&[(3.0, 5.0), (-7.0, 2.0)], 0.25), 1.25);
        assert_eq!(chain(&[0x3F80; 64], &[0xBF80; 64], 1.0), -63.0);
    }

    #[test]
    fn terms_and_results_are_truncated() {
        let tiny = 2f32.powi(-13);
        assert_eq!(sum(&[(1.0, 1.0), (-1.0, 1.0), (tiny, 2.0 * tiny)], 0.0), 2f32.powi(-25));
        assert_eq!(sum(&[(1.0, 1.0), (-1.0, 1.0), (tiny, tiny)], 0.0), 0.0);
        assert_eq!(sum(&[(-1.0, 1.0), (2.0 * tiny, -2.0 * tiny)], 0.0), -1.0);
        assert_eq!(sum(&[(1.5 * 2f32.powi(-75), 2f32.powi(-74))], 0.0).to_bits(), 1);
    }

    #[test]
    fn special_values() {
        assert_eq!(sum(&[(f32::NAN, 1.0)], 0.0).to_bits(), NAN_BITS);
        assert_eq!(sum(&[(f32::INFINITY, 0.0)], 0.0).to_bits(), NAN_BITS);
        assert_eq!(sum(&[(f32::INFINITY, 1.0)], f32::NEG_INFINITY).to_bits(), NAN_BITS);
        assert_eq!(sum(&[(f32::INFINITY, -1.0)], 1.0), f32::NEG_INFINITY);
        assert_eq!(sum(&[(2f32.powi(64), -(2f32.powi(64)))], 0.0), f32::NEG_INFINITY);
        assert_eq!(sum(&[(2f32.powi(51), 2f32.powi(51))], f32::MAX), f32::MAX);
        assert_eq!(sum(&[(-0.0, 1.0)], -0.0).to_bits(), 0);
    }
}
