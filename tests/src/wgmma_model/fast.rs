//! The rule, many outputs at a time. Equal to [`super::scalar`] in every bit, some hundred times faster.
//!
//! Lanes are neighbouring output columns. What makes the rule cheap on a CPU:
//!
//! 1. The exponents fit `i8`, so the largest one costs an add and a max per 32 products.
//! 2. A product of two codes has 8 significant bits: `a * b * 2^(13 - E)` is exact in f32, and the CPU's
//!    float-to-int conversion truncates toward zero, which is the rule's own truncation, sign included.
//! 3. The sum of 33 such integers stays below 2^21: its conversion to f32 is exact, and clearing the low
//!    ten mantissa bits is the truncation of the result.
//! 4. NaN codes are decoded as zero and put back at the end of the block.
//!
//! The loops are plain Rust that LLVM vectorises; the same code is compiled again for AVX2.

use super::{BLOCK, NAN_BITS, STEP};
use crate::e4m3;
use crate::sweep::COLUMNS;

/// Exponent that stands for a zero operand: a sum with it is below that of every product.
const NO_EXPONENT: i8 = -64;
/// Clears the mantissa bits below the 13th.
const KEEP: u32 = !0x3FF;

const VALUE: [f32; 256] = {
    let mut table = e4m3::DECODE;
    table[0x7F] = 0.0;
    table[0xFF] = 0.0;
    table
};

const EXPONENT: [i8; 256] = {
    let mut table = [NO_EXPONENT; 256];
    let mut code = 0;
    while code < 256 {
        if e4m3::significand(code as u8) != 0 && !e4m3::is_nan(code as u8) {
            table[code] = e4m3::exponent(code as u8) as i8;
        }
        code += 1;
    }
    table
};

/// A row of activations, decoded. One scale block of it is one [`BLOCK`] of codes.
pub struct Row {
    value: Vec<f32>,
    exponent: Vec<i8>,
    nan: Vec<bool>,
}

impl Row {
    /// Decodes a row of whole scale blocks.
    pub fn decode(codes: &[u8]) -> Self {
        Self {
            value: codes.iter().map(|&code| VALUE[code as usize]).collect(),
            exponent: codes.iter().map(|&code| EXPONENT[code as usize]).collect(),
            nan: codes.chunks(BLOCK).map(|block| block.iter().any(|&c| e4m3::is_nan(c))).collect(),
        }
    }
}

/// One scale block of [`COLUMNS`] rows of weights, decoded, columns of the output side by side.
pub struct Weights {
    value: [[f32; COLUMNS]; BLOCK],
    exponent: [[i8; COLUMNS]; BLOCK],
    nan: [bool; COLUMNS],
}

impl Weights {
    /// A block of zeros.
    pub fn zeroed() -> Box<Self> {
        Box::new(Self {
            value: [[0.0; COLUMNS]; BLOCK],
            exponent: [[NO_EXPONENT; COLUMNS]; BLOCK],
            nan: [false; COLUMNS],
        })
    }

    /// Decodes block `kb` of the [`COLUMNS`] rows of `k` codes in `codes`.
    ///
    /// # Panics
    /// If `codes` has another size or no such block.
    pub fn load(&mut self, codes: &[u8], k: usize, kb: usize) {
        assert!(codes.len() == COLUMNS * k, "one row of weights for each column");
        let rows: [&[u8; BLOCK]; COLUMNS] = core::array::from_fn(|column| {
            codes[column * k + kb * BLOCK..].first_chunk().expect("k is a multiple of the block")
        });
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: the features were just found on this CPU.
            unsafe { self.decode_avx2(&rows) };
            return;
        }
        self.decode(&rows);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn decode_avx2(&mut self, rows: &[&[u8; BLOCK]; COLUMNS]) {
        self.decode(rows);
    }

    #[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
    #[inline(always)]
    fn decode(&mut self, rows: &[&[u8; BLOCK]; COLUMNS]) {
        for (nan, row) in self.nan.iter_mut().zip(rows) {
            *nan = row.iter().fold(false, |nan, &code| nan | e4m3::is_nan(code));
        }
        for first in (0..BLOCK).step_by(8) {
            let mut codes = [[0u8; COLUMNS]; 8];
            for column in (0..COLUMNS).step_by(8) {
                let square = core::array::from_fn(|i| {
                    u64::from_le_bytes(
                        *rows[column + i][first..].first_chunk().expect("in the row"),
                    )
                });
                for (codes, word) in codes.iter_mut().zip(transposed(square)) {
                    codes[column..column + 8].copy_from_slice(&word.to_le_bytes());
                }
            }
            for (i, codes) in codes.iter().enumerate() {
                for (to, &code) in self.exponent[first + i].iter_mut().zip(codes) {
                    *to = exponent(code);
                }
                for (to, &code) in self.value[first + i].iter_mut().zip(codes) {
                    *to = value(code);
                }
            }
        }
    }
}

