//! One tile: the rows of a segment times 128 columns.
//!
//! ```text
//! for kb in 0..K / 128:
//!     decode B[128 columns, 128 k] into panels of [128 k][16 columns]
//!     decode A[rows, 128 k]
//!     for panel in B, for 6 rows in A:
//!         block[6][16] = sum over k of A[row][k] * panel[k][column]       in registers
//!         sums[6][16]  = fma(block, scales_a[row, kb] * scales_b[nb, kb], sums)
//! ```
//!
//! A panel (8 KiB) stays in the first-level cache while all rows pass over it. The inner loop is written over
//! fixed arrays, so that the compiler turns it into vector instructions for whatever it may assume: the
//! baseline of the target, or AVX2 with FMA where the machine has them.

use super::HostTensors;
use super::decode::{decode, transpose};
use super::groups::{MAX_SEGMENT_ROWS, Segment};
use crate::ops::Fp8GroupedMm;

/// Edge of a scale block.
pub(super) const BLOCK: usize = crate::abi::SCALE_BLOCK as usize;
/// Columns of a panel: two AVX2 registers.
const COLUMNS: usize = 16;
/// Rows that pass over a panel together: 6 rows x 16 columns fill 12 of 16 AVX2 registers. Where fewer are
/// left, the others are computed from what an earlier tile left behind, and dropped.
const ROWS: usize = 6;
const _: () = assert!(MAX_SEGMENT_ROWS.is_multiple_of(ROWS));

/// A block of 16 rows of the weights, transposed.
type Panel = [[f32; COLUMNS]; BLOCK];
/// A block of 6 rows of the activations, transposed.
type Strip = [[f32; ROWS]; BLOCK];

/// The memory of one task, reused by the next.
pub(super) struct Scratch {
    a: Vec<Strip>,
    b: Vec<Panel>,
    sums: Vec<[f32; BLOCK]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            a: vec![[[0.0; ROWS]; BLOCK]; MAX_SEGMENT_ROWS / ROWS],
            b: vec![[[0.0; COLUMNS]; BLOCK]; BLOCK / COLUMNS],
            sums: vec![[0.0; BLOCK]; MAX_SEGMENT_ROWS],
        }
    }
}

impl Scratch {
    /// The sums of the first `rows` rows, with their index.
    pub(super) fn rows(&self, rows: usize) -> impl Iterator<Item = (usize, &[f32; BLOCK])> {
        self.sums.iter().take(rows).enumerate()
    }
}

