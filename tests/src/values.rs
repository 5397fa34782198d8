//! Kinds of operands: how the codes of a tensor are drawn.

use crate::e4m3;
use crate::rng::Rng;
use core::fmt;
use std::sync::LazyLock;

/// A distribution of e4m3 codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Values {
    /// Every code but the NaNs, equally likely: magnitudes over the whole range.
    Uniform,
    /// Uniform, with about one NaN in 600 codes.
    WithNan,
    /// What quantising normal data with the block's own amax gives.
    Gaussian,
    /// Whole numbers from -3 to 3: short sums are exact.
    Integers,
    /// Subnormals and the two smallest binades.
    Tiny,
    /// Nine zeros in ten.
    Sparse,
}

impl Values {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Uniform, Self::WithNan, Self::Gaussian, Self::Integers, Self::Tiny, Self::Sparse];

    /// Fills `codes`.
    pub fn fill(self, rng: &mut Rng, codes: &mut [u8]) {
        match self {
            Self::Uniform => fill_bytes(rng, codes, finite),
            Self::WithNan => {
                Self::Uniform.fill(rng, codes);
                let nans = (codes.len() as u64).div_ceil(600);
                for _ in 0..rng.below(2 * nans + 1) {
                    let at = rng.below(codes.len() as u64) as usize;
                    codes[at] = rng.pick(&[0x7F, 0xFF]);
                }
            }
            Self::Gaussian => fill_gaussian(rng, codes),
            Self::Integers => fill_bytes(rng, codes, |byte| {
                const INTEGERS: [u8; 7] = [0xC4, 0xC0, 0xB8, 0x00, 0x38, 0x40, 0x44];
                INTEGERS[(byte as usize * INTEGERS.len()) >> 8]
            }),
            Self::Tiny => fill_bytes(rng, codes, |byte| ((byte & 0x7F) % 24) | (byte & 0x80)),
            Self::Sparse => {
                codes.fill(0);
                for code in codes {
                    if rng.one_in(10) {
                        *code = finite(rng.bits() as u8);
                    }
                }
            }
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uniform => "uniform",
            Self::WithNan => "with-nan",
            Self::Gaussian => "gaussian",
            Self::Integers => "integers",
            Self::Tiny => "tiny",
            Self::Sparse => "sparse",
        })
    }
}

/// The code of a random byte, with both NaNs moved to a neighbour.
fn finite(byte: u8) -> u8 {
    byte - u8::from(e4m3::is_nan(byte))
}

fn fill_bytes(rng: &mut Rng, codes: &mut [u8], code: impl Fn(u8) -> u8) {
    for chunk in codes.chunks_mut(8) {
        for (to, from) in chunk.iter_mut().zip(rng.bits().to_le_bytes()) {
            *to = code(from);
        }
    }
}

/// Codes of a normal variable at 65,536 equally likely quantiles, scaled so that 3.2 standard deviations
/// (about the amax of a few hundred draws) meet 448.
static GAUSSIAN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let count = 1 << 16;
    (0..count)
        .map(|i| {
            let probability = (i as f64 + 0.5) / count as f64;
            e4m3::encode((normal_quantile(probability) * 448.0 / 3.2) as f32)
        })
        .collect()
});

fn fill_gaussian(rng: &mut Rng, codes: &mut [u8]) {
    let table = &GAUSSIAN[..];
    for chunk in codes.chunks_mut(4) {
        let bits = rng.bits();
        for (i, to) in chunk.iter_mut().enumerate() {
            *to = table[(bits >> (16 * i)) as usize & 0xFFFF];
        }
    }
}

/// Inverse of the normal distribution function, by bisection.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if normal_distribution(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Normal distribution function (Abramowitz and Stegun 26.2.17, error below 7.5e-8).
fn normal_distribution(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] =
        [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial = COEFFICIENTS.iter().rev().fold(0.0, |sum, c| (sum + c) * t);
    let density = (-x * x / 2.0).exp() / core::f64::consts::TAU.sqrt();
    if x < 0.0 { density * polynomial } else { 1.0 - density * polynomial }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(values: Values) -> Vec<u8> {
        let mut codes = vec![0; 40_001];
        values.fill(&mut Rng::new(5), &mut codes);
        codes
    }

    #[test]
    fn only_one_kind_holds_nan() {
        for values in Values::ALL {
            let nans = draw(values).iter().filter(|&&code| e4m3::is_nan(code)).count();
            assert_eq!(nans > 0, values == Values::WithNan, "{values}: {nans}");
        }
    }

    #[test]
    fn each_kind_has_its_range() {
        let decoded = |values| draw(values).into_iter().map(e4m3::decode).collect::<Vec<_>>();
        assert!(decoded(Values::Integers).iter().all(|x| x.abs() <= 3.0 && x.fract() == 0.0));
        assert!(decoded(Values::Tiny).iter().all(|x| x.abs() <= 2f32.powi(-4)));
        let zeros = decoded(Values::Sparse).iter().filter(|&&x| x == 0.0).count();
        assert!((35_000..37_500).contains(&zeros), "{zeros}");
        let seen: std::collections::HashSet<u8> = draw(Values::Uniform).into_iter().collect();
        assert_eq!(seen.len(), 254);
    }

    #[test]
    fn gaussian_codes_have_the_deviation_they_promise() {
        let codes = draw(Values::Gaussian);
        let square = |&code: &u8| f64::from(e4m3::decode(code)).powi(2);
        let deviation = (codes.iter().map(square).sum::<f64>() / codes.len() as f64).sqrt();
        assert!((deviation / 140.0 - 1.0).abs() < 0.02, "{deviation}");
    }
}
