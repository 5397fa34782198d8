//! Contract of `es_fp8_blockwise_scaled_grouped_mm`.
//!
//! `D[m, n] = cast(sum over kb of sa[m, kb] * sb[n / 128, kb] * (sum over k in block kb of a[m, k] * b[n, k]))`

use super::TensorMap;

/// Rows of the activations and rows of the weights that one tile covers.
pub const TILE: u32 = 128;
/// Elements of the reduction that one pipeline stage holds: exactly one scale block.
pub const TILE_K: u32 = 128;
/// Stages of the shared-memory ring.
pub const STAGES: u32 = 6;
/// Threads of a CTA: two math warpgroups and one warpgroup of service warps.
pub const THREADS: u32 = 384;
/// K blocks whose scales are copied together: 16 bytes of a row.
pub const SCALE_CHUNK: u32 = 4;
/// Chunks of the ring of scales.
pub const SCALE_STAGES: u32 = 4;
/// CTAs of a cluster. They take neighbouring column blocks of the same rows and share their tokens.
pub const CLUSTER: u32 = 2;
/// Rows of the activation boxes: a tile of few rows takes its tokens in one box. The largest fills half a tile of many.
pub const TOKEN_BOX_ROWS: [u32; 4] = [8, 16, 32, 64];
/// Columns of a half tile: those of a last round that is at most half full are computed as two each.
pub const HALF_COLUMNS: u32 = TILE / 2;
/// Rows of all boxes, as [`super::Variant::box_rows`] wants them.
pub const BOX_ROWS: [u32; 6] = {
    let [a, b, c, d] = TOKEN_BOX_ROWS;
    [a, b, c, d, TILE, HALF_COLUMNS]
};
/// The same of the kernels without half tiles.
pub const WHOLE_BOX_ROWS: [u32; 6] = {
    let [a, b, c, d, whole, _] = BOX_ROWS;
    [a, b, c, d, whole, 0]
};
/// Dynamic shared memory of a CTA, in bytes. The kernel asserts at compile time that its layout fits.
pub const SMEM_BYTES: u32 = 223_608;

/// What the kernel for few rows an expert has of its own.
pub mod few {
    /// Rows of the activations that a tile covers at most.
    pub const TILE_TOKENS: u32 = super::TILE / 2;
    /// The kernel is for at most so many rows an expert on average. Evenly split it is faster with 16, too, but where some
    /// experts have more than a tile holds it reads their weights twice: 1 to 2 % slower with 16 by Zipf, 4 % with 32 (H200).
    pub const UP_TO_ROWS: u32 = 8;
    /// Stages of the shared-memory ring.
    pub const STAGES: u32 = 6;
    /// Dynamic shared memory of a CTA, in bytes.
    pub const SMEM_BYTES: u32 = 170_360;
}

/// What the kernel for about 128 to 192 rows an expert has of its own.
pub mod tall {
    /// Rows of the activations that a tall tile covers: an expert's last tile takes up to half a tile more.
    pub const TILE_TOKENS: u32 = super::TILE + super::TILE / 2;
    /// The kernel is for more rows an expert on average, so that some have more than a tile of the other one holds, and for no
    /// more than a tall tile has.
    pub const MORE_ROWS_THAN: u32 = super::TILE - 10;
    /// What a plan adds to a tall tile's rows, so that it counts as 1.56 others, an eighth less being the due of a kernel made for
    /// so many rows: measured from 1.5 (K = 7168) to 1.65 (K = 768).
    pub const ROWS_BESIDE: u32 = 32;
    /// Stages of the shared-memory ring.
    pub const STAGES: u32 = 5;
    /// Chunks of the ring of scales.
    pub const SCALE_STAGES: u32 = 2;
    /// Dynamic shared memory of a CTA, in bytes.
    pub const SMEM_BYTES: u32 = 229_672;
}

/// What the kernel for many rows an expert has of its own.
pub mod wide {
    use super::{CLUSTER, TILE};