/// Which instructions the machine has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Simd {
    /// The baseline of the target.
    Baseline,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Simd {
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Self::Avx2;
        }
        Self::Baseline
    }

    /// Computes the f32 sums of a segment and of block `nb` of the columns into `scratch`.
    pub(super) fn tile(
        self,
        problem: &Fp8GroupedMm,
        tensors: &HostTensors<'_>,
        segment: Segment,
        nb: usize,
        scratch: &mut Scratch,
    ) {
        match self {
            Self::Baseline => tile::<false>(problem, tensors, segment, nb, scratch),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` has seen both features.
            Self::Avx2 => unsafe { tile_avx2(problem, tensors, segment, nb, scratch) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2(
    problem: &Fp8GroupedMm,
    tensors: &HostTensors<'_>,
    segment: Segment,
    nb: usize,
    scratch: &mut Scratch,
) {
    tile::<true>(problem, tensors, segment, nb, scratch);
}

/// `FMA`: whether `mul_add` is one instruction. Without, it would be a call.
#[inline(always)]
fn tile<const FMA: bool>(
    problem: &Fp8GroupedMm,
    tensors: &HostTensors<'_>,
    segment: Segment,
    nb: usize,
    scratch: &mut Scratch,
) {
    let (n, k) = (problem.n as usize, problem.k as usize);
    let k_blocks = k / BLOCK;
    let Segment { expert, first_row, rows } = segment;
    let rows = rows.min(MAX_SEGMENT_ROWS);
    let sums = scratch.sums.get_mut(..rows).unwrap_or_default();
    for row in &mut *sums {
        row.fill(0.0);
    }
    let a_rows = tensors.a.get(first_row * k..(first_row + rows) * k).unwrap_or_default();
    let column = expert * n + nb * BLOCK;
    let b_rows = tensors.b.get(column * k..(column + BLOCK) * k).unwrap_or_default();
    let scales_a = tensors
        .scales_a
        .get(first_row * k_blocks..(first_row + rows) * k_blocks)
        .unwrap_or_default();
    let scale_row = (expert * (n / BLOCK) + nb) * k_blocks;
    let scales_b = tensors.scales_b.get(scale_row..scale_row + k_blocks).unwrap_or_default();
    for (kb, &scale_b) in scales_b.iter().enumerate() {
        for (strip, rows) in scratch.a.iter_mut().zip(a_rows.chunks(k * ROWS)) {
            for (row, from) in rows.chunks_exact(k).enumerate() {
                let from = from.get(kb * BLOCK..(kb + 1) * BLOCK).unwrap_or_default();
                for (to, &from) in strip.iter_mut().zip(from) {
                    if let Some(to) = to.get_mut(row) {
                        *to = decode(from);
                    }
                }
            }
        }
        for (panel, columns) in scratch.b.iter_mut().zip(b_rows.chunks_exact(k * COLUMNS)) {
            decode_panel(panel, columns, k, kb);
        }
        let scale =
            |row: usize| scales_a.get(row * k_blocks + kb).copied().unwrap_or(0.0) * scale_b;
        for (index, panel) in scratch.b.iter().enumerate() {
            let first_column = index * COLUMNS;
            let mut first = 0;
            for (strip, sums) in scratch.a.iter().zip(sums.chunks_mut(ROWS)) {
                let mut scales = [0.0; ROWS];
                for (offset, to) in scales.iter_mut().enumerate().take(sums.len()) {
                    *to = scale(first + offset);
                }
                first += ROWS;
                rows_by_panel::<FMA>(strip, panel, scales, first_column, sums);
            }
        }
    }
}

/// Decodes block `kb` of 16 rows of the weights, of `k` bytes each, into a panel.
#[inline(always)]
fn decode_panel(panel: &mut Panel, columns: &[u8], k: usize, kb: usize) {
    // First the bytes into the panel's order, then all of them at once, which vectorises.
    let mut bytes = [[[0u8; 8]; 2]; BLOCK];
    for (half, rows) in columns.chunks_exact(k * 8).enumerate() {
        for (step, bytes) in bytes.chunks_exact_mut(8).enumerate() {
            let mut square = [0u64; 8];
            for (square, row) in square.iter_mut().zip(rows.chunks_exact(k)) {
                let eight = row.get(kb * BLOCK + step * 8..).and_then(<[u8]>::first_chunk);
                *square = eight.map_or(0, |&eight| u64::from_le_bytes(eight));
            }
            for (bytes, square) in bytes.iter_mut().zip(transpose(square)) {
                if let Some(bytes) = bytes.get_mut(half) {
                    *bytes = square.to_le_bytes();
                }
            }
        }
    }
    let bytes = bytes.as_flattened().as_flattened();
    for (to, &byte) in panel.as_flattened_mut().iter_mut().zip(bytes) {
        *to = decode(byte);
    }
}

/// Adds the scaled block of 6 rows and one panel to the sums of as many of them as there are.
#[inline(always)]
fn rows_by_panel<const FMA: bool>(
    strip: &Strip,
    panel: &Panel,
    scales: [f32; ROWS],
    first_column: usize,
    sums: &mut [[f32; BLOCK]],
) {
    let mut block = [[0f32; COLUMNS]; ROWS];
    for (a, b) in strip.iter().zip(panel) {
        for (block, &a) in block.iter_mut().zip(a) {
            for (block, &b) in block.iter_mut().zip(b) {
                *block = if FMA { a.mul_add(b, *block) } else { *block + a * b };
            }
        }
    }
    for ((sums, block), scale) in sums.iter_mut().zip(&block).zip(scales) {
        let sums = sums.get_mut(first_column..first_column + COLUMNS).unwrap_or_default();
        for (sum, &block) in sums.iter_mut().zip(block) {
            *sum = block.mul_add(scale, *sum);
        }
    }
}
