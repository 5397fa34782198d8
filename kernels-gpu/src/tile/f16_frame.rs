//! When the operands of a block fit binary16, and by which powers of two they are moved there.
//!
//! An e4m3 code is 0 or lies between `2^-9` and 448 in magnitude. Times `2^d` it is a normal binary16 number, with all
//! its bits, for `d` from -5 to 7. So where the scale bytes of an operand span no more than 13 values, one of them, the
//! operand's origin, stands for `2^0`, and the products come out `2^(origins - 254)` too large: the frame. Multiplying
//! the sums by it later is exact for frames from `2^-60` to `2^12`:
//!
//! - a sum is a multiple of `2^-53` (products of normal numbers, cut at 25 bits below the largest exponent) and below
//!   `2^49` (`448^2 * 2^14` times fewer than `2^17` elements);
//! - moved from any frame to any other, or out of it, it stays a multiple of `2^-126` and below `2^127`.

/// Binary orders that a scale may lie below its operand's origin, and above.
const DOWN: u32 = 5;
const UP: u32 = 7;
/// Where the largest scale of the block that sets an origin lies above it: with room for later blocks, which are as
/// likely to be larger as smaller.
const FIRST_UP: u32 = 4;
/// Origins for which bf16 numbers, with which the results are to agree, are normal and finite as well.
const ORIGINS: (u32, u32) = (64, 190);
/// The least and the greatest binary order of a frame.
const LEAST: i32 = -60;
const MOST: i32 = 12;
/// The exponent field of 1 in binary16.
const F16_BIAS: u32 = 15;

/// The smallest and the largest scale byte of an operand in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The smallest.
    pub low: u32,
    /// The largest.
    pub high: u32,
}

impl Range {
    #[inline(always)]
    const fn fits(self, origin: u32) -> bool {
        self.low + DOWN >= origin && self.high <= origin + UP
    }

    /// An origin that fits, if there is one.
    #[inline(always)]
    const fn origin(self) -> u32 {
        let (by_low, by_high) = (self.low + DOWN, self.high.saturating_sub(FIRST_UP));
        if by_low < by_high { by_low } else { by_high }
    }
}

/// The scale bytes that stand for 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Origin of the weights.
    pub weights: u32,
    /// Origin of the tokens.
    pub tokens: u32,
}

impl Frame {
    /// No frame: nothing fits it.
    pub const NONE: Self = Self { weights: 0, tokens: 0 };

    /// The frame of a block after one with this frame: the same if it fits, else another, else [`Frame::NONE`].
    #[inline(always)]
    #[must_use]
    pub const fn next(self, weights: Range, tokens: Range) -> Self {
        if self.is_some() && weights.fits(self.weights) && tokens.fits(self.tokens) {
            return self;
        }
        let frame = Self { weights: weights.origin(), tokens: tokens.origin() };
        if weights.fits(frame.weights) && tokens.fits(frame.tokens) && frame.is_some() {
            frame
        } else {
            Self::NONE
        }
    }

    /// Whether this is a frame in which sums are exact.
    #[inline(always)]
    pub const fn is_some(self) -> bool {
        let order = (self.weights + self.tokens) as i32 - 254;
        self.weights >= ORIGINS.0
            && self.weights <= ORIGINS.1
            && self.tokens >= ORIGINS.0
            && self.tokens <= ORIGINS.1
            && order >= LEAST
            && order <= MOST
    }

    /// The binary32 bits of what sums in this frame are multiplied by; 1 for [`Frame::NONE`].
    #[inline(always)]
    pub const fn unit(self) -> u32 {
        if self.is_some() { (self.weights + self.tokens - 127) << 23 } else { 127 << 23 }
    }
}

/// Four scale bytes less their origin, as exponent fields of binary16: from 10 to 22 if they fit.
#[inline(always)]
pub const fn fields(scales: u32, origin: u32) -> u32 {
    scales.wrapping_sub((origin.wrapping_sub(F16_BIAS)).wrapping_mul(0x0101_0101))
}