    /// Columns of the output that a tile covers.
    pub const TILE_COLUMNS: u32 = 192;
    /// Rows of weights in a set of [`super::super::WeightOrder::Sets`].
    pub const SET: u32 = 32;
    /// Columns and rows of the boxes of the output: what a warp stores at once.
    pub const PANEL: [u32; 2] = [64, 16];
    /// Which of [`super::Fp8BlockParams::tokens`] is the output's map.
    pub const OUTPUT_MAP: usize = 0;
    /// Rows of a short tile: of a row block without a partner, if it has no more.
    pub const SHORT: u32 = TILE / 2;
    /// Columns of a narrow tile: of a last column block, if it has no more and the row block has a partner.
    pub const NARROW: u32 = TILE_COLUMNS / 2;
    /// Rows of all boxes: all tokens of a short tile or of another in one, and the half of its weights that a CTA copies for both.
    pub const BOX_ROWS: [u32; 6] = [0, 0, SHORT, TILE, TILE_COLUMNS / CLUSTER, 0];
    /// The kernel is for more rows an expert on average: it has no form for so few rows that tensor cores would hardly be used.
    pub const MORE_ROWS_THAN: u32 = 95;
    /// What a plan adds to a tile's rows, so that it counts as 1.42 others, an eighth less being the due of a kernel made for
    /// so many rows: measured from 1.37 in few rounds of tiles to 1.45 in many.
    pub const ROWS_BESIDE: u32 = 8;
    /// What it adds to those besides where no tile has a partner, so that they count as 1.54: measured up to 1.52.
    pub const ROWS_BESIDE_ALONE: u32 = 12;
    /// Stages of the shared-memory ring.
    pub const STAGES: u32 = 5;
    /// Chunks of the ring of scales.
    pub const SCALE_STAGES: u32 = 4;
    /// Dynamic shared memory of a CTA, in bytes.
    pub const SMEM_BYTES: u32 = 229_776;
}

/// The one parameter of all its kernels, passed by value. Pointers are device addresses.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct Fp8BlockParams {
    /// Activations `[rows, k]` e4m3, boxes of each of [`TOKEN_BOX_ROWS`] x 128 bytes, 128-byte swizzle. Wide: the first is the
    /// output's, boxes of [`wide::PANEL`], the last two have [`wide::SHORT`] rows and [`TILE`].
    pub tokens: [TensorMap; 4],
    /// Weights `[experts, n, k]` e4m3, box of 1 x [`TILE`] x 128 bytes (wide: 96 rows in sets), 128-byte swizzle.
    pub weights: TensorMap,
    /// The same in boxes of [`HALF_COLUMNS`] rows, for half tiles; of the other kernels, which have none, of nothing.
    pub half_weights: TensorMap,
    /// Activation scales `[rows, k / 128]` f32.
    pub scales_a: u64,
    /// Weight scales `[experts, n / 128, k / 128]` f32.
    pub scales_b: u64,
    /// Output `[rows, n]`, bf16 or f16 by variant; 16-byte aligned.
    pub output: u64,
    /// `(M, N, K)` of each expert, `[experts, 3]` i32.
    pub problem_sizes: u64,
    /// First packed row of each expert, `[experts]` i32.
    pub expert_offsets: u64,
    /// Status word (u32, see [`super::GroupStatus`]), or 0 for none.
    pub status: u64,
    /// Rows of the packed activations.
    pub rows: u32,
    /// Number of experts.
    pub experts: u32,
    /// Columns of the output.
    pub n: u32,
    /// Elements of the reduction.
    pub k: u32,
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Fp8BlockParams>() == 6 * 128 + 6 * 8 + 4 * 4);
    assert!(align_of::<Fp8BlockParams>() == 16);
    assert!(offset_of!(Fp8BlockParams, tokens) == 0);
    assert!(offset_of!(Fp8BlockParams, weights) == 512);
    assert!(offset_of!(Fp8BlockParams, half_weights) == 640);
    assert!(offset_of!(Fp8BlockParams, scales_a) == 768);
    assert!(offset_of!(Fp8BlockParams, rows) == 816);
};
