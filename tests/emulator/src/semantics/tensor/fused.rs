//! The fused sum of 16-bit operands, with everything that a measurement has to settle as a parameter.
//!
//! A tensor core multiplies, aligns all products and the accumulator to the largest exponent, cuts what lies below
//! some place, adds exactly and cuts once more. Which places, and how many products one such sum has, differs from
//! chip to chip and from type to type; [`FusedSum`] says it in numbers, and `fit` tries them against a capture.

use super::NAN_BITS;
use super::operand::{Single, decode_half};
use crate::semantics::alu::float::Half;

/// How bits below the last place are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// They are dropped.
    TowardZero,
    /// The nearest, ties to even.
    NearestEven,
}

impl Rounding {
    /// `magnitude / 2^shift`.
    const fn shift(self, magnitude: u64, shift: u32) -> u64 {
        if shift == 0 {
            return magnitude;
        }
        let kept = if shift < 64 { magnitude >> shift } else { 0 };
        match self {
            Self::TowardZero => kept,
            Self::NearestEven if shift > 64 => 0,
            Self::NearestEven => {
                let half = 1 << (shift - 1);
                let below = magnitude & (half | (half - 1));
                kept + (below > half || (below == half && kept & 1 == 1)) as u64
            }
        }
    }
}

/// The rule of one tensor core for one type of 16-bit operands and binary32 accumulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FusedSum {
    /// The type of the operands.
    pub element: Half,
    /// Whether a subnormal operand counts with the exponent of its highest bit, and not with that of the least normal
    /// number.
    pub normalised: bool,
    /// The distance from the largest exponent to the unit of the sum.
    pub fraction_bits: i32,
    /// Explicit mantissa bits of the result.
    pub result_bits: i32,
    /// Products in one sum; an instruction with more does several, in ascending order of K.
    pub products: usize,
    /// What happens to a term below the unit.
    pub terms: Rounding,
    /// What happens to the sum below the result's last place.
    pub result: Rounding,
}

impl FusedSum {
    /// One output of one instruction: the accumulator plus all products.
    ///
    /// # Panics
    /// If the operands have different lengths.
    pub fn dot(&self, acc: f32, a: &[u16], b: &[u16]) -> f32 {
        assert_eq!(a.len(), b.len(), "an operand of each kind for every product");
        let steps = a.chunks(self.products).zip(b.chunks(self.products));
        steps.fold(acc, |acc, (a, b)| self.sum(acc, a, b))
    }

    fn sum(&self, acc: f32, a: &[u16], b: &[u16]) -> f32 {
        if let Some(special) = not_finite(self.element, acc, a, b) {
            return special;
        }
        // A term is `significand * 2^(exponent - point)`.
        let point = 2 * self.element.mantissa_bits() as i32;
        let products = a.iter().zip(b).filter_map(|(&x, &y)| {
            let ((x, ex), (y, ey)) = (self.decode(x)?, self.decode(y)?);
            Some((x * y, ex + ey, point))
        });
        let c = Single::decode(acc);
        let significand = i64::from(c.significand);
        let acc = (if c.negative { -significand } else { significand }, c.exponent, 23);
        let terms = || products.clone().chain([acc]).filter(|term| term.0 != 0);

        let Some(largest) = terms().map(|term| term.1).max() else { return 0.0 };
        let unit = largest - self.fraction_bits;
        let sum = terms().map(|(s, e, point)| self.in_units(s, e - point - unit)).sum();
        self.narrow(sum, unit)
    }

    /// An operand as the multiplier takes it.
    fn decode(&self, bits: u16) -> Option<(i64, i32)> {
        let (significand, exponent) = decode_half(self.element, bits)?;
        if !self.normalised || significand == 0 {
            return Some((significand, exponent));
        }
        let missing = self.element.mantissa_bits() - significand.unsigned_abs().ilog2();
        Some((significand << missing, exponent - missing as i32))
    }

    /// `significand * 2^shift`, cut to an integer.
    fn in_units(&self, significand: i64, shift: i32) -> i64 {
        if shift >= 0 {
            return significand << shift;
        }
        let magnitude = self.terms.shift(significand.unsigned_abs(), shift.unsigned_abs()) as i64;
        if significand < 0 { -magnitude } else { magnitude }
    }

    /// `sum * 2^unit` with the mantissa of the result. An exact zero is positive; beyond the range is infinity; below
    /// the normal numbers the last place is that of the subnormals.
    fn narrow(&self, sum: i64, unit: i32) -> f32 {
        if sum == 0 {
            return 0.0;
        }
        let sign = if sum < 0 { 1 << 31 } else { 0 };
        let magnitude = sum.unsigned_abs();
        let top = magnitude.ilog2() as i32 + unit;
        let lowest = (top - self.result_bits).max(-126 - self.result_bits);
        let kept = match lowest - unit {
            shift @ 0.. => self.result.shift(magnitude, shift.unsigned_abs()),
            shift => magnitude << -shift,
        };
        // In units of the subnormals' last place `kept` carries into the exponent by itself.
        let kept = kept << (23 - self.result_bits);
        let bits = ((lowest + self.result_bits + 126) as u64) * (1 << 23) + kept;
        f32::from_bits(sign | bits.min(0x7F80_0000) as u32)
    }
}

/// The result where an operand or a product of operands is not finite: NaN for a NaN, for zero times infinity and for
/// infinities of both signs; else infinity.
fn not_finite(half: Half, acc: f32, a: &[u16], b: &[u16]) -> Option<f32> {
    let finite = |bits: &u16| decode_half(half, *bits).is_some();
    if acc.is_finite() && a.iter().all(finite) && b.iter().all(finite) {
        return None;
    }
    let (mut nan, mut positive, mut negative) = (false, false, false);
    let mut note = |x: f64| {
        nan |= x.is_nan();
        positive |= x == f64::INFINITY;
        negative |= x == f64::NEG_INFINITY;
    };
    note(f64::from(acc));
    for (&x, &y) in a.iter().zip(b) {
        // Finite products are finite in binary64.
        note(f64::from(half.value(x)) * f64::from(half.value(y)));
    }
    if nan || (positive && negative) {
        return Some(f32::from_bits(NAN_BITS));
    }
    match (positive, negative) {
        (true, _) => Some(f32::INFINITY),
        (_, true) => Some(f32::NEG_INFINITY),
        _ => None,
    }
}
