//! Seeded inputs, frozen: the corpus holds no inputs, so nothing here may ever change a number it makes.

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator for a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `bound`, which is small: the bias is far below what any of this needs.
    pub const fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 16) % bound
    }
}

/// The 64-bit FNV-1a hash.
#[derive(Clone, Copy, Debug)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// Takes in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash of everything so far.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

/// Kinds of e4m3 operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codes {
    /// Every code but the NaNs.
    Uniform,
    /// About normal: the sum of four uniform numbers, scaled to the range.
    Gaussian,
    /// Subnormals and the smallest binades.
    Tiny,
    /// Nine zeros in ten.
    Sparse,
    /// Whole numbers from -3 to 3.
    Integers,
    /// Uniform, with a NaN in a few hundred codes.
    WithNan,
}

impl Codes {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Uniform, Self::Gaussian, Self::Tiny, Self::Sparse, Self::Integers, Self::WithNan];

    /// The name in a case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Gaussian => "gaussian",
            Self::Tiny => "tiny",
            Self::Sparse => "sparse",
            Self::Integers => "integers",
            Self::WithNan => "nan",
        }
    }

    /// One code.
    fn draw(self, rng: &mut Rng) -> u8 {
        let bits = rng.bits() >> 8;
        let byte = bits as u8;
        let finite = finite(byte);
        match self {
            Self::Gaussian => gaussian(bits),
            Self::Tiny => (byte & 0x80) | ((byte & 0x7F) % 24),
            Self::Sparse if !(bits >> 8).is_multiple_of(10) => 0,
            Self::Integers => {
                [0xC4, 0xC0, 0xB8, 0x00, 0x38, 0x40, 0x44][usize::from(byte) * 7 / 256]
            }
            Self::WithNan if (bits >> 8).is_multiple_of(300) => byte | 0x7F,
            Self::Uniform | Self::Sparse | Self::WithNan => finite,
        }
    }

    /// `count` codes.
    pub fn fill(self, seed: u64, count: usize) -> Vec<u8> {
        let mut rng = Rng::new(seed);
        (0..count).map(|_| self.draw(&mut rng)).collect()
    }
}

/// A byte as a code that is no NaN.
pub(super) const fn finite(byte: u8) -> u8 {
    if byte & 0x7F == 0x7F { byte - 1 } else { byte }
}

/// The code nearest below a number whose deviation is about 140, a third of the largest: integers only, so that
/// no compiler can change it.
fn gaussian(bits: u64) -> u8 {
    let sum: i64 = (0..4).map(|i| ((bits >> (12 * i)) & 0xFFF) as i64).sum();
    // Between -8190 and 8190 with deviation 2364; in sixteenths, 2240 is wanted.
    let scaled = sum - 8190;
    let sign = if scaled < 0 { 0x80 } else { 0 };
    let magnitude = scaled.unsigned_abs();
    if magnitude < 16 {
        return sign;
    }
    let exponent = 63 - u64::from(magnitude.leading_zeros());
    let fraction = (magnitude >> (exponent - 3)) & 7;
    // A magnitude of 16 is the number 1, whose exponent field is 7.
    let code = ((exponent - 4 + 7) << 3) | fraction;
    sign | code.min(0x7E) as u8
}

/// Random bytes.
pub fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| (rng.bits() >> 24) as u8).collect()
}

/// Bytes that differ from all near them, with a period that is no power of two: a misplaced byte shows, and
/// the corpus stays small.
pub fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 241) as u8).collect()
}

/// The bytes of words.
pub fn words(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_frozen() {
        let mut hash = Hash::default();
        for (seed, codes) in Codes::ALL.into_iter().enumerate() {
            hash.bytes(&codes.fill(seed as u64, 1000));
        }
        hash.bytes(&bytes(9, 1000));
        hash.bytes(&pattern(1000));
        assert_eq!(hash.finish(), 18_233_635_285_098_775_253);
    }

    #[test]
    fn only_one_kind_holds_nan() {
        for codes in Codes::ALL {
            let nans = codes.fill(3, 10_000).iter().filter(|&&code| code & 0x7F == 0x7F).count();
            assert_eq!(nans > 0, codes == Codes::WithNan, "{codes:?}: {nans}");
        }
    }
}
