//! Contract of the read-bandwidth probe: how fast this GPU streams memory into shared memory.
//!
//! It is the ceiling that a memory-bound GEMM is compared with, and a clean way to refill L2 (nothing is
//! written back afterwards).

/// Bytes of one copy.
pub const CHUNK_BYTES: u32 = 16_384;
/// Copies in flight in each CTA.
pub const STAGES: u32 = 12;
/// Threads of a CTA; one of them works.
pub const THREADS: u32 = 32;
/// Dynamic shared memory of a CTA, in bytes: the chunks and a barrier for each.
pub const SMEM_BYTES: u32 = STAGES * (CHUNK_BYTES + 8);

/// The one parameter of the kernel, passed by value.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct BulkReadParams {
    /// First byte to read; 16-byte aligned device address.
    pub address: u64,
    /// Number of chunks of [`CHUNK_BYTES`] to read.
    pub chunks: u64,
}
