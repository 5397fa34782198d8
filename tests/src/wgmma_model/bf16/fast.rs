//! The rule, many outputs at a time. Equal to [`super::scalar`] in every bit.
//!
//! Lanes are neighbouring output columns, as in [`crate::wgmma_model::fast`]. As long as the exponents of the operands
//! are at most [`SPREAD`] away from zero, which holds for E4M3 codes times any sensible power of two:
//!
//! 1. They fit `i8`, and a sum of two of them as well.
//! 2. A product has 16 significant bits and is exact in f32, and so is its multiplication by the power of two that
//!    makes the unit 1. The CPU's float-to-int conversion is the rule's truncation.
//! 3. 16 products in units are below 2^31 together; with the accumulator they are exact in f64, where clearing the low
//!    29 mantissa bits is the truncation of the result.
//! 4. Everything is a multiple of `2^(-2 * SPREAD - 25)`, so that nothing is subnormal.
//!
//! Rows with other operands are computed by the scalar model.

use super::{FRACTION_BITS, STEP, scalar, value};
use rayon::prelude::*;

/// Output columns that are computed together.
pub const COLUMNS: usize = 32;
/// The largest exponent, and the negative of the smallest, that the lanes can do.
pub const SPREAD: i32 = 31;

/// Exponent that stands for a zero operand: a sum with it is below that of every product.
const NO_EXPONENT: i8 = -64;
/// Binary64 mantissa bits that a result does not have.
const CUT: u64 = (1 << 29) - 1;
/// Accumulators of which the lanes can say what becomes of them: at most this, and at least its inverse.
const LARGEST_START: f32 = f32::from_bits((127 + 62) << 23);

/// What the lanes need of one number.
fn decode(bits: u16) -> Option<(f32, i8)> {
    let x = value(bits);
    let exponent = ((bits >> 7 & 0xFF) as i32) - 127;
    if x == 0.0 {
        Some((0.0, NO_EXPONENT))
    } else if exponent.abs() <= SPREAD {
        Some((x, exponent as i8))
    } else {
        None
    }
}

/// A row of A, decoded.
pub struct Row<'a> {
    numbers: &'a [u16],
    value: Vec<f32>,
    exponent: Vec<i8>,
    plain: bool,
}

impl<'a> Row<'a> {
    /// Decodes a row.
    pub fn decode(numbers: &'a [u16]) -> Self {
        let decoded = numbers.iter().map(|&bits| decode(bits));
        let plain = decoded.clone().all(|x| x.is_some());
        let (value, exponent) = decoded.map(Option::unwrap_or_default).unzip();
        Self { numbers, value, exponent, plain }
    }
}

/// At most [`COLUMNS`] rows of B, decoded, columns of the output side by side.
pub struct Columns<'a> {
    numbers: &'a [u16],
    value: Vec<[f32; COLUMNS]>,
    exponent: Vec<[i8; COLUMNS]>,
    plain: bool,
}

impl<'a> Columns<'a> {
    /// Decodes rows of `k` numbers.
    ///
    /// # Panics
    /// If there are more than [`COLUMNS`] rows, or not whole ones.
    pub fn decode(numbers: &'a [u16], k: usize) -> Self {
        assert!(numbers.len().is_multiple_of(k) && numbers.len() <= COLUMNS * k, "rows of B");
        let mut columns = Self {
            numbers,
            value: vec![[0.0; COLUMNS]; k],
            exponent: vec![[NO_EXPONENT; COLUMNS]; k],
            plain: true,
        };
        for (column, row) in numbers.chunks_exact(k).enumerate() {
            for (k, &bits) in row.iter().enumerate() {
                match decode(bits) {
                    Some((value, exponent)) => {
                        columns.value[k][column] = value;
                        columns.exponent[k][column] = exponent;
                    }
                    None => columns.plain = false,
                }
            }
        }
        columns
    }
}

