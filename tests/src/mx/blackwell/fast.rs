//! The rule, many outputs at a time. Equal to [`super::scalar`] in every bit.
//!
//! Lanes are neighbouring output columns, as in [`crate::wgmma_model::fast`]. All products of a step share the scale, so
//! the largest exponent among them is found without it, in `i8`. A product has 8 significant bits: it is exact in f32,
//! and so is its multiplication by the power of two that makes the unit 1, or the result is below the unit. 16 products in
//! units are below 2^31 together; two such sums and the accumulator are exact in f64, where clearing the low 29 mantissa
//! bits is the truncation of the result.

use super::{FRACTION_BITS, STEP};
use crate::e4m3;
use crate::sweep::COLUMNS;
use crate::wgmma_model::NAN_BITS;
use crate::wgmma_model::bf16::scalar::truncate;
use expert_gemm_kernels::abi::scale_atoms::NAN as SCALE_NAN;

/// Exponent that stands for a zero operand: a sum with it is below that of every product.
const NO_EXPONENT: i8 = -64;
/// The smallest sum of two exponents of numbers.
const SMALLEST: i32 = -12;
/// Exponent of no term at all.
const NOTHING: i32 = -400;
/// Binary64 mantissa bits that a result does not have.
const CUT: u64 = (1 << 29) - 1;

/// What the lanes need of one code.
fn decode(code: u8) -> (f32, i8) {
    if e4m3::significand(code) == 0 || e4m3::is_nan(code) {
        (0.0, NO_EXPONENT)
    } else {
        (e4m3::decode(code), e4m3::exponent(code) as i8)
    }
}

/// Whether any of the codes or scales is NaN.
fn is_nan(codes: &[u8], scales: &[u8]) -> bool {
    codes.iter().any(|&code| e4m3::is_nan(code)) || scales.contains(&SCALE_NAN)
}

/// A row of activations, decoded.
pub struct Row {
    value: Vec<f32>,
    exponent: Vec<i8>,
    scale: Vec<i32>,
    nan: bool,
}

impl Row {
    /// Decodes a row of codes with its scales.
    pub fn decode(codes: &[u8], scales: &[u8]) -> Self {
        let (value, exponent) = codes.iter().map(|&code| decode(code)).unzip();
        let scale = scales.iter().map(|&scale| i32::from(scale) - 127).collect();
        Self { value, exponent, scale, nan: is_nan(codes, scales) }
    }
}

/// [`COLUMNS`] rows of weights, decoded, columns of the output side by side.
pub struct Columns {
    value: Vec<[f32; COLUMNS]>,
    exponent: Vec<[i8; COLUMNS]>,
    scale: Vec<[i32; COLUMNS]>,
    nan: [bool; COLUMNS],
}

impl Columns {
    /// Decodes rows of `k` codes with their scales.
    ///
    /// # Panics
    /// If there are not [`COLUMNS`] rows.
    pub fn decode(codes: &[u8], scales: &[u8], k: usize) -> Self {
        assert!(codes.len() == COLUMNS * k && scales.len() * STEP == codes.len(), "rows");
        let mut columns = Self {
            value: vec![[0.0; COLUMNS]; k],
            exponent: vec![[NO_EXPONENT; COLUMNS]; k],
            scale: vec![[0; COLUMNS]; k / STEP],
            nan: [false; COLUMNS],
        };
        for (column, (codes, scales)) in codes.chunks(k).zip(scales.chunks(k / STEP)).enumerate() {
            columns.nan[column] = is_nan(codes, scales);
            for (k, &code) in codes.iter().enumerate() {
                (columns.value[k][column], columns.exponent[k][column]) = decode(code);
            }
            for (step, &scale) in scales.iter().enumerate() {
                columns.scale[step][column] = i32::from(scale) - 127;
            }
        }
        columns
    }
}

/// A chain of steps over all of K from zero, for every column.
///
/// # Panics
/// If the operands differ in K.
pub fn chain(row: &Row, columns: &Columns) -> [f32; COLUMNS] {
    assert!(row.value.len() == columns.value.len(), "the same K");
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was just found on this CPU.
        return unsafe { chain_avx2(row, columns) };
    }
    chain_lanes(row, columns)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn chain_avx2(row: &Row, columns: &Columns) -> [f32; COLUMNS] {
    chain_lanes(row, columns)
}

#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn chain_lanes(row: &Row, columns: &Columns) -> [f32; COLUMNS] {
    let mut accumulators = [0.0f32; COLUMNS];
    for (i, (&scale_a, scale_b)) in row.scale.iter().zip(&columns.scale).enumerate() {
        let at = i * STEP..(i + 1) * STEP;
        let scale = scale_b.map(|scale_b| scale_a + scale_b);
        let a = (&row.value[at.clone()], &row.exponent[at.clone()]);
        let b = (&columns.value[at.clone()], &columns.exponent[at]);
        step(a, b, &scale, &mut accumulators);
    }
    for (accumulator, nan) in accumulators.iter_mut().zip(columns.nan) {
        if nan || row.nan {
            *accumulator = f32::from_bits(NAN_BITS);
        }
    }
    accumulators
}