/// `EXPONENT[code]`, in a form that vectorises.
#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn exponent(code: u8) -> i8 {
    let magnitude = code & 0x7F;
    let exponent = ((magnitude >> 3).max(1) as i8) - 7;
    if magnitude == 0 || magnitude == 0x7F { NO_EXPONENT } else { exponent }
}

/// `VALUE[code]`, in a form that vectorises.
#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn value(code: u8) -> f32 {
    let sign = (code as u32 & 0x80) << 24;
    let magnitude = code as u32 & 0x7F;
    let normal = (magnitude << 20) + (120 << 23);
    let subnormal = (magnitude as i32 as f32 * 2f32.powi(-9)).to_bits();
    let bits = if magnitude < 8 { subnormal } else { normal };
    let bits = if magnitude == 0x7F { 0 } else { bits };
    f32::from_bits(sign | bits)
}

/// Transposes 8 x 8 bytes, one row to a word.
#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn transposed(mut rows: [u64; 8]) -> [u64; 8] {
    for (distance, mask) in
        [(4, 0x0000_0000_FFFF_FFFFu64), (2, 0x0000_FFFF_0000_FFFF), (1, 0x00FF_00FF_00FF_00FF)]
    {
        let bits = 8 * distance;
        for row in (0..8).filter(|row| row & distance == 0) {
            let swap = ((rows[row] >> bits) ^ rows[row + distance]) & mask;
            rows[row + distance] ^= swap;
            rows[row] ^= swap << bits;
        }
    }
    rows
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// Adds one scale block to the f32 accumulators of one row: `acc = fma(block, scale, acc)`.
///
/// # Panics
/// If the row has no block `kb`.
pub fn accumulate(
    row: &Row,
    kb: usize,
    weights: &Weights,
    scale: f32,
    accumulator: &mut [f32; COLUMNS],
) {
    let value = row.value[kb * BLOCK..].first_chunk().expect("the row has the block");
    let exponent = row.exponent[kb * BLOCK..].first_chunk().expect("the row has the block");
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features were just found on this CPU.
        unsafe { accumulate_avx2(value, exponent, row.nan[kb], weights, scale, accumulator) };
        return;
    }
    accumulate_lanes(value, exponent, row.nan[kb], weights, scale, accumulator);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn accumulate_avx2(
    value: &[f32; BLOCK],
    exponent: &[i8; BLOCK],
    nan: bool,
    weights: &Weights,
    scale: f32,
    accumulator: &mut [f32; COLUMNS],
) {
    accumulate_lanes(value, exponent, nan, weights, scale, accumulator);
}

#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn accumulate_lanes(
    value: &[f32; BLOCK],
    exponent: &[i8; BLOCK],
    nan: bool,
    weights: &Weights,
    scale: f32,
    accumulator: &mut [f32; COLUMNS],
) {
    let mut block = [0.0; COLUMNS];
    for first in (0..BLOCK).step_by(STEP) {
        step(
            &value[first..first + STEP],
            &exponent[first..first + STEP],
            &weights.value[first..first + STEP],
            &weights.exponent[first..first + STEP],
            &mut block,
        );
    }
    for column in 0..COLUMNS {
        if nan || weights.nan[column] {
            block[column] = f32::from_bits(NAN_BITS);
        }
        accumulator[column] = block[column].mul_add(scale, accumulator[column]);
    }
}

/// One fused sum of 32 products and the accumulator, for every column.
#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn step(
    a: &[f32],
    a_exponent: &[i8],
    b: &[[f32; COLUMNS]],
    b_exponent: &[[i8; COLUMNS]],
    block: &mut [f32; COLUMNS],
) {
    let mut largest = [i8::MIN; COLUMNS];
    // A count that LLVM cannot see keeps it from unrolling the loop into 32 reductions of single bytes, which
    // took three times as long as all the rest.
    let count = core::hint::black_box(STEP);
    for (&ea, eb) in a_exponent.iter().zip(b_exponent).take(count) {
        for column in 0..COLUMNS {
            // -128..=16: no wrap.
            largest[column] = largest[column].max(ea.wrapping_add(eb[column]));
        }
    }

    let mut to_units = [0.0f32; COLUMNS];
    let mut from_units = [0.0f32; COLUMNS];
    let mut sum = [0i32; COLUMNS];
    for column in 0..COLUMNS {
        // A zero accumulator reads as -127, below every exponent that matters (-25 and more).
        let own = ((block[column].to_bits() >> 23) & 0xFF) as i32 - 127;
        let products = largest[column] as i32;
        // Without any term E is of no consequence; it only has to stay in range.
        let e = own.max(if products < -32 { -64 } else { products });
        to_units[column] = f32::from_bits(((127 + 13 - e) as u32) << 23);
        from_units[column] = f32::from_bits(((127 - 13 + e) as u32) << 23);
        sum[column] = truncated(block[column] * to_units[column]);
    }
    for (&a, b) in a.iter().zip(b) {
        for column in 0..COLUMNS {
            sum[column] += truncated(a * b[column] * to_units[column]);
        }
    }
    for column in 0..COLUMNS {
        let exact = sum[column] as f32;
        block[column] = f32::from_bits(exact.to_bits() & KEEP) * from_units[column];
    }
}

