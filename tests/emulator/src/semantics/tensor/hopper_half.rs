//! `wgmma.mma_async` with f16 or bf16 operands and an `.f32` accumulator (PTX ISA 9.7.15.5.2).
//!
//! The ISA leaves the arithmetic open. The rule was measured for bf16 on an H100 (`captures/h100_bf16.bin`: 352,256
//! outputs of 16 kinds of operands, A in shared memory and in registers, one instruction and chains of 4 and 8; none
//! differs). f16 is taken to follow it, which MMA-Sim says too; no capture has confirmed that yet.
//!
//! 1. A product has the exponent `ea + eb` and the significand `ma * mb`, not renormalised; subnormal operands and a
//!    subnormal accumulator have the exponent of the least normal number: -14 (f16) or -126. The accumulator enters
//!    with its own exponent. Zeros take no part.
//! 2. `E` is the largest exponent. Every term is truncated toward zero to a multiple of `2^(E - 25)`.
//! 3. All 16 products and the accumulator are added exactly, whatever the range, in one sum.
//! 4. The sum is truncated toward zero to 23 explicit mantissa bits, below the normal numbers to a multiple of
//!    `2^-149`. Beyond the range it is infinite; an exact zero is positive.
//! 5. A NaN, zero times infinity and infinities of both signs give `0x7FFF_FFFF`; else an infinity is the result.
//!
//! Microsoft's MMA-Sim publishes the same constants; it lets zeros take part with an exponent, which the capture
//! refutes. `cargo run --release -p ptx-emulator --bin fit` tries the other rules.

use super::fused::{FusedSum, Rounding};
use super::operand::{Single, decode_half};
use crate::semantics::alu::float::Half;

/// K of one instruction with 16-bit operands (PTX ISA 9.7.15.2).
pub const K16: usize = 16;

/// The rule of Hopper for bf16.
pub const WGMMA_BF16: FusedSum = FusedSum {
    element: Half::Bf16,
    normalised: false,
    fraction_bits: FRACTION_BITS,
    result_bits: 23,
    products: K16,
    terms: Rounding::TowardZero,
    result: Rounding::TowardZero,
};

/// The rule of Hopper for f16.
pub const WGMMA_F16: FusedSum = FusedSum { element: Half::F16, ..WGMMA_BF16 };

/// The distance from the largest exponent to the unit of the sum, for both types.
const FRACTION_BITS: i32 = 25;
/// Columns that are computed together.
const W: usize = 32;
/// Stands in for the exponent of a zero: sums with it are below all others, and stay in range.
const NO_EXPONENT: i16 = -8192;
/// Farther below the largest exponent a term vanishes.
const VANISHES: i32 = -40;
/// The binary64 mantissa bits that a result does not have.
const CUT: u64 = (1 << 29) - 1;

/// One `wgmma.mma_async.sync.aligned.m64nNk16.f32` of f16 or bf16, in place.
///
/// `d` is 64 x `n`, `a` 64 x 16 and `b` `n` x 16 numbers, all row-major. Without `accumulate` (the predicate
/// scale-d false) the old contents of `d` are ignored. Bit for bit [`WGMMA_F16`] or [`WGMMA_BF16`].
///
/// # Panics
/// If a slice does not have the size of its matrix.
pub fn wgmma_half(half: Half, d: &mut [f32], n: usize, a: &[u16], b: &[u16], accumulate: bool) {
    assert!(n > 0 && b.len() == n * K16, "b is {n} x {K16} numbers");
    assert!(d.len().is_multiple_of(n) && a.len() == d.len() / n * K16, "a and d have as many rows");
    if !accumulate {
        d.fill(0.0);
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { multiply_avx2(half, d, n, a, b) };
        return;
    }
    multiply(half, d, n, a, b);
}

/// [`multiply`], compiled for processors with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn multiply_avx2(half: Half, d: &mut [f32], n: usize, a: &[u16], b: &[u16]) {
    multiply(half, d, n, a, b);
}

