//! `wgmma.mma_async` with E4M3 operands and an `.f32` accumulator (PTX ISA 9.7.15.5.2).
//!
//! The ISA promises only a precision "higher than half, lower than single". The rule below was measured on
//! an H200 (614,400 outputs of five kinds of operands, no difference):
//!
//! 1. A product of two non-zero codes has the exponent `ea + eb` and the significand `ma * mb`, not
//!    renormalised. A non-zero accumulator enters with its own exponent. Zeros take no part.
//! 2. `E` is the largest exponent. Every term is truncated toward zero to a multiple of `2^(E - 13)`.
//! 3. The terms are added exactly; the sum is truncated toward zero to 13 explicit mantissa bits.
//! 4. A NaN among the operands or as accumulator gives `0x7FFF_FFFF`.
//!
//! Not measured, and chosen here: a sum of zero is `+0` whatever the signs of the terms; an infinite
//! accumulator stays as it is unless there is a NaN; a subnormal accumulator keeps the exponent -126, so
//! its lowest ten bits are cut off like those of any other. The sum can not overflow: an accumulator large
//! enough to be near the end of the range lies more than 13 bits above every product.

use super::operand::{E4M3, Single, shift_toward_zero};
use super::{K, NAN_BITS, lanes};

/// The distance from the largest exponent to the unit of the sum, and the mantissa bits of the result.
const FRACTION_BITS: i32 = 13;
/// The binary32 mantissa bits that a result does not have.
const CUT: u32 = (1 << (23 - FRACTION_BITS)) - 1;

/// One output of one `wgmma`: the accumulator plus 32 products, as the rule says it.
pub fn hopper_dot32(acc: f32, a: &[u8; K], b: &[u8; K]) -> f32 {
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (E4M3[x as usize], E4M3[y as usize]));
    if acc.is_nan() || pairs().any(|(x, y)| x.nan || y.nan) {
        return f32::from_bits(NAN_BITS);
    }
    if acc.is_infinite() {
        return acc;
    }
    // A term is `significand * 2^(exponent - point)`.
    let mut terms: Vec<(i64, i32, i32)> = pairs()
        .map(|(x, y)| (product(x.significand, y.significand), x.exponent + y.exponent, 6))
        .collect();
    let c = Single::decode(acc);
    terms.push((
        if c.negative { -i64::from(c.significand) } else { i64::from(c.significand) },
        c.exponent,
        23,
    ));

    let Some(largest) = terms.iter().filter(|t| t.0 != 0).map(|t| t.1).max() else {
        return 0.0;
    };
    let unit = largest - FRACTION_BITS;
    let sum: i64 = terms.iter().map(|&(s, e, point)| shift_toward_zero(s, e - point - unit)).sum();

    // `sum * 2^unit`, cut to 14 significant bits: below 2^22, so the conversion is exact, and so is the
    // multiplication, since the result has no more bits than a binary32 number of that exponent.
    let cut = f64::from(f32::from_bits((sum as f32).to_bits() & !CUT));
    (cut * f64::from_bits(((unit + 1023) as u64) << 52)) as f32
}

fn product(x: i32, y: i32) -> i64 {
    i64::from(x) * i64::from(y)
}

/// One `wgmma.mma_async.sync.aligned.m64nNk32.f32.e4m3.e4m3`, in place.
///
/// `d` is 64 x `n`, `a` 64 x 32 and `b` `n` x 32 codes, all row-major. Without `accumulate` (the
/// predicate scale-d false) the old contents of `d` are ignored. Bit for bit [`hopper_dot32`].
///
/// # Panics
/// If a slice does not have the size of its matrix.
pub fn wgmma_e4m3(d: &mut [f32], n: usize, a: &[u8], b: &[u8], accumulate: bool) {
    lanes::multiply::<Hopper>(d, n, a, b, accumulate, None);
}

/// The rule in the form that the lanes run.
pub(super) struct Hopper;

impl lanes::Rule for Hopper {
    const FRACTION_BITS: i32 = FRACTION_BITS;

    /// Below `2^21`.
    type Sum = f32;

    #[inline(always)]
    fn finish(products: f32, e: i32, acc: f32) -> f32 {
        let c = Single::decode(acc);
        let distance = (23 - FRACTION_BITS + e - c.exponent).clamp(0, 31);
        let term = (c.significand >> distance) as i32;
        let sum = products + (if c.negative { -term } else { term }) as f32;
        let cut = f32::from_bits(sum.to_bits() & !CUT);
        // Where the unit is no normal number, there are no products: the accumulator is cut and kept.
        let unit = e - FRACTION_BITS;
        let sum = cut * f32::from_bits(((unit.max(-126) + 127) as u32) << 23);
        let alone = f32::from_bits(acc.to_bits() & !CUT) + 0.0;
        if unit < -126 { alone } else { sum }
    }
}
