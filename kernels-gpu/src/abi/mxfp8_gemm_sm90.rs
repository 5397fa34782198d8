//! Sizes of the MXFP8 GEMMs for Hopper. Its parameter is [`super::Mxfp8GemmParams`].

/// Tokens of the largest tile, and the step of a tile's first row inside its expert: one scale atom.
pub const TILE_TOKENS: u32 = 128;
/// The kernel is for problems with more rows than this for each expert, on average. Up to there [`few`] is as fast or faster,
/// and starts sooner.
pub const MORE_ROWS_THAN: u32 = 8;
/// See [`super::Variant::rows_beside`]. On an H200, 8 experts x 4096 rows of 7168x2048 take 1301 us in tiles of 128 rows, 1743 in
/// tiles of 64 and 2805 in tiles of 32: about as `86 + rows`.
pub const ROWS_BESIDE: u32 = 86;
/// Output columns of a tile: two atoms of weight scales, one for each math warpgroup.
pub const TILE_COLUMNS: u32 = 256;
/// Slots of the ring of weights.
pub const STAGES: u32 = 4;
/// Threads of a CTA: two math warpgroups, one that converts tokens, and one of service warps.
pub const THREADS: u32 = 512;
/// Dynamic shared memory of a CTA, in bytes. The kernel asserts at compile time that its layout fits.
pub const SMEM_BYTES: u32 = 225_760;

/// What is different in the kernel for few rows.
pub mod few {
    /// Tokens of the largest tile.
    pub const TILE_TOKENS: u32 = 32;
}
