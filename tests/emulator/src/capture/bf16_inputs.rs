//! Seeded bf16 operands and binary32 accumulators, frozen like [`super::inputs`].

use super::inputs::{Rng, finite};

/// Kinds of bf16 numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbers {
    /// Whole numbers from -8 to 8.
    Integers,
    /// Any sign and fraction, 16 binades around 1.
    Moderate,
    /// About normal: the sum of four uniform numbers.
    Gaussian,
    /// Products lie between `2^-158` and `2^-110`, across the subnormal numbers of the result.
    Tiny,
    /// Nine zeros in ten, the rest as `Moderate`.
    Sparse,
    /// 80 binades around 1.
    Wide,
    /// Finite E4M3 codes.
    Codes,
    /// Finite E4M3 codes, each multiplied by a power of two.
    ScaledCodes,
    /// Subnormal numbers, zeros among them.
    Subnormal,
    /// The 24 largest binades.
    Large,
    /// Products lie around the end of the range.
    Huge,
    /// Small numbers, and a zero in every odd column of K.
    OddZeros,
    /// Small numbers, and a huge one in every odd column of K.
    OddHuge,
    /// `Moderate` with infinities.
    WithInfinity,
    /// `Moderate` with NaNs of all kinds.
    WithNan,
    /// `Wide`; most columns of K come in pairs whose products cancel.
    Pairs,
    /// As `Pairs`, with the other sign in the second column of a pair.
    OppositePairs,
    /// Numbers whose products lie beyond the range, in pairs, or zeros.
    HugePairs,
    /// As `HugePairs`, with the other sign in the second column of a pair.
    OppositeHugePairs,
}

impl Numbers {
    /// `rows` rows of 128 numbers, row-major.
    pub fn fill(self, seed: u64, rows: usize) -> Vec<u16> {
        let mut rng = Rng::new(seed);
        let mut numbers: Vec<u16> =
            (0..rows * 128).map(|i| self.draw(&mut rng, i % 2 == 1)).collect();
        let (sign, huge) = match self {
            Self::Pairs => (0, false),
            Self::OppositePairs => (0x8000, false),
            Self::HugePairs => (0, true),
            Self::OppositeHugePairs => (0x8000, true),
            _ => return numbers,
        };
        for pair in numbers.chunks_exact_mut(2) {
            if rng.below(8) != 0 {
                pair[1] = pair[0] ^ sign;
            } else if huge {
                pair.fill(0);
            }
        }
        numbers
    }

    /// One number; `odd` says whether its column of K is.
    fn draw(self, rng: &mut Rng, odd: bool) -> u16 {
        let bits = rng.bits() >> 8;
        let (sign, fraction) = ((bits & 1) << 15, bits >> 1 & 0x7F);
        let bits = bits >> 8;
        let with =
            |low: u64, high: u64| (sign | (low + bits % (high - low + 1)) << 7 | fraction) as u16;
        match self {
            Self::Integers => from_f32((bits % 17) as f32 - 8.0),
            Self::Gaussian => {
                let sum: u64 = (0..4).map(|i| bits >> (8 * i) & 0xFF).sum();
                from_f32(sum as f32 - 510.0)
            }
            Self::Tiny => with(48, 72),
            Self::Sparse if !bits.is_multiple_of(10) => sign as u16,
            Self::Wide | Self::Pairs | Self::OppositePairs => with(87, 167),
            Self::Codes => code(bits, 0),
            Self::ScaledCodes => code(bits, (bits >> 8 & 15) as i32 - 8),
            Self::Subnormal => (sign | fraction) as u16,
            Self::Large => with(231, 254),
            Self::Huge => with(184, 194),
            Self::HugePairs | Self::OppositeHugePairs => with(192, 210),
            Self::OddZeros if odd => sign as u16,
            Self::OddHuge if odd => with(240, 254),
            Self::OddZeros | Self::OddHuge => with(70, 80),
            Self::WithInfinity if bits.is_multiple_of(60) => (sign | 0x7F80) as u16,
            Self::WithNan if bits.is_multiple_of(300) => (sign | 0x7F80 | fraction.max(1)) as u16,
            Self::WithInfinity | Self::WithNan if bits % 10 == 1 => sign as u16,
            Self::Moderate | Self::Sparse | Self::WithInfinity | Self::WithNan => with(119, 134),
        }
    }
}

