//! Sizes of the MXFP8 GEMM for Blackwell over pairs of CTAs. Its parameter is [`super::Mxfp8GemmParams`].

/// Tokens of the largest tile.
pub const MAX_TOKENS: u32 = 256;
/// The kernel is for problems with more rows than this for each expert, on average: there an expert needs more than one
/// tile of the kernel for one CTA.
pub const MORE_ROWS_THAN: u32 = super::mxfp8_gemm_sm100::MAX_TOKENS;
pub use super::mxfp8_gemm_sm100::{TOKEN_BOX_ROWS, TOKEN_BOX_ROWS_SMALL};
/// Slots of the shared-memory ring.
pub const STAGES: u32 = 6;
/// CTAs of a cluster: the pair.
pub const CLUSTER: u32 = 2;
/// Threads of a CTA: a warpgroup of service warps and one of epilogue warps.
pub const THREADS: u32 = 256;
/// Dynamic shared memory of a CTA, in bytes. The kernel asserts at compile time that its layout fits.
pub const SMEM_BYTES: u32 = 214_288;
