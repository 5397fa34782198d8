//! Seeded f16 operands and binary32 accumulators for them, frozen like [`super::inputs`].

use super::inputs::{Rng, finite};

/// Kinds of f16 numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbers {
    /// Whole numbers from -8 to 8.
    Integers,
    /// Any sign and fraction, 16 binades around 1.
    Moderate,
    /// About normal: the sum of four uniform numbers.
    Gaussian,
    /// Nine zeros in ten, the rest as `Moderate`.
    Sparse,
    /// Every normal binade.
    Wide,
    /// Finite E4M3 codes.
    Codes,
    /// Finite E4M3 codes, each multiplied by a power of two; the smallest become subnormal.
    ScaledCodes,
    /// Subnormal numbers, zeros among them.
    Subnormal,
    /// Subnormal numbers and the five smallest normal binades.
    Tiny,
    /// The four largest binades.
    Large,
    /// Half of them `Large`, half of them subnormal or in the three smallest normal binades.
    Mixed,
    /// Small numbers, and a zero in every odd column of K.
    OddZeros,
    /// Small numbers, and a large one in every odd column of K.
    OddLarge,
    /// `Moderate` with infinities.
    WithInfinity,
    /// `Moderate` with NaNs of all kinds.
    WithNan,
    /// `Wide`; most columns of K come in pairs whose products cancel.
    Pairs,
    /// As `Pairs`, with the other sign in the second column of a pair.
    OppositePairs,
}

impl Numbers {
    /// `rows` rows of 128 numbers, row-major.
    pub fn fill(self, seed: u64, rows: usize) -> Vec<u16> {
        let mut rng = Rng::new(seed);
        let mut numbers: Vec<u16> =
            (0..rows * 128).map(|i| self.draw(&mut rng, i % 2 == 1)).collect();
        let sign = match self {
            Self::Pairs => 0,
            Self::OppositePairs => 0x8000,
            _ => return numbers,
        };
        for pair in numbers.chunks_exact_mut(2) {
            if rng.below(8) != 0 {
                pair[1] = pair[0] ^ sign;
            }
        }
        numbers
    }

    /// One number; `odd` says whether its column of K is.
    fn draw(self, rng: &mut Rng, odd: bool) -> u16 {
        let bits = rng.bits() >> 8;
        let (sign, fraction) = ((bits & 1) << 15, bits >> 1 & 0x3FF);
        let bits = bits >> 11;
        let with =
            |low: u64, high: u64| (sign | (low + bits % (high - low + 1)) << 10 | fraction) as u16;
        match self {
            Self::Integers => whole((bits % 17) as i64 - 8),
            Self::Gaussian => {
                let sum: u64 = (0..4).map(|i| bits >> (8 * i) & 0xFF).sum();
                whole(sum as i64 - 510)
            }
            Self::Sparse if !bits.is_multiple_of(10) => sign as u16,
            Self::Wide | Self::Pairs | Self::OppositePairs => with(1, 30),
            Self::Codes => code(bits, 0),
            Self::ScaledCodes => code(bits, (bits >> 8 & 15) as i32 - 8),
            Self::Subnormal => (sign | fraction) as u16,
            Self::Tiny => with(0, 5),
            Self::Mixed if bits & 1 == 1 => (sign | (bits >> 1 & 3) << 10 | fraction) as u16,
            Self::Large | Self::Mixed => with(27, 30),
            Self::OddZeros if odd => sign as u16,
            Self::OddLarge if odd => with(27, 30),
            Self::OddZeros | Self::OddLarge => with(1, 4),
            Self::WithInfinity if bits.is_multiple_of(60) => (sign | 0x7C00) as u16,
            Self::WithNan if bits.is_multiple_of(300) => (sign | 0x7C00 | fraction.max(1)) as u16,
            Self::WithInfinity | Self::WithNan if bits % 10 == 1 => sign as u16,
            Self::Moderate | Self::Sparse | Self::WithInfinity | Self::WithNan => with(7, 22),
        }
    }
}

/// `significand * 2^exponent` for a significand below 2048 whose lowest bit f16 can hold there.
fn exact(negative: bool, significand: u64, exponent: i32) -> u16 {
    let sign = if negative { 0x8000 } else { 0 };
    if significand == 0 {
        return sign;
    }
    // In units of the smallest number the field is what lies above the hidden bit.
    let top = significand.ilog2() as i32 + exponent;
    let field = (top + 15).max(0);
    let shift = exponent + 24 - (field - 1).max(0);
    let kept = if shift >= 0 { significand << shift } else { significand >> -shift };
    let hidden = if field == 0 { 0 } else { 1 << 10 };
    sign | (field << 10) as u16 | (kept - hidden) as u16
}