/// A finite code times a power of two, which bf16 holds exactly.
fn code(bits: u64, exponent: i32) -> u16 {
    let code = finite(bits as u8);
    let magnitude = f32::from(code & 7) / 8.0 + if code & 0x78 == 0 { 0.0 } else { 1.0 };
    let binade = i32::from(code >> 3 & 15).max(1) - 7 + exponent;
    let magnitude = magnitude * f32::from_bits(((binade + 127) as u32) << 23);
    from_f32(if code & 0x80 == 0 { magnitude } else { -magnitude })
}

/// The upper half; the callers' numbers have no more bits.
fn from_f32(x: f32) -> u16 {
    (x.to_bits() >> 16) as u16
}

/// Kinds of accumulators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// About as large as products of the two kinds, with all 23 fraction bits, and some zeros of both signs.
    Like(Numbers, Numbers),
    /// The same with subnormal numbers, infinities and NaNs.
    Special(Numbers, Numbers),
}

impl Start {
    /// `count` accumulators, as bits.
    pub fn fill(self, seed: u64, count: usize) -> Vec<u32> {
        let mut rng = Rng::new(seed);
        (0..count).map(|_| self.draw(&mut rng)).collect()
    }

    fn draw(self, rng: &mut Rng) -> u32 {
        let (Self::Like(a, b) | Self::Special(a, b)) = self;
        let odd = rng.below(2) == 1;
        let field = |x: u16| i64::from(x >> 7 & 0xFF);
        let product = field(a.draw(rng, odd)) + field(b.draw(rng, odd)) - 127;
        let field = (product + rng.below(4) as i64).clamp(0, 254) as u32;
        let bits = (rng.bits() >> 16) as u32;
        let sign = bits & 1 << 31;
        match (self, rng.below(16)) {
            (_, 0) => sign,
            (Self::Special(..), 1) => sign | bits & 0x007F_FFFF,
            (Self::Special(..), 2) => sign | 0x7F80_0000,
            (Self::Special(..), 3) if bits.is_multiple_of(4) => {
                sign | 0x7F80_0000 | (bits & 0x007F_FFFF).max(1)
            }
            _ => sign | field << 23 | bits & 0x007F_FFFF,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::inputs::Hash;
    use super::*;

    #[test]
    fn inputs_are_frozen() {
        use Numbers::{
            Codes, Gaussian, Huge, HugePairs, Integers, Large, Moderate, OddHuge, OddZeros,
            OppositeHugePairs, OppositePairs, Pairs, ScaledCodes, Sparse, Subnormal, Tiny, Wide,
            WithInfinity, WithNan,
        };
        let kinds = [
            Integers,
            Moderate,
            Gaussian,
            Tiny,
            Sparse,
            Wide,
            Codes,
            ScaledCodes,
            Subnormal,
            Large,
            Huge,
            OddZeros,
            OddHuge,
            WithInfinity,
            WithNan,
            Pairs,
            OppositePairs,
            HugePairs,
            OppositeHugePairs,
        ];
        let mut hash = Hash::default();
        for (seed, kind) in kinds.into_iter().enumerate() {
            for number in kind.fill(seed as u64, 10) {
                hash.bytes(&number.to_le_bytes());
            }
            for start in [Start::Like(kind, Moderate), Start::Special(Moderate, kind)] {
                for bits in start.fill(seed as u64, 100) {
                    hash.bytes(&bits.to_le_bytes());
                }
            }
        }
        assert_eq!(hash.finish(), 5_395_132_322_334_368_175);
    }
}
