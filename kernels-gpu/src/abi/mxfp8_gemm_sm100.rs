//! Sizes of the MXFP8 GEMM for Blackwell. Its parameter is [`super::Mxfp8GemmParams`].

/// Tokens of the largest tile.
pub const MAX_TOKENS: u32 = 192;
/// Rows of the larger activation box, and the step of a tile's first row inside its expert: half a scale atom.
pub const TOKEN_BOX_ROWS: u32 = 64;
/// Rows of the smaller activation box.
pub const TOKEN_BOX_ROWS_SMALL: u32 = 32;
/// Slots of the shared-memory ring. Each holds one K block of a large tile or two of a small one.
pub const STAGES: u32 = 5;
/// CTAs of a cluster. They take neighbouring column blocks of the same rows and share their tokens.
pub const CLUSTER: u32 = 2;
/// Threads of a CTA: a warpgroup of service warps and one of epilogue warps.
pub const THREADS: u32 = 256;
/// Dynamic shared memory of a CTA, in bytes. The kernel asserts at compile time that its layout fits.
pub const SMEM_BYTES: u32 = 223_488;
