//! Scale bytes from the largest magnitude of a block, as integers of binary32 bits.

use crate::abi::scale_atoms::NAN;

/// Exponent of the largest e4m3 number, `1.75 * 2^8`.
const E4M3_EXPONENT: u32 = 8;
/// What has to be added to a mantissa above that of 1.75 to overflow it, and to no smaller one.
const ABOVE_1_75: u32 = 0x7F_FFFF - 0x60_0000;
/// Scale of a block with an Inf by the rule of `SGLang`.
pub const INFINITE: u32 = 254;

/// The scale byte of a block whose largest magnitude is the finite binary32 number `amax`: the smallest power
/// of two that keeps `amax` within 448 scales if `round_up`, else `2^(floor(log2 amax) - 8)`.
#[inline(always)]
pub const fn scale(amax: u32, round_up: bool) -> u32 {
    let bias = if round_up { ABOVE_1_75 } else { 0 };
    ((amax + bias) >> 23).saturating_sub(E4M3_EXPONENT)
}

/// Bits of the binary32 number `2^(127 - scale)`, for the scale of a block of finite numbers, which is below
/// [`INFINITE`].
#[inline(always)]
pub const fn finite_reciprocal(scale: u32) -> u32 {
    (254 - scale) << 23
}

/// Bits of the binary32 number by which the elements of a block are multiplied: `2^(127 - scale)`, 0 for
/// [`INFINITE`], which leaves nothing of finite elements, and NaN for NaN.
#[inline(always)]
pub const fn reciprocal(scale: u32) -> u32 {
    if scale < INFINITE {
        finite_reciprocal(scale)
    } else if scale == NAN as u32 {
        0x7FC0_0000
    } else {
        0
    }
}

/// The number that a scale byte stands for.
#[inline(always)]
pub const fn value(scale: u32) -> f32 {
    f32::from_bits(match scale {
        0 => 1 << 22,
        255 => 0x7FC0_0000,
        scale => scale << 23,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_smallest_that_does_not_saturate() {
        for exponent in -118..=127 {
            for mantissa in [0u32, 1, 0x60_0000, 0x60_0001, 0x7F_FFFF] {
                let amax = ((exponent + 127) as u32) << 23 | mantissa;
                let scale = scale(amax, true) as i32;
                // In units of 2^(exponent - 23), against 448 * 2^(scale - 127).
                let value = u64::from(mantissa | 0x80_0000) << 20;
                let limit = |scale: i32| 7u64 << (6 + 20 + 23 + scale - 127 - exponent);
                assert!(value <= limit(scale), "{amax:#x}");
                assert!(value > limit(scale - 1), "{amax:#x}");
            }
        }
    }

    #[test]
    fn rounding_down_differs_only_above_one_and_three_quarters() {
        assert_eq!((scale(0x3F80_0000, true), scale(0x3F80_0000, false)), (119, 119));
        assert_eq!((scale(0x3FE0_0000, true), scale(0x3FE0_0000, false)), (119, 119));
        assert_eq!((scale(0x3FE0_0001, true), scale(0x3FE0_0001, false)), (120, 119));
    }

    #[test]
    fn small_blocks_have_the_smallest_scale() {
        for amax in [0, 1, 0x7F_FFFF, 7 << 23, (8 << 23) | 0x60_0000] {
            assert_eq!((scale(amax, true), scale(amax, false)), (0, 0), "{amax:#x}");
        }
        assert_eq!(scale((8 << 23) | 0x60_0001, true), 1);
    }

    #[test]
    fn values_are_powers_of_two() {
        for scale in 0..255 {
            let exact = 2f64.powi(scale as i32 - 127);
            assert_eq!(f64::from(value(scale)).to_bits(), exact.to_bits());
        }
        assert!(value(255).is_nan());
    }

    #[test]
    fn the_reciprocal_times_the_scale_is_one() {
        for scale in 1..=253 {
            assert_eq!(reciprocal(scale) >> 23, 254 - scale);
        }
        assert_eq!((reciprocal(0), reciprocal(254)), (254 << 23, 0));
        assert!(f32::from_bits(reciprocal(255)).is_nan());
    }
}
