//! The rule, word for word, one output at a time. Slow on purpose: nothing here is clever.

use super::{BLOCK, FRACTION_BITS, NAN_BITS, STEP};
use crate::e4m3;
use crate::narrow::narrow;
use expert_gemm_kernels::abi::ElementType;

/// A number `significand * 2^(exponent - fraction_bits)` with its sign apart.
struct Term {
    negative: bool,
    significand: i64,
    fraction_bits: i32,
    exponent: i32,
}

impl Term {
    fn product(a: u8, b: u8) -> Self {
        Self {
            negative: e4m3::is_negative(a) != e4m3::is_negative(b),
            significand: i64::from(e4m3::significand(a)) * i64::from(e4m3::significand(b)),
            fraction_bits: 6,
            exponent: e4m3::exponent(a) + e4m3::exponent(b),
        }
    }

    fn accumulator(x: f32) -> Self {
        let bits = x.to_bits();
        let field = ((bits >> 23) & 0xFF) as i32;
        let fraction = i64::from(bits & 0x7F_FFFF);
        Self {
            negative: bits >> 31 == 1,
            significand: if field == 0 { fraction } else { fraction + (1 << 23) },
            fraction_bits: 23,
            exponent: if field == 0 { -126 } else { field - 127 },
        }
    }

    fn is_zero(&self) -> bool {
        self.significand == 0
    }

    /// The term in units of `2^unit`, truncated toward zero.
    fn in_units_of(&self, unit: i32) -> i64 {
        let shift = self.exponent - self.fraction_bits - unit;
        let magnitude = if shift >= 0 {
            self.significand << shift
        } else {
            self.significand >> shift.unsigned_abs().min(63)
        };
        if self.negative { -magnitude } else { magnitude }
    }
}

/// One instruction for one output: the fused sum of 32 products and the accumulator.
pub fn step(a: &[u8; STEP], b: &[u8; STEP], accumulator: f32) -> f32 {
    let nan_operand = a.iter().chain(b).any(|&code| e4m3::is_nan(code));
    if nan_operand || accumulator.is_nan() {
        return f32::from_bits(NAN_BITS);
    }

    let mut terms: Vec<Term> = a.iter().zip(b).map(|(&a, &b)| Term::product(a, b)).collect();
    terms.push(Term::accumulator(accumulator));
    terms.retain(|term| !term.is_zero());

    let Some(largest_exponent) = terms.iter().map(|term| term.exponent).max() else {
        return 0.0;
    };
    let unit = largest_exponent - FRACTION_BITS;
    let sum: i64 = terms.iter().map(|term| term.in_units_of(unit)).sum();

    truncate(sum, unit)
}

/// `sum * 2^unit`, truncated toward zero to 13 explicit mantissa bits. An exact zero is positive.
fn truncate(sum: i64, unit: i32) -> f32 {
    let mut magnitude = sum.unsigned_abs();
    let width = (u64::BITS - magnitude.leading_zeros()) as i32;
    let excess = width - (FRACTION_BITS + 1);
    if excess > 0 {
        magnitude = (magnitude >> excess) << excess;
    }
    let value = magnitude as f64 * 2f64.powi(unit);
    (if sum < 0 { -value } else { value }) as f32
}

/// One scale block for one output: four steps from a zero accumulator.
pub fn block(a: &[u8; BLOCK], b: &[u8; BLOCK]) -> f32 {
    let (a, _) = a.as_chunks::<STEP>();
    let (b, _) = b.as_chunks::<STEP>();
    a.iter().zip(b).fold(0.0, |accumulator, (a, b)| step(a, b, accumulator))
}

/// One output of the kernel, from the rows of codes and scales that meet in it.
pub fn output(a: &[u8], b: &[u8], scales_a: &[f32], scales_b: &[f32], to: ElementType) -> u16 {
    narrow(promoted(a, b, scales_a, scales_b), to)
}