/// One fused sum of 32 products and the accumulator, for every column.
#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn step(
    (a, a_exponent): (&[f32], &[i8]),
    (b, b_exponent): (&[[f32; COLUMNS]], &[[i8; COLUMNS]]),
    scale: &[i32; COLUMNS],
    accumulators: &mut [f32; COLUMNS],
) {
    let mut largest = [i8::MIN; COLUMNS];
    // A count that LLVM cannot see keeps it from unrolling the loop into reductions of single bytes.
    let count = core::hint::black_box(STEP);
    for (&ea, eb) in a_exponent.iter().zip(b_exponent).take(count) {
        for column in 0..COLUMNS {
            // -128..=16: no wrap.
            largest[column] = largest[column].max(ea.wrapping_add(eb[column]));
        }
    }

    let mut e = [0i32; COLUMNS];
    let mut to_units = [0.0f32; COLUMNS];
    for column in 0..COLUMNS {
        let bits = accumulators[column].to_bits() & 0x7FFF_FFFF;
        let own = if bits == 0 { NOTHING } else { ((bits >> 23) as i32).max(1) - 127 };
        let products = i32::from(largest[column]);
        let products = if products < SMALLEST { NOTHING } else { products + scale[column] };
        e[column] = own.max(products);
        // Where products are in sight of the unit, this is the exponent; else they vanish by any small one.
        let exponent = (FRACTION_BITS - e[column] + scale[column]).clamp(-126, 127);
        to_units[column] = f32::from_bits(((127 + exponent) as u32) << 23);
    }
    let mut sum = [[0i32; COLUMNS]; 2];
    for (half, sum) in sum.iter_mut().enumerate() {
        let at = half * STEP / 2..(half + 1) * STEP / 2;
        for (&a, b) in a[at.clone()].iter().zip(&b[at]) {
            for column in 0..COLUMNS {
                sum[column] += truncated(a * b[column] * to_units[column]);
            }
        }
    }
    for column in 0..COLUMNS {
        let old = accumulators[column];
        let own = (f64::from(old) * power(FRACTION_BITS - e[column])).trunc();
        let exact = f64::from(sum[0][column]) + f64::from(sum[1][column]) + own;
        let cut = f64::from_bits(exact.to_bits() & !CUT);
        let x = cut * power(e[column] - FRACTION_BITS);
        let subnormal = x != 0.0 && x.abs() < f64::from(f32::MIN_POSITIVE);
        let new = if subnormal { truncate(x) } else { x as f32 };
        accumulators[column] = if old.is_infinite() { old } else { new };
    }
}

/// A power of two.
#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn power(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn truncated(term: f32) -> i32 {
    // SAFETY: a term is finite and below 2^27: operands are finite by decoding, and E is at least the exponent of the
    // term, whose significand is below 4.
    unsafe { term.to_int_unchecked() }
}

#[cfg(test)]
mod tests {
    use super::super::scalar;
    use super::*;
    use crate::mx::scale_values::{ScaleValues, Side};
    use crate::rng::Rng;
    use crate::values::Values;

    fn compare(a: &[u8], b: &[u8], scales_a: &[u8], scales_b: &[u8]) {
        let (k, steps) = (a.len(), scales_a.len());
        let (row, columns) = (Row::decode(a, scales_a), Columns::decode(b, scales_b, k));
        let (dispatched, portable) = (chain(&row, &columns), chain_lanes(&row, &columns));
        for column in 0..COLUMNS {
            let (b, sb) = (&b[column * k..][..k], &scales_b[column * steps..][..steps]);
            let want = scalar::chain(a, b, scales_a, sb);
            for got in [dispatched[column], portable[column]] {
                assert_eq!(got.to_bits(), want.to_bits(), "{got:e} {want:e}\n{a:02x?}\n{b:02x?}");
            }
        }
    }

    #[test]
    fn every_kind_of_values_and_scales_agrees_with_the_scalar_model() {
        let rng = &mut Rng::new(0xB1AC);
        for round in 0..12 {
            for values_a in Values::ALL {
                for values_b in Values::ALL {
                    for scales in ScaleValues::ALL {
                        let steps = 1 + round % 5;
                        let (mut a, mut b) =
                            (vec![0; steps * STEP], vec![0; COLUMNS * steps * STEP]);
                        let (mut sa, mut sb) = (vec![0; steps], vec![0; COLUMNS * steps]);
                        values_a.fill(rng, &mut a);
                        values_b.fill(rng, &mut b);
                        scales.fill(rng, round as u64, Side::A, steps, &mut sa);
                        scales.fill(rng, round as u64, Side::B, steps, &mut sb);
                        compare(&a, &b, &sa, &sb);
                    }
                }
            }
        }
    }

    /// Scales that do not balance: sums that overflow, vanish, or are far from the accumulator.
    #[test]
    fn any_scales_agree() {
        let rng = &mut Rng::new(0xA11);
        for _ in 0..3000 {
            let steps = 4;
            let (mut a, mut b) = (vec![0; steps * STEP], vec![0; COLUMNS * steps * STEP]);
            Values::Uniform.fill(rng, &mut a);
            rng.pick(&[Values::Uniform, Values::Sparse, Values::Tiny]).fill(rng, &mut b);
            let mut scales = |count| (0..count).map(|_| rng.below(255) as u8).collect::<Vec<u8>>();
            let (sa, sb) = (scales(steps), scales(COLUMNS * steps));
            compare(&a, &b, &sa, &sb);
        }
    }

    #[test]
    fn mixed_magnitudes_agree() {
        let codes = [0x00, 0x80, 0x01, 0x81, 0x07, 0x08, 0x38, 0xB8, 0x7E, 0xFE, 0x77, 0x0F];
        let rng = &mut Rng::new(0x313);
        for _ in 0..2000 {
            let few = &codes[..rng.between(1, codes.len() as u64) as usize];
            let a: Vec<u8> = (0..2 * STEP).map(|_| rng.pick(few)).collect();
            let b: Vec<u8> = (0..2 * COLUMNS * STEP).map(|_| rng.pick(&codes)).collect();
            let mut scales =
                |count| (0..count).map(|_| rng.between(100, 154) as u8).collect::<Vec<u8>>();
            compare(&a, &b, &scales(2), &scales(2 * COLUMNS));
        }
    }
}
