//! The fused sums of a whole matrix, many columns at a time.
//!
//! A product of two codes is exact in binary32, and so is its multiplication by a power of two. Scaled so
//! that the unit of the sum is 1, cutting its fraction off is the truncation that the rules ask for, and
//! the sum of such integers is exact. The exponents are found in a first pass, in bytes. All loops over
//! columns are plain and long, so that the compiler turns them into vector code.

use std::ops::{Add, AddAssign};

use super::operand::{E4M3, Single};
use super::{K, NAN_BITS};

/// The exponent of the smallest product that is not zero.
pub(super) const SMALLEST_PRODUCT: i32 = -12;
/// Stands in for the exponent of a zero: with any other exponent the sum is below every product's.
const NO_EXPONENT: i8 = -64;
/// Values of K in one pass over the columns.
const STEP: usize = 8;

/// What distinguishes one tensor core from another.
pub(super) trait Rule {
    /// The distance from the largest exponent to the unit of the sum.
    const FRACTION_BITS: i32;

    /// A float in which the sum is exact.
    type Sum: Copy + Default + From<f32> + Add<Output = Self::Sum> + AddAssign;

    /// The result from the sum of the products in units of `2^(e - FRACTION_BITS)`, where `e` is the
    /// largest exponent, and the accumulator, which may be any finite number. Whatever it returns for
    /// other accumulators is ignored.
    fn finish(products: Self::Sum, e: i32, acc: f32) -> f32;
}

/// Powers of two that multiply the products: E8M0 codes of the rows of both operands.
#[derive(Clone, Copy)]
pub(super) struct Scales<'a> {
    pub(super) a: &'a [u8],
    pub(super) b: &'a [u8],
}

/// One row of an operand.
struct Row {
    values: [f32; K],
    exponents: [i8; K],
    scale: i32,
    nan: bool,
}

impl Row {
    fn decode(codes: &[u8], scale: Option<u8>) -> Self {
        let mut row = Self { values: [0.0; K], exponents: [NO_EXPONENT; K], scale: 0, nan: false };
        for (k, &code) in codes.iter().enumerate() {
            let code = E4M3[code as usize];
            row.nan |= code.nan;
            if code.significand != 0 {
                row.values[k] = code.value();
                row.exponents[k] = code.exponent as i8;
            }
        }
        if let Some(scale) = scale {
            row.scale = i32::from(scale) - 127;
            row.nan |= scale == 0xFF;
        }
        row
    }
}

/// `W` rows of the second operand, turned so that columns lie side by side.
struct Columns<const W: usize> {
    values: [[f32; W]; K],
    exponents: [[i8; W]; K],
    scales: [i32; W],
    /// All bits set if there is a NaN.
    nan: [u32; W],
}

impl<const W: usize> Columns<W> {
    fn decode(codes: &[u8], scales: Option<&[u8]>) -> Self {
        let mut columns = Self {
            values: [[0.0; W]; K],
            exponents: [[NO_EXPONENT; W]; K],
            scales: [0; W],
            nan: [0; W],
        };
        for (j, codes) in codes.chunks_exact(K).enumerate() {
            let row = Row::decode(codes, scales.map(|s| s[j]));
            for k in 0..K {
                columns.values[k][j] = row.values[k];
                columns.exponents[k][j] = row.exponents[k];
            }
            columns.scales[j] = row.scale;
            columns.nan[j] = if row.nan { u32::MAX } else { 0 };
        }
        columns
    }
}

/// `d = a * b^T (+ d)`: `d` is m x `n`, `a` m x 32 and `b` `n` x 32 codes, all row-major.
///
/// # Panics
/// If the sizes of the slices do not agree.
pub(super) fn multiply<R: Rule>(
    d: &mut [f32],
    n: usize,
    a: &[u8],
    b: &[u8],
    accumulate: bool,
    scales: Option<Scales>,
) {
    assert!(n > 0 && b.len() == n * K, "b is {n} x {K} codes");
    assert!(d.len().is_multiple_of(n) && a.len() == d.len() / n * K, "a and d have as many rows");
    if let Some(s) = scales {
        assert!(s.a.len() * n == d.len() && s.b.len() == n, "one scale for each row");
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { multiply_avx2::<R>(d, n, a, b, accumulate, scales) };
        return;
    }
    multiply_any::<R>(d, n, a, b, accumulate, scales);
}

/// [`multiply_any`], compiled for processors with AVX2.
///
/// # Safety
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn multiply_avx2<R: Rule>(
    d: &mut [f32],
    n: usize,
    a: &[u8],
    b: &[u8],
    accumulate: bool,
    scales: Option<Scales>,
) {
    multiply_any::<R>(d, n, a, b, accumulate, scales);
}