/// What codes are multiplied by, in both halves: the power of two with this exponent field.
#[inline(always)]
pub const fn factor(field: u32) -> u32 {
    field.wrapping_mul(0x0400_0400)
}

/// The binary32 bits of one frame's unit divided by another's.
#[inline(always)]
pub const fn ratio(from: u32, to: u32) -> u32 {
    from.wrapping_sub(to).wrapping_add(127 << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(low: u32, high: u32) -> Range {
        Range { low, high }
    }

    /// The value of a positive normal binary16 number.
    fn f16(bits: u32) -> f64 {
        assert!((1..31).contains(&(bits >> 10)));
        (1.0 + f64::from(bits & 0x3FF) / 1024.0) * 2f64.powi((bits >> 10) as i32 - 15)
    }

    #[test]
    fn every_scale_that_fits_keeps_every_code_normal() {
        for low in 64..180 {
            for high in low..(low + 13) {
                let frame = Frame::NONE.next(range(low, high), range(120, 120));
                if !frame.is_some() {
                    continue;
                }
                for scale in low..=high {
                    let field = fields(scale, frame.weights) & 0xFF;
                    let power = f16(factor(field) & 0xFFFF);
                    assert_eq!(factor(field) >> 16, factor(field) & 0xFFFF);
                    let order = scale as i32 - frame.weights as i32;
                    assert_eq!(power.to_bits(), 2f64.powi(order).to_bits());
                    assert!(power * 2f64.powi(-9) >= 2f64.powi(-14) && power * 448.0 < 65504.0);
                }
            }
        }
    }

    #[test]
    fn thirteen_values_fit_and_fourteen_do_not() {
        assert!(Frame::NONE.next(range(110, 122), range(120, 120)).is_some());
        assert_eq!(Frame::NONE.next(range(110, 123), range(120, 120)), Frame::NONE);
        assert!(Frame::NONE.next(range(120, 120), range(110, 122)).is_some());
        assert_eq!(Frame::NONE.next(range(120, 120), range(110, 123)), Frame::NONE);
    }

    #[test]
    fn a_frame_stays_as_long_as_it_fits() {
        let frame = Frame::NONE.next(range(114, 116), range(120, 121));
        assert_eq!(frame, Frame { weights: 112, tokens: 117 });
        assert_eq!(frame.next(range(107, 119), range(112, 124)), frame);
        assert_ne!(frame.next(range(106, 119), range(112, 124)), frame);
        assert_ne!(frame.next(range(107, 119), range(112, 125)), frame);
        assert_eq!(frame.next(range(0, 119), range(112, 124)), Frame::NONE);
        assert_eq!(frame.next(range(107, 255), range(112, 124)), Frame::NONE);
    }

    #[test]
    fn frames_out_of_bounds_are_none() {
        for scale in 0..=255 {
            for other in 0..=255 {
                let frame = Frame::NONE.next(range(scale, scale), range(other, other));
                if frame == Frame::NONE {
                    assert_eq!(frame.unit(), 1f32.to_bits());
                    continue;
                }
                let order = (frame.weights + frame.tokens) as i32 - 254;
                assert!((LEAST..=MOST).contains(&order));
                assert_eq!(frame.unit(), 2f32.powi(order).to_bits());
            }
        }
        assert_eq!(Frame::NONE.next(range(0, 5), range(0, 5)), Frame::NONE);
    }

    #[test]
    fn moving_between_the_extreme_frames_is_exact() {
        let (least, most) = (2f32.powi(LEAST).to_bits(), 2f32.powi(MOST).to_bits());
        let (up, down) = (ratio(most, least), ratio(least, most));
        assert_eq!(up, 2f32.powi(MOST - LEAST).to_bits());
        assert_eq!(down, 2f32.powi(LEAST - MOST).to_bits());
        // The smallest and the largest sum.
        assert!(2f64.powi(-53) * f64::from(f32::from_bits(down)) >= f64::from(f32::MIN_POSITIVE));
        assert!(2f64.powi(49) * f64::from(f32::from_bits(up)) <= f64::from(f32::MAX));
    }
}