/// Whether the lanes can do a chain.
fn lanes_can(row: &Row<'_>, columns: &Columns<'_>, accumulators: &[f32; COLUMNS]) -> bool {
    let possible = |x: &f32| *x == 0.0 || (1.0 / LARGEST_START..=LARGEST_START).contains(&x.abs());
    row.plain && columns.plain && accumulators.iter().all(possible)
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// A chain of instructions over all of K, for every column: the accumulators of one row go in and come out.
///
/// # Panics
/// If the operands differ in K, or it is no multiple of [`STEP`].
pub fn chain(row: &Row<'_>, columns: &Columns<'_>, accumulators: &mut [f32; COLUMNS]) {
    let k = row.numbers.len();
    assert!(columns.value.len() == k && k.is_multiple_of(STEP), "whole steps of the same K");
    if !lanes_can(row, columns, accumulators) {
        for (numbers, accumulator) in columns.numbers.chunks_exact(k).zip(accumulators) {
            *accumulator = scalar::chain(row.numbers, numbers, *accumulator);
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the feature was just found on this CPU.
        unsafe { chain_avx2(row, columns, accumulators) };
        return;
    }
    chain_lanes(row, columns, accumulators);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn chain_avx2(row: &Row<'_>, columns: &Columns<'_>, accumulators: &mut [f32; COLUMNS]) {
    chain_lanes(row, columns, accumulators);
}

#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn chain_lanes(row: &Row<'_>, columns: &Columns<'_>, accumulators: &mut [f32; COLUMNS]) {
    let a = row.value.chunks_exact(STEP).zip(row.exponent.chunks_exact(STEP));
    let b = columns.value.chunks_exact(STEP).zip(columns.exponent.chunks_exact(STEP));
    for ((a, a_exponent), (b, b_exponent)) in a.zip(b) {
        step(a, a_exponent, b, b_exponent, accumulators);
    }
}

/// One fused sum of 16 products and the accumulator, for every column.
#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn step(
    a: &[f32],
    a_exponent: &[i8],
    b: &[[f32; COLUMNS]],
    b_exponent: &[[i8; COLUMNS]],
    accumulators: &mut [f32; COLUMNS],
) {
    let mut largest = [i8::MIN; COLUMNS];
    // A count that LLVM cannot see keeps it from unrolling the loop into reductions of single bytes.
    let count = core::hint::black_box(STEP);
    for (&ea, eb) in a_exponent.iter().zip(b_exponent).take(count) {
        for column in 0..COLUMNS {
            // -128..=62: no wrap.
            largest[column] = largest[column].max(ea.wrapping_add(eb[column]));
        }
    }

    let mut e = [0i32; COLUMNS];
    let mut to_units = [0.0f32; COLUMNS];
    let mut own = [0i32; COLUMNS];
    for column in 0..COLUMNS {
        // A zero accumulator reads as -127, below every exponent that matters (-87 and more).
        let accumulator = ((accumulators[column].to_bits() >> 23) & 0xFF) as i32 - 127;
        let products = largest[column] as i32;
        // Without any term E is of no consequence; it only has to stay in range.
        let lowest = -2 * SPREAD - FRACTION_BITS;
        e[column] = accumulator.max(if products < -2 * SPREAD { lowest } else { products });
        to_units[column] = f32::from_bits(((127 + FRACTION_BITS - e[column]) as u32) << 23);
        own[column] = truncated(accumulators[column] * to_units[column]);
    }
    let mut sum = [0i32; COLUMNS];
    for (&a, b) in a.iter().zip(b) {
        for column in 0..COLUMNS {
            sum[column] += truncated(a * b[column] * to_units[column]);
        }
    }
    for column in 0..COLUMNS {
        let exact = f64::from(sum[column]) + f64::from(own[column]);
        let cut = f64::from_bits(exact.to_bits() & !CUT);
        let unit = f64::from_bits(((1023 - FRACTION_BITS + e[column]) as u64) << 52);
        accumulators[column] = (cut * unit) as f32;
    }
}

#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn truncated(term: f32) -> i32 {
    // SAFETY: a term is finite and below 2^27: operands and accumulators are finite by the checks before the chain, and
    // E is at least the exponent of the term, whose significand is below 4.
    unsafe { term.to_int_unchecked() }
}