#[inline(always)]
pub(super) fn multiply_any<R: Rule>(
    d: &mut [f32],
    n: usize,
    a: &[u8],
    b: &[u8],
    accumulate: bool,
    scales: Option<Scales>,
) {
    let row = |(i, codes)| Row::decode(codes, scales.map(|s| s.a[i]));
    let rows: Vec<Row> = a.chunks_exact(K).enumerate().map(row).collect();
    let mut first = 0;
    while first < n {
        let left = n - first;
        let width = left.min(if left > 8 { 64 } else { 8 });
        let columns = first..first + width;
        let codes = &b[first * K..(first + width) * K];
        let scales = scales.map(|s| &s.b[columns.clone()]);
        let d = d.chunks_exact_mut(n).map(|row| &mut row[columns.clone()]);
        match width {
            0..=8 => chunk::<R, 8>(d, &rows, codes, scales, accumulate),
            9..=32 => chunk::<R, 32>(d, &rows, codes, scales, accumulate),
            _ => chunk::<R, 64>(d, &rows, codes, scales, accumulate),
        }
        first += width;
    }
}

/// At most `W` columns of all rows.
#[inline(always)]
fn chunk<'a, R: Rule, const W: usize>(
    d: impl Iterator<Item = &'a mut [f32]>,
    rows: &[Row],
    codes: &[u8],
    scales: Option<&[u8]>,
    accumulate: bool,
) {
    let columns = Columns::<W>::decode(codes, scales);
    for (row, d) in rows.iter().zip(d) {
        let mut acc = [0.0; W];
        if accumulate {
            acc[..d.len()].copy_from_slice(d);
        }
        let result = outputs::<R, W>(row, &columns, &acc);
        d.copy_from_slice(&result[..d.len()]);
    }
}

/// One row of outputs.
#[inline(always)]
fn outputs<R: Rule, const W: usize>(row: &Row, columns: &Columns<W>, acc: &[f32; W]) -> [f32; W] {
    let largest = largest_products(row, columns);

    // The largest exponent of all terms, and the factor that makes the unit of the sum 1.
    let mut e = [0; W];
    let mut factor = [0.0; W];
    for j in 0..W {
        let scale = row.scale + columns.scales[j];
        let product = i32::from(largest[j]);
        let c = Single::decode(acc[j]);
        let of_product = if product < SMALLEST_PRODUCT { i32::MIN } else { product + scale };
        let of_acc =
            if c.significand == 0 && of_product != i32::MIN { i32::MIN } else { c.exponent };
        e[j] = of_product.max(of_acc);
        // Farther than 60 above, the products truncate to zero in any case.
        let relative = (e[j] - scale).clamp(SMALLEST_PRODUCT, 60);
        factor[j] = f32::from_bits(((R::FRACTION_BITS - relative + 127) as u32) << 23);
    }

    let products = scaled_products::<R, W>(row, columns, &factor);

    let mut result = [0.0; W];
    let row_nan = if row.nan { u32::MAX } else { 0 };
    for j in 0..W {
        let finite = R::finish(products[j], e[j], acc[j]);
        let kept = if acc[j].is_infinite() { acc[j] } else { finite };
        let nan = (row_nan | columns.nan[j]) != 0 || acc[j].is_nan();
        result[j] = if nan { f32::from_bits(NAN_BITS) } else { kept };
    }
    result
}

/// The largest exponent of the products of each column, below [`SMALLEST_PRODUCT`] if all are zero.
#[inline(always)]
fn largest_products<const W: usize>(row: &Row, columns: &Columns<W>) -> [i8; W] {
    let mut largest = [i8::MIN; W];
    for first in (0..K).step_by(STEP) {
        let x: &[i8; STEP] = row.exponents[first..].first_chunk().expect("K is a multiple");
        let y: &[[i8; W]; STEP] = columns.exponents[first..].first_chunk().expect("as for x");
        for j in 0..W {
            let mut top = largest[j];
            for k in 0..STEP {
                top = top.max(x[k].wrapping_add(y[k][j]));
            }
            largest[j] = top;
        }
    }
    largest
}

/// The products in units of the sum, each truncated toward zero, added up.
#[inline(always)]
fn scaled_products<R: Rule, const W: usize>(
    row: &Row,
    columns: &Columns<W>,
    factor: &[f32; W],
) -> [R::Sum; W] {
    let mut sums = [R::Sum::default(); W];
    for first in (0..K).step_by(STEP) {
        let x: &[f32; STEP] = row.values[first..].first_chunk().expect("K is a multiple");
        let y: &[[f32; W]; STEP] = columns.values[first..].first_chunk().expect("as for x");
        for j in 0..W {
            let mut sum = sums[j];
            for k in 0..STEP {
                sum += R::Sum::from((x[k] * y[k][j] * factor[j]).trunc());
            }
            sums[j] = sum;
        }
    }
    sums
}