/// The f32 that [`output`] converts.
pub fn promoted(a: &[u8], b: &[u8], scales_a: &[f32], scales_b: &[f32]) -> f32 {
    let (a, _) = a.as_chunks::<BLOCK>();
    let (b, _) = b.as_chunks::<BLOCK>();
    let mut accumulator = 0.0f32;
    for (kb, (a, b)) in a.iter().zip(b).enumerate() {
        let scale = scales_a[kb] * scales_b[kb];
        accumulator = block(a, b).mul_add(scale, accumulator);
    }
    accumulator
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: u8 = 0x38;
    const MINUS_ONE: u8 = 0xB8;

    /// Operands that are zero but for the given pairs.
    fn pairs(pairs: &[(f32, f32)]) -> ([u8; STEP], [u8; STEP]) {
        let (mut a, mut b) = ([0; STEP], [0; STEP]);
        for (i, &(x, y)) in pairs.iter().enumerate() {
            (a[i], b[i]) = (e4m3::encode(x), e4m3::encode(y));
            assert_eq!((e4m3::decode(a[i]), e4m3::decode(b[i])), (x, y), "not an e4m3 number");
        }
        (a, b)
    }

    fn sum(products: &[(f32, f32)], accumulator: f32) -> f32 {
        let (a, b) = pairs(products);
        step(&a, &b, accumulator)
    }

    #[test]
    fn small_integers_are_exact() {
        assert_eq!(step(&[ONE; STEP], &[ONE; STEP], 0.0), 32.0);
        assert_eq!(step(&[ONE; STEP], &[MINUS_ONE; STEP], 5.0), -27.0);
        assert_eq!(block(&[ONE; BLOCK], &[ONE; BLOCK]), 128.0);
        assert_eq!(sum(&[(3.0, 5.0), (-7.0, 2.0)], 0.25), 1.25);
    }

    #[test]
    fn exact_cancellation_is_positive_zero() {
        assert_eq!(sum(&[(1.0, 1.0), (-1.0, 1.0)], 0.0).to_bits(), 0);
        assert_eq!(sum(&[(-1.0, 1.0)], 1.0).to_bits(), 0);
        assert_eq!(step(&[0x80; STEP], &[ONE; STEP], -0.0).to_bits(), 0);
        assert_eq!(step(&[0; STEP], &[0; STEP], 0.0).to_bits(), 0);
    }

    #[test]
    fn terms_are_truncated_toward_zero_at_thirteen_bits_below_the_largest() {
        // E = 16 (256 * 256): the unit is 2^3. 15 becomes 8, -15 becomes -8, 7 vanishes.
        assert_eq!(sum(&[(256.0, 256.0), (15.0, 1.0)], 0.0), 65544.0);
        assert_eq!(sum(&[(256.0, 256.0), (-15.0, 1.0)], 0.0), 65528.0);
        assert_eq!(sum(&[(256.0, 256.0), (7.0, 1.0), (-7.0, 1.0)], 0.0), 65536.0);
        // Each term on its own: 2 * 15 is 16, not 30 -> 24.
        assert_eq!(sum(&[(256.0, 256.0), (15.0, 1.0), (15.0, 1.0)], 0.0), 65552.0);
    }

    #[test]
    fn products_are_not_renormalised() {
        // 1.875 * 1.875 = 3.515625 has exponent 0 for the rule, although it exceeds 2. With E = 0 the
        // unit is 2^-13, so 2^-13 survives; renormalised it would be 2^-12 and 2^-13 would vanish.
        let tiny = (2f32.powi(-6), 2f32.powi(-7));
        assert_eq!(e4m3::decode(e4m3::encode(tiny.1)), tiny.1);
        let full = sum(&[(1.875, 1.875), tiny, (-1.875, 1.75)], 0.0);
        assert_eq!(full, 0.234_375 + 2f32.powi(-13));
    }

    #[test]
    fn subnormal_operands_keep_the_exponent_of_the_smallest_normal() {
        // 2^-9 * 2^-9 counts as exponent -12, like 2^-6 * 2^-6: the unit is 2^-25, all bits stay.
        let x = sum(&[(2f32.powi(-6), 2f32.powi(-6)), (2f32.powi(-9), 2f32.powi(-9))], 0.0);
        assert_eq!(x, 2f32.powi(-12) + 2f32.powi(-18));
        // Alone, 2^-9 * 256 has exponent -6 + 8 = 2 (not -1): the unit is 2^-11, so 2^-12 is lost.
        let y = sum(&[(2f32.powi(-9), 256.0), (2f32.powi(-6), 2f32.powi(-6))], 0.0);
        assert_eq!(y, 0.5);
    }

    #[test]
    fn the_accumulator_takes_part_with_its_own_exponent() {
        // E = 14: the unit is 2, so 1 * 1 vanishes beside 16384 and survives beside 8192.
        assert_eq!(sum(&[(1.0, 1.0)], 16384.0), 16384.0);
        assert_eq!(sum(&[(1.0, 1.0)], 8192.0), 8193.0);
        // The accumulator is truncated as well: E = 16 by 256 * 256 -> unit 8.
        assert_eq!(sum(&[(256.0, 256.0)], 13.0), 65544.0);
        assert_eq!(sum(&[(256.0, 256.0)], -13.0), 65528.0);
    }

    #[test]
    fn the_result_is_truncated_to_thirteen_explicit_bits() {
        // 448 * 448 = 3.0625 * 2^16, unit 8: twice that plus 8 needs 16 bits; units of 2^(18 - 13) stay.
        assert_eq!(sum(&[(448.0, 448.0), (448.0, 448.0), (8.0, 1.0)], 0.0), 401_408.0);
        assert_eq!(sum(&[(448.0, 448.0), (448.0, 448.0), (8.0, 4.0)], 0.0), 401_440.0);
        assert_eq!(sum(&[(-448.0, 448.0), (-448.0, 448.0), (-8.0, 1.0)], 0.0), -401_408.0);
        for (a, b) in [([0x7E; STEP], [0x7E; STEP]), ([0x31; STEP], [0xD3; STEP])] {
            assert_eq!(step(&a, &b, 0.123).to_bits() & 0x3FF, 0, "low ten bits");
        }
    }

    #[test]
    fn any_nan_operand_gives_the_canonical_nan() {
        for nan in [0x7F, 0xFF] {
            let mut a = [0; STEP];
            a[31] = nan;
            assert_eq!(step(&a, &[0; STEP], 0.0).to_bits(), NAN_BITS);
            assert_eq!(step(&[0; STEP], &a, 1.0).to_bits(), NAN_BITS);
        }
        let mut early = [ONE; BLOCK];
        early[0] = 0xFF;
        assert_eq!(block(&early, &[ONE; BLOCK]).to_bits(), NAN_BITS);
    }

    #[test]
    fn promotion_rounds_the_scale_first_and_the_sum_once() {
        let a = [ONE; 2 * BLOCK];
        let (sa, sb) = ([0.1f32, 3.0], [0.7f32, 1.0 / 3.0]);
        let first = 128.0f32 * (0.1f32 * 0.7);
        let second = 128.0f32.mul_add(3.0 * (1.0f32 / 3.0), first);
        assert_eq!(promoted(&a, &a, &sa, &sb), second);
    }
}