#[allow(clippy::inline_always, reason = "must be compiled with its caller's target features")]
#[inline(always)]
fn truncated(term: f32) -> i32 {
    // SAFETY: a term is finite and below 2^15: operands are finite by decoding, and E is at least the
    // exponent of the term, whose significand is below 4.
    unsafe { term.to_int_unchecked() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::values::Values;
    use crate::wgmma_model::scalar;

    /// A row of activations against [`COLUMNS`] rows of weights, over several scale blocks.
    fn compare(a: &[u8], b: &[u8], scale: f32) {
        let k = a.len();
        let row = Row::decode(a);
        let mut weights = Weights::zeroed();
        let mut portable = [0.0; COLUMNS];
        let mut dispatched = [0.0; COLUMNS];
        for kb in 0..k / BLOCK {
            weights.load(b, k, kb);
            accumulate(&row, kb, &weights, scale, &mut dispatched);
            let value = row.value[kb * BLOCK..].first_chunk().unwrap();
            let exponent = row.exponent[kb * BLOCK..].first_chunk().unwrap();
            accumulate_lanes(value, exponent, row.nan[kb], &weights, scale, &mut portable);
        }
        let scales = vec![scale; k / BLOCK];
        let ones = vec![1.0; k / BLOCK];
        for column in 0..COLUMNS {
            let b = &b[column * k..(column + 1) * k];
            let want = scalar::promoted(a, b, &scales, &ones);
            for got in [dispatched[column], portable[column]] {
                let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                assert!(same, "{got:e} for {want:e}\na = {a:02x?}\nb = {b:02x?}");
            }
        }
    }

    #[test]
    fn every_kind_of_values_agrees_with_the_scalar_model() {
        let mut rng = Rng::new(0xFA57);
        for round in 0..40 {
            for values_a in Values::ALL {
                for values_b in Values::ALL {
                    let k = BLOCK * (1 + round % 3);
                    let mut a = vec![0; k];
                    let mut b = vec![0; COLUMNS * k];
                    values_a.fill(&mut rng, &mut a);
                    values_b.fill(&mut rng, &mut b);
                    compare(&a, &b, rng.log_uniform(1e-4, 1e4) as f32);
                }
            }
        }
    }

    #[test]
    fn both_decodings_agree() {
        for code in 0..=255u8 {
            assert_eq!(exponent(code), EXPONENT[code as usize], "{code:#04x}");
            // The sign of a NaN's stand-in is of no consequence.
            let same = value(code).to_bits() == VALUE[code as usize].to_bits();
            assert!(same || e4m3::is_nan(code) && value(code) == 0.0, "{code:#04x}");
        }
        let rows: [u64; 8] =
            core::array::from_fn(|i| 0x0706_0504_0302_0100 + i as u64 * 0x0808_0808_0808_0808);
        let byte = |rows: [u64; 8], row: usize, column: usize| rows[row].to_le_bytes()[column];
        for i in 0..64 {
            assert_eq!(byte(rows, i / 8, i % 8), byte(transposed(rows), i % 8, i / 8));
        }
    }

    #[test]
    fn mixed_magnitudes_agree() {
        // Huge, tiny and zero codes side by side, with exact cancellations.
        let codes = [0x00, 0x80, 0x01, 0x81, 0x07, 0x08, 0x38, 0xB8, 0x7E, 0xFE, 0x77, 0x0F];
        let mut rng = Rng::new(0x313);
        for _ in 0..4000 {
            let few = &codes[..rng.between(1, codes.len() as u64) as usize];
            let a: Vec<u8> = (0..BLOCK).map(|_| rng.pick(few)).collect();
            let b: Vec<u8> = (0..COLUMNS * BLOCK).map(|_| rng.pick(&codes)).collect();
            compare(&a, &b, 1.0);
        }
    }

    #[test]
    fn one_nonzero_product_at_each_place_agrees() {
        for place in 0..BLOCK {
            for code in [0x01, 0x08, 0x7E, 0x7F, 0x80] {
                let mut a = [0; BLOCK];
                a[place] = code;
                let b: Vec<u8> = (0..COLUMNS * BLOCK).map(|i| (i * 37 % 256) as u8).collect();
                compare(&a, &b, 0.5);
            }
        }
    }
}
