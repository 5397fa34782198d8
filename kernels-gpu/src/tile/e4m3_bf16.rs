//! From e4m3 codes to bf16 by integer operations, four codes at a time.
//!
//! A bf16 number has the sign, exponent and mantissa fields of an e4m3 code side by side as well, only wider: moved
//! to their places, a code stands for its value times `2^(7 - 127)`, subnormals included. One multiplication by
//! `2^(120 + s - 127)` then gives the value times the scale `2^(s - 127)`, rounded once, and exactly wherever bf16
//! can hold it. NaN codes and scales above 134 need more; see [`Scale::is_plain`] and [`has_nan`].

/// Signs of both halves.
const SIGNS: u32 = 0x8000_8000;
/// Exponent and mantissa of a code, in both halves.
const MAGNITUDES: u32 = 0x07F0_07F0;
/// The exponent field of `2^120`.
const EXPONENT: u32 = 120 + 127;
/// One in the exponent field of both halves.
const STEP: u32 = 0x0080_0080;
/// The largest scale byte whose factor is a bf16 number.
const LARGEST: u32 = 254 - 120;

/// Codes 0 and 2 of a word as bf16, 120 binary orders too small.
#[inline(always)]
pub const fn even(word: u32) -> u32 {
    (word << 8) & SIGNS | (word << 4) & MAGNITUDES
}

/// Codes 1 and 3 of a word.
#[inline(always)]
pub const fn odd(word: u32) -> u32 {
    word & SIGNS | (word >> 4) & MAGNITUDES
}

/// Accumulates over words, beginning with 0, whether a code was NaN; see [`has_nan`].
#[inline(always)]
pub const fn note_nan(noted: u32, word: u32) -> u32 {
    noted | ((word & 0x7F7F_7F7F) + 0x0101_0101)
}

/// Whether one of the noted codes was NaN.
#[inline(always)]
pub const fn has_nan(noted: u32) -> bool {
    noted & 0x8080_8080 != 0
}

/// `values`, which came of the result `spread` of [`even`] or [`odd`], with NaN in place of NaN codes.
#[inline(always)]
pub const fn with_nan(spread: u32, values: u32) -> u32 {
    let low = if spread & 0x7F0 == 0x7F0 { 0x7FFF } else { values & 0xFFFF };
    let high = if (spread >> 16) & 0x7F0 == 0x7F0 { 0x7FFF } else { values >> 16 };
    low | high << 16
}

/// What codes are multiplied by.
#[derive(Clone, Copy)]
pub struct Scale(pub u32);

impl Scale {
    /// Whether [`Scale::factor`] can say it.
    #[inline(always)]
    pub const fn is_plain(self) -> bool {
        self.0 <= LARGEST
    }

    /// `2^(120 + s - 127)` in both halves.
    #[inline(always)]
    pub const fn factor(self) -> u32 {
        // The field is `s - 127 + 120 + 127`.
        self.0 * STEP + (EXPONENT - 127) * STEP
    }

    /// `2^(s - 127)` in both halves, for what was multiplied by [`ORDERS`] before.
    #[inline(always)]
    pub const fn value(self) -> u32 {
        match self.0 {
            0 => 0x0040_0040,
            255 => 0x7FFF_7FFF,
            scale => scale * STEP,
        }
    }
}

/// `2^120` in both halves.
pub const ORDERS: u32 = EXPONENT * STEP;

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a bf16 number.
    fn value(bits: u32) -> f64 {
        f64::from(f32::from_bits(bits << 16))
    }

    /// The value of an e4m3 code that is not NaN.
    fn code(code: u32) -> f64 {
        let (exponent, mantissa) = ((code >> 3 & 15) as i32, f64::from(code & 7));
        let magnitude = if exponent == 0 {
            mantissa * 0.001_953_125
        } else {
            (1.0 + mantissa / 8.0) * f64::from(f32::from_bits(((120 + exponent) as u32) << 23))
        };
        if code & 0x80 == 0 { magnitude } else { -magnitude }
    }

    #[test]
    fn every_code_goes_to_its_place() {
        let orders = value(ORDERS & 0xFFFF);
        for number in 0..256 {
            if number & 0x7F == 0x7F {
                continue;
            }
            for place in 0..4 {
                let word = number << (8 * place);
                let pair = if place % 2 == 0 { even(word) } else { odd(word) };
                let half = pair >> (16 * (place / 2)) & 0xFFFF;
                assert!((value(half) * orders - code(number)).abs() < 1e-30, "{number:#x}");
                assert_eq!(half >> 15, number >> 7);
                let other = if place % 2 == 0 { odd(word) } else { even(word) };
                assert_eq!((other, pair & !(0xFFFF << (16 * (place / 2)))), (0, 0));
            }
        }
    }

    #[test]
    fn nan_codes_are_noted_in_every_place() {
        for place in 0..4 {
            for sign in [0, 0x80] {
                for number in 0..0x80 {
                    let word =
                        (number | sign) << (8 * place) | (0x7E7E_7E7E & !(0xFF << (8 * place)));
                    assert_eq!(has_nan(note_nan(0, word)), number == 0x7F);
                }
            }
        }
        assert_eq!(with_nan(odd(0x7F00_0000), 0x1234_5678), 0x7FFF_5678);
        assert_eq!(with_nan(even(0x0000_00FF), 0x1234_5678), 0x1234_7FFF);
    }

    #[test]
    fn factors_are_powers_of_two() {
        for scale in 0..=134 {
            assert!(Scale(scale).is_plain());
            assert_eq!(Scale(scale).factor() & 0xFFFF, (scale + 120) << 7);
        }
        assert!(!Scale(135).is_plain());
        assert!((value(Scale(127).value() & 0xFFFF) - 1.0).abs() < 1e-30);
        assert_eq!(Scale(0).value() & 0xFFFF, 0x0040);
        assert!(value(Scale(255).value() & 0xFFFF).is_nan());
    }
}
