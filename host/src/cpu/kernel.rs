//! One tile: the rows of a segment times 128 columns.
//!
//! ```text
//! for kb in 0..K / 128:
//!     decode B[128 columns, 128 k] into panels of [128 k][16 columns]
//!     decode A[rows, 128 k]
//!     load the scales
//!     for panel in B, for 6 rows in A, for each scaled stretch of k:
//!         block[6][16] = sum over k of A[row][k] * panel[k][column]       in registers
//!         sums[6][16] += block, scaled
//! ```
//!
//! A panel (8 KiB) stays in the first-level cache while all rows pass over it. The loops are written over fixed
//! arrays, so that the compiler turns them into vector instructions for whatever it may assume: the baseline of
//! the target, or AVX2 with FMA where the machine has them.

use super::decode::{decode, transpose};
use super::groups::{MAX_SEGMENT_ROWS, Segment};

/// Edge of a tile, and elements of the reduction that are decoded at a time.
pub(super) const BLOCK: usize = crate::abi::SCALE_BLOCK as usize;
/// Columns of a panel: two AVX2 registers.
pub(super) const COLUMNS: usize = 16;
/// Rows that pass over a panel together: 6 rows x 16 columns fill 12 of 16 AVX2 registers. Where fewer are
/// left, the others are computed from what an earlier tile left behind, and dropped.
const ROWS: usize = 6;
const _: () = assert!(MAX_SEGMENT_ROWS.is_multiple_of(ROWS));

/// A product of packed rows with the weights of their experts.
#[derive(Clone, Copy)]
pub(super) struct Product<'a, S> {
    /// Activations `[rows, k]` e4m3.
    pub(super) a: &'a [u8],
    /// Weights `[experts, n, k]` e4m3.
    pub(super) b: &'a [u8],
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) scales: S,
}

/// The scales of a product: how the sum over a stretch of `WIDTH` elements of the reduction enters the output.
/// `WIDTH` divides 128.
///
/// The methods must be inlined into the tile, to be compiled with its vector instructions.
pub(super) trait Scales<const WIDTH: usize>: Copy + Sync {
    /// The scales of a tile for 128 elements of the reduction.
    type Loaded: Send;

    /// Memory for them.
    fn empty() -> Self::Loaded;

    /// Loads the scales of a segment, of block `nb` of the columns, for block `kb` of the reduction.
    fn load(&self, segment: Segment, nb: usize, kb: usize, loaded: &mut Self::Loaded);

    /// Adds the sums over stretch `step` of the block to those of one row, in the columns of one panel. Row and
    /// first column are counted from the tile's.
    fn add(
        loaded: &Self::Loaded,
        step: usize,
        row: usize,
        first_column: usize,
        block: &[f32; COLUMNS],
        sums: &mut [f32; COLUMNS],
    );
}

/// A block of 16 rows of the weights, transposed.
type Panel = [[f32; COLUMNS]; BLOCK];
/// A block of 6 rows of the activations, transposed.
type Strip = [[f32; ROWS]; BLOCK];

/// The memory of one task, reused by the next.
pub(super) struct Scratch<const WIDTH: usize, S: Scales<WIDTH>> {
    a: Vec<Strip>,
    b: Vec<Panel>,
    scales: S::Loaded,
    sums: Vec<[f32; BLOCK]>,
}

impl<const WIDTH: usize, S: Scales<WIDTH>> Default for Scratch<WIDTH, S> {
    fn default() -> Self {
        Self {
            a: vec![[[0.0; ROWS]; BLOCK]; MAX_SEGMENT_ROWS / ROWS],
            b: vec![[[0.0; COLUMNS]; BLOCK]; BLOCK / COLUMNS],
            scales: S::empty(),
            sums: vec![[0.0; BLOCK]; MAX_SEGMENT_ROWS],
        }
    }
}

