//! The quantiser by the closed form, in whole numbers: no step here rounds but the one that the rule asks for.

use super::{Block, Quantised, VECTOR};
use crate::e4m3::{MAX_CODE, NAN_CODE};
use expert_gemm_kernels::abi::scale_atoms::NAN as SCALE_NAN;
use expert_gemm_kernels::abi::{ElementType, ScaleRule};

/// The scale that an infinity makes by [`ScaleRule::Sgl`], and the largest of all.
const SCALE_MAX: i32 = 254;

/// A 16-bit float: 1 sign bit, exponent, fraction.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    fraction_bits: u32,
    bias: i32,
}

impl Format {
    /// The format of an input's elements.
    ///
    /// # Panics
    /// If the element type is not bf16 or f16: no kernel quantises anything else.
    pub fn of(input: ElementType) -> Self {
        match input {
            ElementType::Bf16 => Self { fraction_bits: 7, bias: 127 },
            ElementType::F16 => Self { fraction_bits: 10, bias: 15 },
            other => panic!("{} is not an element type of inputs", other.name()),
        }
    }

    /// The magnitude that is infinite; NaNs have larger ones.
    pub const fn infinity(self) -> u16 {
        0x7FFF >> self.fraction_bits << self.fraction_bits
    }

    /// A finite magnitude as `significand * 2^exponent`.
    const fn parts(self, magnitude: u16) -> (u32, i32) {
        let (magnitude, hidden) = (magnitude as u32, 1 << self.fraction_bits);
        let (field, fraction) = (magnitude >> self.fraction_bits, magnitude & (hidden - 1));
        let lowest = 1 - self.bias - self.fraction_bits as i32;
        if field == 0 { (fraction, lowest) } else { (fraction | hidden, lowest + field as i32 - 1) }
    }
}

/// Quantises a block.
pub fn block(elements: &Block, format: Format, rule: ScaleRule) -> Quantised {
    let infinity = format.infinity();
    let magnitudes = elements.map(|bits| bits & 0x7FFF);
    let nan = |&magnitude: &u16| magnitude > infinity;
    let special = magnitudes.iter().any(|&magnitude| magnitude >= infinity);
    let all_nan = magnitudes.iter().all(nan);
    if all_nan || special && rule != ScaleRule::Sgl {
        return Quantised { scale: SCALE_NAN, codes: [NAN_CODE; VECTOR] };
    }
    // Magnitudes order as their bits do.
    let largest = magnitudes.iter().copied().filter(|m| !nan(m)).max().unwrap_or(0);
    if largest == infinity {
        let code = |bits: u16| {
            if bits & 0x7FFF >= infinity { NAN_CODE } else { sign(bits) }
        };
        return Quantised { scale: SCALE_MAX as u8, codes: elements.map(code) };
    }
    let scale = scale(format.parts(largest), rule);
    let code = |bits: u16| match bits & 0x7FFF {
        magnitude if nan(&magnitude) => NAN_CODE,
        magnitude => sign(bits) | encode(format.parts(magnitude), scale - 127),
    };
    Quantised { scale: scale as u8, codes: elements.map(code) }
}

const fn sign(bits: u16) -> u8 {
    (bits >> 8) as u8 & 0x80
}

/// The scale byte for a largest magnitude `significand * 2^exponent`.
fn scale((significand, exponent): (u32, i32), rule: ScaleRule) -> i32 {
    let Some(top) = significand.checked_ilog2() else { return 0 };
    let above = match rule {
        ScaleRule::OcpFloor => false,
        // The significand over 2^top is between 1 and 2; is it above 7 / 4?
        ScaleRule::Sgl | ScaleRule::Strict => 4 * significand > 7 << top,
    };
    (exponent + top as i32 + 119 + i32::from(above)).clamp(0, SCALE_MAX)
}

/// The magnitude's code of `significand * 2^exponent / 2^scale`: to nearest, ties to even, 448 at most.
fn encode((significand, exponent): (u32, i32), scale: i32) -> u8 {
    let Some(top) = significand.checked_ilog2() else { return 0 };
    let point = exponent - scale;
    // Neighbours lie an eighth of the leading power of two apart, and no closer than 2^-9.
    let leading = (point + top as i32).max(-6);
    let shift = leading - 3 - point;
    let eighths = match shift {
        ..=0 => significand << -shift,
        1..=24 => {
            let odd = (significand >> shift) & 1;
            (significand + (1 << (shift - 1)) - 1 + odd) >> shift
        }
        // Below half a unit: no significand has 24 bits.
        _ => 0,
    };
    // 8 eighths of the smallest binade are code 8. Rounding up to 16 eighths gives the next binade by itself.
    let code = ((leading + 6) << 3) + eighths as i32;
    code.min(i32::from(MAX_CODE)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const BF16: ElementType = ElementType::Bf16;

    /// A block of zeros but for the first elements.
    fn with(first: &[u16]) -> Block {
        core::array::from_fn(|i| first.get(i).copied().unwrap_or(0))
    }

    fn scale_of(bits: u16, input: ElementType, rule: ScaleRule) -> u8 {
        block(&with(&[bits]), Format::of(input), rule).scale
    }

    #[test]
    fn the_smallest_scale_without_saturation_is_chosen() {
        // 448 = 1.75 * 2^8 needs no more than one; its successor does.
        assert_eq!(scale_of(0x43E0, BF16, ScaleRule::Sgl), 127);
        assert_eq!(scale_of(0x43E1, BF16, ScaleRule::Sgl), 128);
        assert_eq!(scale_of(0x43E1, BF16, ScaleRule::OcpFloor), 127);
        assert_eq!(scale_of(0x5F00, ElementType::F16, ScaleRule::Strict), 127);
        assert_eq!(scale_of(0x5F01, ElementType::F16, ScaleRule::Strict), 128);
    }

    #[test]
    fn a_quarter_of_a_binade_saturates_by_the_floor() {
        let quantised = block(&with(&[0x43FF, 0xC3FF]), Format::of(BF16), ScaleRule::OcpFloor);
        assert_eq!(quantised.codes[..3], [0x7E, 0xFE, 0x00]);
    }

    #[test]
    fn codes_of_known_numbers() {
        // 1, 17/16 (a tie, down to even), 19/16 (a tie, up to even), 2^-6, 2^-10 (a tie with zero), -3 * 2^-10.
        let numbers = [1.0, 1.0625, 1.1875, 0.015_625, 0.000_976_562_5, -0.002_929_687_5f32];
        let codes = numbers.map(|x| {
            let bits = half::bf16::from_f32(x).to_bits();
            sign(bits) | encode(Format::of(BF16).parts(bits & 0x7FFF), 0)
        });
        assert_eq!(codes, [0x38, 0x38, 0x3A, 0x08, 0x00, 0x82]);
    }
}