#[inline(always)]
fn multiply(half: Half, d: &mut [f32], n: usize, a: &[u16], b: &[u16]) {
    let rule = match half {
        Half::F16 => WGMMA_F16,
        Half::Bf16 => WGMMA_BF16,
    };
    let rows: Vec<Row> = a.as_chunks().0.iter().map(|row| Row::decode(half, row)).collect();
    for (first, b) in b.chunks(W * K16).enumerate() {
        let columns = Columns::decode(half, b);
        let width = b.len() / K16;
        for ((row, a), d) in rows.iter().zip(a.chunks_exact(K16)).zip(d.chunks_exact_mut(n)) {
            let d = &mut d[first * W..][..width];
            let mut acc = [0.0; W];
            acc[..width].copy_from_slice(d);
            let (sums, plain) = outputs(row, &columns, &acc);
            for (j, to) in d.iter_mut().enumerate() {
                *to = sums[j];
                // Infinities, NaN and subnormal results are rare: the rule itself says what they are.
                if row.special || !plain[j] {
                    *to = rule.dot(acc[j], a, &b[j * K16..][..K16]);
                }
            }
        }
    }
}

/// A row of A.
struct Row {
    /// Significands between -2 and 2.
    significands: [f32; K16],
    exponents: [i16; K16],
    /// Whether there is an infinity or a NaN.
    special: bool,
}

impl Row {
    fn decode(half: Half, numbers: &[u16; K16]) -> Self {
        let one = (1 << half.mantissa_bits()) as f32;
        let mut row =
            Self { significands: [0.0; K16], exponents: [NO_EXPONENT; K16], special: false };
        for (k, &number) in numbers.iter().enumerate() {
            let Some((significand, exponent)) = decode_half(half, number) else {
                row.special = true;
                continue;
            };
            if significand != 0 {
                row.significands[k] = significand as f32 / one;
                row.exponents[k] = exponent as i16;
            }
        }
        row
    }
}

/// Rows of B, turned so that columns of D lie side by side.
struct Columns {
    significands: [[f32; W]; K16],
    exponents: [[i16; W]; K16],
    special: [bool; W],
}

impl Columns {
    fn decode(half: Half, numbers: &[u16]) -> Self {
        let mut columns = Self {
            significands: [[0.0; W]; K16],
            exponents: [[NO_EXPONENT; W]; K16],
            special: [false; W],
        };
        for (j, numbers) in numbers.as_chunks().0.iter().enumerate() {
            let row = Row::decode(half, numbers);
            for k in 0..K16 {
                columns.significands[k][j] = row.significands[k];
                columns.exponents[k][j] = row.exponents[k];
            }
            columns.special[j] = row.special;
        }
        columns
    }
}

/// One row of outputs, and for which of them this is the result.
#[inline(always)]
fn outputs(row: &Row, columns: &Columns, acc: &[f32; W]) -> ([f32; W], [bool; W]) {
    let mut largest = [2 * NO_EXPONENT; W];
    for (&x, y) in row.exponents.iter().zip(&columns.exponents) {
        for j in 0..W {
            largest[j] = largest[j].max(x + y[j]);
        }
    }
    let mut e = [0; W];
    let mut term = [0; W];
    for j in 0..W {
        let c = Single::decode(acc[j]);
        let own = if c.significand == 0 { i32::MIN } else { c.exponent };
        // Without any term everything is zero, and `e` of no consequence.
        e[j] = own.max(i32::from(largest[j])).max(-300);
        // Two bits below the accumulator's own, then truncated.
        let magnitude = ((c.significand << 2) >> (e[j] - c.exponent).clamp(0, 31)) as i32;
        term[j] = if c.negative { -magnitude } else { magnitude };
    }
    // A product has at most 22 significant bits, exact in binary32. It is below 2^27 in these units, all together below
    // 2^31.
    let mut products = [0i32; W];
    for k in 0..K16 {
        let (x, ex) = (row.significands[k], i32::from(row.exponents[k]));
        let (y, ey) = (&columns.significands[k], &columns.exponents[k]);
        for j in 0..W {
            let below = (ex + i32::from(ey[j]) - e[j]).max(VANISHES);
            let factor = f32::from_bits(((FRACTION_BITS + below + 127) as u32) << 23);
            // SAFETY: the product of significands is below 4 and `below` is at most 0.
            products[j] += unsafe { (x * y[j] * factor).to_int_unchecked::<i32>() };
        }
    }
    let mut result = [0.0; W];
    let mut plain = [true; W];
    for j in 0..W {
        let sum = f64::from(products[j]) + f64::from(term[j]);
        let cut = f64::from_bits(sum.to_bits() & !CUT);
        let unit = f64::from_bits(((e[j] - FRACTION_BITS + 1023) as u64) << 52);
        let exact = cut * unit;
        result[j] = exact as f32;
        let normal = exact.abs() >= f64::from(f32::MIN_POSITIVE) || sum == 0.0;
        plain[j] = normal && acc[j].is_finite() && !columns.special[j];
    }
    (result, plain)
}

#[cfg(test)]
mod tests;
