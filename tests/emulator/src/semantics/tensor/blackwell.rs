//! `tcgen05.mma` with E4M3 operands and an fp32 accumulator: `kind::mxf8f6f4` with block scales and
//! `kind::f8f6f4` without (PTX ISA 9.7.16.10).
//!
//! The ISA leaves the arithmetic open. The rule is the one of Microsoft's MMA-Sim, whose authors report
//! equality with hardware on more than a million cases; it was not measured here:
//!
//! 1. A product of two non-zero codes has the exponent `ea + eb + (sa - 127) + (sb - 127)` and the
//!    significand `ma * mb`, not renormalised. A non-zero accumulator enters with its own exponent.
//! 2. `E` is the largest exponent. Every term is truncated toward zero to a multiple of `2^(E - 25)`.
//! 3. The terms are added exactly; the sum is truncated toward zero to binary32.
//! 4. A NaN among operands, scales or as accumulator gives `0x7FFF_FFFF`.
//!
//! Chosen here, without a source: zeros take no part in `E` (as measured on Hopper), a sum of zero is
//! `+0`, a sum beyond the range becomes infinite, a sum below the normal numbers is truncated to a
//! multiple of `2^-149`, an infinite accumulator stays as it is unless there is a NaN.

use super::operand::{E4M3, Single, shift_toward_zero};
use super::{K, NAN_BITS, lanes};

/// The distance from the largest exponent to the unit of the sum.
const FRACTION_BITS: i32 = 25;
/// The scale byte that means NaN.
const SCALE_NAN: u8 = 0xFF;
/// The scale byte that means one.
const SCALE_ONE: u8 = 127;

/// One output of one block-scaled step: the accumulator plus 32 products, as the rule says it.
pub fn blackwell_dot32_block_scaled(
    acc: f32,
    a: &[u8; K],
    b: &[u8; K],
    scale_a: u8,
    scale_b: u8,
) -> f32 {
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (E4M3[x as usize], E4M3[y as usize]));
    let nan = pairs().any(|(x, y)| x.nan || y.nan) || scale_a == SCALE_NAN || scale_b == SCALE_NAN;
    if acc.is_nan() || nan {
        return f32::from_bits(NAN_BITS);
    }
    if acc.is_infinite() {
        return acc;
    }
    let scale = i32::from(scale_a) - 127 + i32::from(scale_b) - 127;
    // A term is `significand * 2^(exponent - point)`.
    let mut terms: Vec<(i64, i32, i32)> = pairs()
        .map(|(x, y)| {
            (i64::from(x.significand * y.significand), x.exponent + y.exponent + scale, 6)
        })
        .collect();
    let c = Single::decode(acc);
    let significand = i64::from(c.significand);
    terms.push((if c.negative { -significand } else { significand }, c.exponent, 23));

    let Some(largest) = terms.iter().filter(|t| t.0 != 0).map(|t| t.1).max() else {
        return 0.0;
    };
    let unit = largest - FRACTION_BITS;
    let sum = terms.iter().map(|&(s, e, point)| shift_toward_zero(s, e - point - unit)).sum();
    toward_zero(sum, unit)
}

/// One output of one step without scales: scales of one.
pub fn blackwell_dot32(acc: f32, a: &[u8; K], b: &[u8; K]) -> f32 {
    blackwell_dot32_block_scaled(acc, a, b, SCALE_ONE, SCALE_ONE)
}

/// `sum * 2^unit`, truncated toward zero to binary32; beyond the range, infinity with the sign.
fn toward_zero(sum: i64, unit: i32) -> f32 {
    if sum == 0 {
        return 0.0;
    }
    let sign = if sum < 0 { 1 << 31 } else { 0 };
    let magnitude = sum.unsigned_abs();
    let top = magnitude.ilog2() as i32;
    // The lowest place that the result keeps: 23 below the highest, and no lower than 2^-149.
    let lowest = (top + unit - 23).max(-149);
    let kept = match lowest - unit {
        shift @ 0..64 => magnitude >> shift,
        shift @ -63..0 => magnitude << -shift,
        _ => 0,
    };
    // `kept` has the hidden bit exactly if the number is normal, and then carries into the exponent.
    let bits = ((lowest + 149) as u64).saturating_mul(1 << 23).saturating_add(kept);
    f32::from_bits(sign | bits.min(0x7F80_0000) as u32)
}

/// One step of `kind::mxf8f6f4` with block scales for a whole tile, in place.
///
/// `d` is m x `n`, `a` m x 32 and `b` `n` x 32 codes, all row-major; `scales_a` has m and `scales_b` `n`
/// bytes. Without `accumulate` (enable-input-d false) the old contents of `d` are ignored. Bit for bit
/// [`blackwell_dot32_block_scaled`].
///
/// # Panics
/// If a slice does not have the size of its matrix.
pub fn tcgen05_e4m3_block_scaled(
    d: &mut [f32],
    n: usize,
    a: &[u8],
    b: &[u8],
    scales_a: &[u8],
    scales_b: &[u8],
    accumulate: bool,
) {
    let scales = lanes::Scales { a: scales_a, b: scales_b };
    lanes::multiply::<Blackwell>(d, n, a, b, accumulate, Some(scales));
}

/// One step of `kind::f8f6f4` for a whole tile, in place; otherwise like [`tcgen05_e4m3_block_scaled`].
///
/// # Panics
/// If a slice does not have the size of its matrix.
pub fn tcgen05_e4m3(d: &mut [f32], n: usize, a: &[u8], b: &[u8], accumulate: bool) {
    lanes::multiply::<Blackwell>(d, n, a, b, accumulate, None);
}

/// The rule in the form that the lanes run.
pub(super) struct Blackwell;

impl lanes::Rule for Blackwell {
    const FRACTION_BITS: i32 = FRACTION_BITS;

    /// Below `2^33`.
    type Sum = f64;

    #[inline(always)]
    fn finish(products: f64, e: i32, acc: f32) -> f32 {
        let c = Single::decode(acc);
        // Two bits below the accumulator's own, then truncated.
        let term =
            (i64::from(c.significand) << (FRACTION_BITS - 23)) >> (e - c.exponent).clamp(0, 63);
        let products = products as i64;
        toward_zero(products + if c.negative { -term } else { term }, e - FRACTION_BITS)
    }
}