impl<const WIDTH: usize, S: Scales<WIDTH>> Scratch<WIDTH, S> {
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
    pub(super) fn tile<const WIDTH: usize, S: Scales<WIDTH>>(
        self,
        product: &Product<'_, S>,
        segment: Segment,
        nb: usize,
        scratch: &mut Scratch<WIDTH, S>,
    ) {
        match self {
            Self::Baseline => tile::<false, WIDTH, S>(product, segment, nb, scratch),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` has seen both features.
            Self::Avx2 => unsafe { tile_avx2(product, segment, nb, scratch) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2<const WIDTH: usize, S: Scales<WIDTH>>(
    product: &Product<'_, S>,
    segment: Segment,
    nb: usize,
    scratch: &mut Scratch<WIDTH, S>,
) {
    tile::<true, WIDTH, S>(product, segment, nb, scratch);
}

/// `FMA`: whether AVX2 and FMA are there, see [`Simd`].
#[inline(always)]
fn tile<const FMA: bool, const WIDTH: usize, S: Scales<WIDTH>>(
    product: &Product<'_, S>,
    segment: Segment,
    nb: usize,
    scratch: &mut Scratch<WIDTH, S>,
) {
    let Product { a, b, n, k, ref scales } = *product;
    let Segment { expert, first_row, rows } = segment;
    let rows = rows.min(MAX_SEGMENT_ROWS);
    let Scratch { a: strips, b: panels, scales: loaded, sums } = scratch;
    let sums = sums.get_mut(..rows).unwrap_or_default();
    for row in &mut *sums {
        row.fill(0.0);
    }
    let a_rows = a.get(first_row * k..(first_row + rows) * k).unwrap_or_default();
    let column = expert * n + nb * BLOCK;
    let b_rows = b.get(column * k..(column + BLOCK) * k).unwrap_or_default();
    for kb in 0..k / BLOCK {
        scales.load(segment, nb, kb, loaded);
        for (strip, rows) in strips.iter_mut().zip(a_rows.chunks(k * ROWS)) {
            decode_strip(strip, rows, k, kb);
        }
        for (panel, columns) in panels.iter_mut().zip(b_rows.chunks_exact(k * COLUMNS)) {
            decode_panel(panel, columns, k, kb);
        }
        for (index, panel) in panels.iter().enumerate() {
            for (at, (strip, rows)) in strips.iter().zip(sums.chunks_mut(ROWS)).enumerate() {
                let stretches =
                    strip.as_chunks::<WIDTH>().0.iter().zip(panel.as_chunks::<WIDTH>().0);
                for (step, (a, b)) in stretches.enumerate() {
                    let block = multiply::<FMA, WIDTH>(a, b);
                    // Always 6 turns: a number that the compiler does not know would cost the registers.
                    for (row, block) in block.iter().enumerate() {
                        let column = index * COLUMNS;
                        let sums = rows.get_mut(row).and_then(|sums| sums.get_mut(column..));
                        if let Some(sums) = sums.and_then(<[f32]>::first_chunk_mut) {
                            S::add(loaded, step, at * ROWS + row, column, block, sums);
                        }
                    }
                }
            }
        }
    }
}

/// Decodes block `kb` of up to 6 rows of the activations, of `k` bytes each, into a strip.
#[inline(always)]
fn decode_strip(strip: &mut Strip, rows: &[u8], k: usize, kb: usize) {
    for (row, from) in rows.chunks_exact(k).enumerate() {
        let from = from.get(kb * BLOCK..(kb + 1) * BLOCK).unwrap_or_default();
        for (to, &from) in strip.iter_mut().zip(from) {
            if let Some(to) = to.get_mut(row) {
                *to = decode(from);
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

/// The sums over a stretch of the reduction, in ascending order.
#[inline(always)]
fn multiply<const FMA: bool, const WIDTH: usize>(
    a: &[[f32; ROWS]; WIDTH],
    b: &[[f32; COLUMNS]; WIDTH],
) -> [[f32; COLUMNS]; ROWS] {
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: only `tile_avx2` sets `FMA`.
        return unsafe { multiply_avx2(a, b) };
    }
    let mut block = [[0f32; COLUMNS]; ROWS];
    for (a, b) in a.iter().zip(b) {
        for (block, &a) in block.iter_mut().zip(a) {
            for (block, &b) in block.iter_mut().zip(b) {
                *block += a * b;
            }
        }
    }
    block
}

/// The same in vectors, spelt out: whether the compiler finds them by itself has proved to depend on what
/// surrounds the loop.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline]
fn multiply_avx2<const WIDTH: usize>(
    a: &[[f32; ROWS]; WIDTH],
    b: &[[f32; COLUMNS]; WIDTH],
) -> [[f32; COLUMNS]; ROWS] {
    use std::arch::x86_64::{
        __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps,
    };
    const LANES: usize = COLUMNS / 2;
    let mut block = [[_mm256_setzero_ps(); 2]; ROWS];
    for (a, b) in a.iter().zip(b) {
        let (b, _) = b.as_chunks::<LANES>();
        for (block, &a) in block.iter_mut().zip(a) {
            let a = _mm256_set1_ps(a);
            for (block, b) in block.iter_mut().zip(b) {
                // SAFETY: `b` has eight floats; the load need not be aligned.
                *block = _mm256_fmadd_ps(a, unsafe { _mm256_loadu_ps(b.as_ptr()) }, *block);
            }
        }
    }
    // SAFETY: both are arrays of as many floats, and every bit pattern is one.
    unsafe { std::mem::transmute::<[[__m256; 2]; ROWS], [[f32; COLUMNS]; ROWS]>(block) }
}
