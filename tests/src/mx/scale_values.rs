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
    /// Near a power of two that wanders along K, up to 2^40 from one.
    Wandering,
    /// Near one and far from each other in turns, by blocks of 128 elements.
    Mixed,
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
    pub const ALL: [Self; 8] = [
        Self::One,
        Self::Near,
        Self::Moderate,
        Self::Far,
        Self::Extreme,
        Self::WithNan,
        Self::Wandering,
        Self::Mixed,
    ];

    /// Those that give normal bf16 numbers, whatever the code.
    pub const BF16: [Self; 7] = [
        Self::One,
        Self::Near,
        Self::Moderate,
        Self::Far,
        Self::WithNan,
        Self::Wandering,
        Self::Mixed,
    ];

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
        let drift = if self == Self::Wandering { wander(seed, columns) } else { drift };
        // Of a block of four columns. 6 are 13 binary orders, the most that fit f16.
        let spread = |column: usize| match self {
            Self::One => 0,
            Self::Moderate => 16,
            Self::Mixed => {
                let rng = &mut Rng::stream(seed, (10 << 40) + column as u64 / 4);
                [0, 3, 3, 6, 7, 16][rng.below(6) as usize]
            }
            _ => 3,
        };
        for row in scales.chunks_mut(columns) {
            for (column, (scale, drift)) in row.iter_mut().zip(&drift).enumerate() {
                let drift = if side == Side::A { *drift } else { -drift };
                let spread = spread(column);
                let own = rng.between(0, 2 * spread) as i64 - spread as i64;
                *scale = (i64::from(ONE) + drift + own).clamp(0, 254) as u8;
                if self == Self::WithNan && rng.one_in(300) {
                    *scale = NAN;
                }
            }
        }
    }
}

/// Steps of at most 2^4 from one block of four columns to the next.
fn wander(seed: u64, columns: usize) -> Vec<i64> {
    let mut rng = Rng::stream(seed, 11 << 40);
    let mut at = 0i64;
    (0..columns)
        .map(|column| {
            if column % 4 == 0 {
                at = (at + rng.between(0, 8) as i64 - 4).clamp(-37, 37);
            }
            at
        })
        .collect()
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
            Self::Wandering => "wandering",
            Self::Mixed => "mixed",
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
        let most = [0, 3, 16, 108, 127, 128, 40, 16].map(Some);
        assert_eq!(reached[..6], most[..6]);
        // A walk and a choice of blocks need not go as far as they may.
        assert!(reached[6] <= most[6] && reached[6] > Some(16));
        assert_eq!(reached[7], most[7]);
        let nan = |kind| draw(kind, Side::B).contains(&NAN);
        assert_eq!(ScaleValues::BF16.map(nan), [false, false, false, false, true, false, false]);
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
