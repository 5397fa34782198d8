//! The arithmetic of the block-scaled product, with all that could be otherwise as a parameter.

use crate::probe::STEP;
use expert_gemm_tests::e4m3;
use std::fmt;

/// A rule for one output of one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The distance from the largest exponent to the unit of the sum.
    pub fraction_bits: i32,
    /// Products in one sum; a step has several such sums, in ascending order of K.
    pub products: usize,
    /// Whether the result is rounded to nearest, ties to even, instead of toward zero.
    pub nearest: bool,
    /// The exponent that a product of zero has, before the scales; none by the published rule.
    pub zero_exponent: Option<i32>,
    /// Whether products are summed without their scales, and the accumulator is added after these.
    pub scaled_late: bool,
    /// What happens below the normal numbers and beyond the largest.
    pub range: Range,
    /// The bits of a NaN.
    pub nan: u32,
    /// Whether the scale 255 is NaN, and not a power of two.
    pub nan_scale: bool,
}

/// What happens to results that are no normal numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    /// Subnormal numbers are kept, and too large ones become infinite.
    Ieee,
    /// Subnormal numbers become zero.
    Flushed,
    /// Too large ones become the largest.
    Saturated,
}

impl Rule {
    /// What MMA-Sim publishes of this tensor core, and the test kit's model says.
    pub const PUBLISHED: Self = Self {
        fraction_bits: 25,
        products: STEP,
        nearest: false,
        zero_exponent: None,
        scaled_late: false,
        range: Range::Ieee,
        nan: 0x7FFF_FFFF,
        nan_scale: true,
    };

    /// One output: 32 products with their scales, and the accumulator.
    pub fn step(&self, a: &[u8; STEP], b: &[u8; STEP], scales: [u8; 2], accumulator: f32) -> f32 {
        let nan = a.iter().chain(b).any(|&code| e4m3::is_nan(code)) || accumulator.is_nan();
        if nan || self.nan_scale && scales.contains(&0xFF) {
            return f32::from_bits(self.nan);
        }
        let scale = i32::from(scales[0]) + i32::from(scales[1]) - 254;
        let parts = a.chunks(self.products).zip(b.chunks(self.products));
        parts.fold(accumulator, |accumulator, (a, b)| self.sum(a, b, scale, accumulator))
    }

    fn sum(&self, a: &[u8], b: &[u8], scale: i32, accumulator: f32) -> f32 {
        if accumulator.is_infinite() {
            return accumulator;
        }
        let early = if self.scaled_late { 0 } else { scale };
        let mut terms: Vec<Term> = a
            .iter()
            .zip(b)
            .map(|(&a, &b)| {
                let value = f64::from(e4m3::decode(a)) * f64::from(e4m3::decode(b));
                let exponent = e4m3::exponent(a) + e4m3::exponent(b);
                let zero = if value == 0.0 { self.zero_exponent } else { Some(exponent) };
                Term { value: value * 2f64.powi(early), exponent: zero.map(|e| e + early) }
            })
            .collect();
        if self.scaled_late {
            let value = self.fused(&terms) * 2f64.powi(scale);
            terms = vec![Term::of(value)];
        }
        terms.push(Term::of(accumulator.into()));
        self.narrow(self.fused(&terms))
    }

    /// The sum of terms, each truncated to the unit.
    fn fused(&self, terms: &[Term]) -> f64 {
        let Some(largest) = terms.iter().filter_map(|term| term.exponent).max() else { return 0.0 };
        let unit = 2f64.powi(largest - self.fraction_bits);
        terms.iter().map(|term| (term.value / unit).trunc()).sum::<f64>() * unit
    }

    fn narrow(&self, sum: f64) -> f32 {
        let magnitude = sum.abs();
        let nearest = magnitude as f32;
        let result = if self.nearest || f64::from(nearest) <= magnitude {
            nearest
        } else {
            nearest.next_down()
        };
        let result = match self.range {
            _ if magnitude < 2f64.powi(128) && result.is_infinite() => f32::MAX,
            Range::Saturated if magnitude >= 2f64.powi(128) => f32::MAX,
            _ if magnitude >= 2f64.powi(128) => f32::INFINITY,
            Range::Flushed if result.is_subnormal() => 0.0,
            _ => result,
        };
        // A sum of zero is positive; one that is cut to zero keeps its sign.
        if sum < 0.0 { -result } else { result }
    }
}

/// A term of a sum; zeros may have no exponent.
struct Term {
    value: f64,
    exponent: Option<i32>,
}

impl Term {
    /// A number with its own exponent; those of binary32 below the normal ones share the smallest.
    fn of(value: f64) -> Self {
        let exponent = (value.to_bits() >> 52 & 0x7FF) as i32 - 1023;
        Self { value, exponent: (value != 0.0).then(|| exponent.max(-126)) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fraction_bits, products, .. } = self;
        write!(f, "{products} products in a sum, {fraction_bits} bits below the largest")?;
        let notes = [
            (self.nearest, ", rounded to nearest"),
            (self.scaled_late, ", scaled after the sum"),
            (self.range == Range::Flushed, ", subnormal numbers flushed"),
            (self.range == Range::Saturated, ", saturated"),
            (self.nan != Self::PUBLISHED.nan, ", another NaN"),
            (!self.nan_scale, ", scale 255 is a power of two"),
        ];
        if let Some(exponent) = self.zero_exponent {
            write!(f, ", zeros have the exponent {exponent}")?;
        }
        notes.iter().filter(|(so, _)| *so).try_for_each(|(_, note)| f.write_str(note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm_tests::mx::blackwell::scalar;
    use expert_gemm_tests::rng::Rng;
    use expert_gemm_tests::values::Values;

    #[test]
    fn the_published_rule_is_the_model_of_the_test_kit() {
        let rng = &mut Rng::new(5);
        for _ in 0..100_000 {
            let (mut a, mut b) = ([0; STEP], [0; STEP]);
            rng.pick(&Values::ALL).fill(rng, &mut a);
            rng.pick(&Values::ALL).fill(rng, &mut b);
            let reach = rng.pick(&[0, 3, 40, 127]);
            let scales = [0; 2].map(|_| (127 - reach + rng.below(2 * reach + 1)) as u8);
            let near = 2f32.powi(i32::from(scales[0]) + i32::from(scales[1]) - 254);
            let accumulators = [0.0, near * rng.normals()[0], f32::from_bits(rng.bits() as u32)];
            let accumulator = rng.pick(&accumulators);
            let (got, want) = (
                Rule::PUBLISHED.step(&a, &b, scales, accumulator),
                scalar::step(&a, &b, scales, accumulator),
            );
            assert_eq!(got.to_bits(), want.to_bits(), "{accumulator:e} {scales:?} {a:?} {b:?}");
        }
    }
}