/// `a * b^T` as one chain of instructions over all of K leaves it, from accumulators of zero: `a` has rows of `k`
/// numbers, `b` as well, and the result a row for each of `a` and a column for each of `b`.
///
/// # Panics
/// If `k` is no multiple of [`STEP`] or the slices do not hold whole rows.
pub fn matrix(a: &[u16], b: &[u16], k: usize) -> Vec<f32> {
    assert!(k > 0 && a.len().is_multiple_of(k) && b.len().is_multiple_of(k), "whole rows");
    let columns: Vec<Columns<'_>> =
        b.chunks(COLUMNS * k).map(|rows| Columns::decode(rows, k)).collect();
    let n = b.len() / k;
    let mut d = vec![0.0; a.len() / k * n];
    d.par_chunks_mut(n.max(1)).zip(a.par_chunks(k)).for_each(|(d, a)| {
        let row = Row::decode(a);
        for (columns, d) in columns.iter().zip(d.chunks_mut(COLUMNS)) {
            let mut accumulators = [0.0; COLUMNS];
            chain(&row, columns, &mut accumulators);
            d.copy_from_slice(&accumulators[..d.len()]);
        }
    });
    d
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e4m3;
    use crate::rng::Rng;
    use crate::values::Values;

    fn numbers(codes: &[u8], scales: &[i32]) -> Vec<u16> {
        let scaled = |(i, &code): (usize, &u8)| {
            let x = e4m3::decode(code) * 2f32.powi(scales[i / 32 % scales.len()]);
            (x.to_bits() >> 16) as u16
        };
        codes.iter().enumerate().map(scaled).collect()
    }

    fn compare(a: &[u16], b: &[u16], k: usize, start: f32) {
        let columns = Columns::decode(b, k);
        for a in a.chunks(k) {
            let row = Row::decode(a);
            let mut dispatched = [start; COLUMNS];
            chain(&row, &columns, &mut dispatched);
            let mut portable = dispatched;
            if lanes_can(&row, &columns, &[start; COLUMNS]) {
                portable = [start; COLUMNS];
                chain_lanes(&row, &columns, &mut portable);
            }
            for (column, b) in b.chunks(k).enumerate() {
                let want = scalar::chain(a, b, start).to_bits();
                let got = [dispatched[column].to_bits(), portable[column].to_bits()];
                assert_eq!(
                    got,
                    [want; 2],
                    "{:e}\na = {a:04x?}\nb = {b:04x?}",
                    f32::from_bits(want)
                );
            }
        }
    }

    #[test]
    fn scaled_codes_of_every_kind_agree_with_the_scalar_model() {
        let mut rng = Rng::new(0xBF16);
        for values_a in Values::ALL {
            for values_b in Values::ALL {
                let k = 32 * rng.between(1, 9) as usize;
                let (mut a, mut b) = (vec![0; 2 * k], vec![0; COLUMNS * k]);
                values_a.fill(&mut rng, &mut a);
                values_b.fill(&mut rng, &mut b);
                let scales: Vec<i32> = (0..7).map(|_| rng.between(0, 40) as i32 - 20).collect();
                for scales in [&[0][..], &scales] {
                    compare(&numbers(&a, scales), &numbers(&b, &[0]), k, 0.0);
                    compare(&numbers(&a, &[0]), &numbers(&b, scales), k, 3.3);
                }
            }
        }
    }

    #[test]
    fn what_the_lanes_cannot_do_is_left_to_the_scalar_model() {
        let mut rng = Rng::new(0xBF17);
        for spread in [1, 8, 31, 32, 80, 127] {
            for start in [0.0, 1.0, -1e-30, 1e38, f32::INFINITY, f32::NAN] {
                let mut number = || {
                    let field = (127 + rng.between(0, 2 * spread) as i32 - spread as i32).max(0);
                    (field as u16) << 7
                        | rng.between(0, 0x7F) as u16
                        | (rng.between(0, 1) << 15) as u16
                };
                let a: Vec<u16> = (0..2 * 64).map(|_| number()).collect();
                let b: Vec<u16> = (0..5 * 64).map(|_| number()).collect();
                compare(&a, &b, 64, start);
            }
        }
    }

    #[test]
    fn exact_cancellation_and_loss_agree() {
        let few: Vec<u16> = [0.0f32, 1.0, -1.0, 1.992_187_5, -1.992_187_5, 2e-9, -3e-9, 7e8, -7e8]
            .map(|x| (x.to_bits() >> 16) as u16)
            .to_vec();
        let mut rng = Rng::new(0xBF18);
        for _ in 0..300 {
            let some = &few[..rng.between(2, few.len() as u64) as usize];
            let a: Vec<u16> = (0..64).map(|_| rng.pick(some)).collect();
            let b: Vec<u16> = (0..COLUMNS * 64).map(|_| rng.pick(&few)).collect();
            compare(&a, &b, 64, 0.0);
        }
    }

    #[test]
    fn a_matrix_has_its_outputs_in_place() {
        let mut rng = Rng::new(0xBF19);
        let mut codes = vec![0; (3 + 37) * 48];
        Values::ALL[0].fill(&mut rng, &mut codes);
        let all = numbers(&codes, &[0]);
        let (a, b) = all.split_at(3 * 48);
        let d = matrix(a, b, 48);
        for (i, d) in d.iter().enumerate() {
            let want = scalar::chain(&a[i / 37 * 48..][..48], &b[i % 37 * 48..][..48], 0.0);
            assert_eq!(d.to_bits(), want.to_bits());
        }
    }
}
