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
//! A panel (8 KiB) stays in the first-level cache while all rows pass over it. The inner loop is written over
//! fixed arrays, so that the compiler turns it into vector instructions for whatever it may assume: the
//! baseline of the target, or AVX2 with FMA where the machine has them.

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

/// The sums over a stretch of the reduction, of 6 rows and the columns of a panel.
pub(super) type Sums = [[f32; COLUMNS]; ROWS];

/// The scales of a product: how the sum over a stretch of the reduction enters the output.
///
/// The methods must be inlined into the tile, to be compiled with its vector instructions.
pub(super) trait Scales: Copy + Sync {
    /// Elements of a stretch; divides 128.
    const WIDTH: usize;
    /// The scales of a tile for 128 elements of the reduction.
    type Loaded: Send;

    /// Memory for them.
    fn empty() -> Self::Loaded;

    /// Loads the scales of a segment, of block `nb` of the columns, for block `kb` of the reduction.
    fn load(&self, segment: Segment, nb: usize, kb: usize, loaded: &mut Self::Loaded);

    /// Adds the sums over stretch `step` of the block. `first_row` is counted from the segment's first.
    fn add(loaded: &Self::Loaded, step: usize, first_row: usize, block: &Sums, to: Columns<'_>);
}

/// A few rows of a tile, in the columns of a panel.
pub(super) struct Columns<'a> {
    rows: &'a mut [[f32; BLOCK]],
    /// First column, counted from the tile's.
    pub(super) first: usize,
}

impl<'a> Columns<'a> {
    /// The rows; at most 6.
    #[inline(always)]
    pub(super) fn rows(self) -> impl Iterator<Item = &'a mut [f32]> {
        let columns = self.first..self.first + COLUMNS;
        self.rows.iter_mut().map(move |row| row.get_mut(columns.clone()).unwrap_or_default())
    }
}

/// A block of 16 rows of the weights, transposed.
type Panel = [[f32; COLUMNS]; BLOCK];
/// A block of 6 rows of the activations, transposed.
type Strip = [[f32; ROWS]; BLOCK];

/// The memory of one task, reused by the next.
pub(super) struct Scratch<S: Scales> {
    a: Vec<Strip>,
    b: Vec<Panel>,
    scales: S::Loaded,
    sums: Vec<[f32; BLOCK]>,
}

impl<S: Scales> Default for Scratch<S> {
    fn default() -> Self {
        Self {
            a: vec![[[0.0; ROWS]; BLOCK]; MAX_SEGMENT_ROWS / ROWS],
            b: vec![[[0.0; COLUMNS]; BLOCK]; BLOCK / COLUMNS],
            scales: S::empty(),
            sums: vec![[0.0; BLOCK]; MAX_SEGMENT_ROWS],
        }
    }
}

impl<S: Scales> Scratch<S> {
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
    pub(super) fn tile<S: Scales>(
        self,
        product: &Product<'_, S>,
        segment: Segment,
        nb: usize,
        scratch: &mut Scratch<S>,
    ) {
        match self {
            Self::Baseline => tile::<false, S>(product, segment, nb, scratch),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` has seen both features.
            Self::Avx2 => unsafe { tile_avx2(product, segment, nb, scratch) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2<S: Scales>(
    product: &Product<'_, S>,
    segment: Segment,
    nb: usize,
    scratch: &mut Scratch<S>,
) {
    tile::<true, S>(product, segment, nb, scratch);
}

/// `FMA`: whether `mul_add` is one instruction. Without, it would be a call.
#[inline(always)]
fn tile<const FMA: bool, S: Scales>(
    product: &Product<'_, S>,
    segment: Segment,
    nb: usize,
    scratch: &mut Scratch<S>,
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
                let stretches = strip.chunks_exact(S::WIDTH).zip(panel.chunks_exact(S::WIDTH));
                for (step, (a, b)) in stretches.enumerate() {
                    let block = multiply::<FMA>(a, b);
                    let to = Columns { rows: &mut *rows, first: index * COLUMNS };
                    S::add(loaded, step, at * ROWS, &block, to);
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
fn multiply<const FMA: bool>(a: &[[f32; ROWS]], b: &[[f32; COLUMNS]]) -> Sums {
    let mut block = [[0f32; COLUMNS]; ROWS];
    for (a, b) in a.iter().zip(b) {
        for (block, &a) in block.iter_mut().zip(a) {
            for (block, &b) in block.iter_mut().zip(b) {
                *block = if FMA { a.mul_add(b, *block) } else { *block + a * b };
            }
        }
    }
    block
}
