//! Contract of `es_sm100_mxfp8_blockscaled_grouped_mm`, on Hopper and on Blackwell.
//!
//! `D[m, n] = cast(sum over k of a[m, k] * 2^(sfa[m, k / 32] - 127) * b[n, k] * 2^(sfb[n, k / 32] - 127))`

use super::TensorMap;

/// Elements of the reduction that one pipeline stage holds: those of one scale atom.
pub const TILE_K: u32 = 128;
/// Rows of the weights that one tile covers: one scale atom.
pub const TILE_N: u32 = 128;

/// The one parameter of the kernels, passed by value. Pointers are device addresses.
///
/// The tensor maps have boxes of 128 bytes x the rows that the variant table says, and 128-byte swizzle.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct Mxfp8GemmParams {
    /// Activations `[rows, k]` e4m3.
    pub tokens: TensorMap,
    /// The same activations in a smaller box.
    pub tokens_small: TensorMap,
    /// Weights `[experts, n, k]` e4m3 (rank 3).
    pub weights: TensorMap,
    /// The activations by address; 16-byte aligned.
    pub a: u64,
    /// Activation scales `[scale_rows, k / 32]` E8M0 in atoms (see [`super::scale_atoms`]); 16-byte aligned.
    pub scales_a: u64,
    /// Weight scales `[experts, n, k / 32]` E8M0 in atoms; 16-byte aligned.
    pub scales_b: u64,
    /// Output `[rows, n]`, bf16 or f16 by variant; 16-byte aligned.
    pub output: u64,
    /// `(M, N, K)` of each expert, `[experts, 3]` i32.
    pub problem_sizes: u64,
    /// First packed row of each expert, `[experts]` i32.
    pub expert_offsets: u64,
    /// First scale row of each expert, `[experts]` i32; multiples of 128.
    pub blockscale_offsets: u64,
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
    /// Rows of the activation scales; a multiple of 128.
    pub scale_rows: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Mxfp8GemmParams>() == 3 * 128 + 8 * 8 + 8 * 4);
    assert!(align_of::<Mxfp8GemmParams>() == 16);
    assert!(offset_of!(Mxfp8GemmParams, a) == 384);
    assert!(offset_of!(Mxfp8GemmParams, rows) == 448);
};