fn whole(x: i64) -> u16 {
    exact(x < 0, x.unsigned_abs(), 0)
}

/// A finite code times a power of two from 2^-8 to 2^7, which f16 holds exactly.
fn code(bits: u64, exponent: i32) -> u16 {
    let code = finite(bits as u8);
    let hidden = if code & 0x78 == 0 { 0 } else { 8 };
    let unit = i32::from(code >> 3 & 15).max(1) - 10 + exponent;
    exact(code & 0x80 != 0, u64::from(code & 7) + hidden, unit)
}

/// Kinds of accumulators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// About as large as products of the two kinds, with all 23 fraction bits, and some zeros of both signs.
    Like(Numbers, Numbers),
    /// As `Like`, up to 31 binades above or below the products.
    Spread(Numbers, Numbers),
    /// As `Like`, with subnormal numbers, infinities and NaNs.
    Special(Numbers, Numbers),
}

impl Start {
    /// `count` accumulators, as bits.
    pub fn fill(self, seed: u64, count: usize) -> Vec<u32> {
        let mut rng = Rng::new(seed);
        (0..count).map(|_| self.draw(&mut rng)).collect()
    }

    fn draw(self, rng: &mut Rng) -> u32 {
        let (Self::Like(a, b) | Self::Spread(a, b) | Self::Special(a, b)) = self;
        let odd = rng.below(2) == 1;
        let exponent = |x: u16| i64::from(x >> 10 & 31).max(1) - 15;
        let product = exponent(a.draw(rng, odd)) + exponent(b.draw(rng, odd)) + 127;
        let beside = match self {
            Self::Spread(..) => rng.below(63) as i64 - 31,
            Self::Like(..) | Self::Special(..) => rng.below(4) as i64,
        };
        let field = (product + beside).clamp(0, 254) as u32;
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

    const ALL: [Numbers; 17] = [
        Numbers::Integers,
        Numbers::Moderate,
        Numbers::Gaussian,
        Numbers::Sparse,
        Numbers::Wide,
        Numbers::Codes,
        Numbers::ScaledCodes,
        Numbers::Subnormal,
        Numbers::Tiny,
        Numbers::Large,
        Numbers::Mixed,
        Numbers::OddZeros,
        Numbers::OddLarge,
        Numbers::WithInfinity,
        Numbers::WithNan,
        Numbers::Pairs,
        Numbers::OppositePairs,
    ];

    #[test]
    fn inputs_are_frozen() {
        let mut hash = Hash::default();
        for (seed, kind) in ALL.into_iter().enumerate() {
            for number in kind.fill(seed as u64, 10) {
                hash.bytes(&number.to_le_bytes());
            }
            let other = Numbers::Moderate;
            for start in
                [Start::Like(kind, other), Start::Spread(other, kind), Start::Special(other, kind)]
            {
                for bits in start.fill(seed as u64, 100) {
                    hash.bytes(&bits.to_le_bytes());
                }
            }
        }
        assert_eq!(hash.finish(), 2_857_635_309_745_477_454);
    }

    #[test]
    fn exact_numbers_are_those_of_the_half_crate() {
        for significand in 0..2048 {
            for exponent in -24..6 {
                let value = significand as f64 * 2f64.powi(exponent);
                let want = half::f16::from_f64(value);
                if want.to_f64().to_bits() == value.to_bits() {
                    assert_eq!(exact(false, significand, exponent), want.to_bits());
                    assert_eq!(exact(true, significand, exponent), want.to_bits() | 0x8000);
                }
            }
        }
        assert_eq!(whole(-510), half::f16::from_f32(-510.0).to_bits());
    }

    #[test]
    fn infinities_and_nans_are_where_they_should() {
        for kind in ALL {
            let numbers = kind.fill(5, 200);
            let field = |x: &&u16| **x & 0x7C00 == 0x7C00;
            let nans = numbers.iter().filter(field).filter(|&x| x & 0x3FF != 0).count();
            let infinities = numbers.iter().filter(field).count() - nans;
            assert_eq!(nans > 0, kind == Numbers::WithNan, "{kind:?}");
            assert_eq!(infinities > 0, kind == Numbers::WithInfinity, "{kind:?}");
        }
    }
}
