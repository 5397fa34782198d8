//! Kinds of scale bytes.

use crate::rng::Rng;
use core::fmt;
use expert_gemm_kernels::abi::scale_atoms::{NAN, ONE};

/// A distribution of scale bytes. Where scales lie far from one, those of the two operands do so in opposite
/// directions, block by block of K, so that products stay in range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ScaleValues {
    /// All one.
    One,
    /// Within 2^3 of one.
    Near,
    /// Within 2^16 of one.
    Moderate,
    /// Up to 2^108 from one: a code times such a scale is still a normal bf16 number.
    Far,
    /// Anywhere, the smallest and the largest among them.
    Extreme,
    /// Near one, and a NaN in about every 300th.
    WithNan,
}

/// Which operand scales belong to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Activations.
    A,
    /// Weights.
    B,
}

impl ScaleValues {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::One, Self::Near, Self::Moderate, Self::Far, Self::Extreme, Self::WithNan];

    /// Those that give normal bf16 numbers, whatever the code.
    pub const BF16: [Self; 5] = [Self::One, Self::Near, Self::Moderate, Self::Far, Self::WithNan];

    /// Fills rows of `columns` scales.
    pub fn fill(self, rng: &mut Rng, seed: u64, side: Side, columns: usize, scales: &mut [u8]) {
        // Both sides draw the same.
        let drift: Vec<i64> = (0..columns)
            .map(|column| {
                let reach = match self {
                    Self::Far => 105,
                    Self::Extreme => 127,
                    _ => 0,
                };
                let rng = &mut Rng::stream(seed, (9 << 40) + column as u64);
                rng.between(0, 2 * reach) as i64 - reach as i64
            })
            .collect();
        let spread = match self {
            Self::One => 0,
            Self::Moderate => 16,
            _ => 3,
        };
        for row in scales.chunks_mut(columns) {
            for (scale, drift) in row.iter_mut().zip(&drift) {
                let drift = if side == Side::A { *drift } else { -drift };
                let own = rng.between(0, 2 * spread) as i64 - spread as i64;
                *scale = (i64::from(ONE) + drift + own).clamp(0, 254) as u8;
                if self == Self::WithNan && rng.one_in(300) {
                    *scale = NAN;
                }
            }
        }
    }
}

impl fmt::Display for ScaleValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one",
            Self::Near => "near",
            Self::Moderate => "moderate",
            Self::Far => "far",
            Self::Extreme => "extreme",
            Self::WithNan => "with-nan",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(kind: ScaleValues, side: Side) -> Vec<u8> {
        let mut scales = vec![0; 64 * 600];
        kind.fill(&mut Rng::new(2), 5, side, 600, &mut scales);
        scales
    }

    #[test]
    fn each_kind_has_its_range() {
        let distance = |kind| draw(kind, Side::A).iter().map(|s| s.abs_diff(ONE)).max();
        let reached = ScaleValues::ALL.map(distance);
        assert_eq!(reached, [Some(0), Some(3), Some(16), Some(108), Some(127), Some(128)]);
        let nan = |kind| draw(kind, Side::B).contains(&NAN);
        assert_eq!(ScaleValues::BF16.map(nan), [false, false, false, false, true]);
        assert!(!nan(ScaleValues::Extreme));
    }

    #[test]
    fn the_two_sides_balance_each_other() {
        for kind in [ScaleValues::Far, ScaleValues::Extreme] {
            for (a, b) in draw(kind, Side::A).iter().zip(draw(kind, Side::B)) {
                assert!((i32::from(*a) + i32::from(b) - 254).abs() <= 6, "{a} {b}");
            }
        }
    }
}
