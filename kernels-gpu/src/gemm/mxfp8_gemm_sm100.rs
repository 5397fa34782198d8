//! MXFP8 grouped GEMM for Blackwell (tcgen05): e4m3 operands with an E8M0 scale for every 32 elements of a row.
//!
//! `D[m, n] = cast(sum over k of a[m, k] * 2^(sfa[m, k / 32] - 127) * b[n, k] * 2^(sfb[n, k / 32] - 127))`
//!
//! **Never run on the hardware it is for.** The assembler accepts it, the emulator runs it and finds neither a race nor a
//! wrong bit; what both take from publications is in `tile/umma.rs` and `docs/kernels/mxfp8_gemm_sm100.md`.
//!
//! | operand | type | shape, row-major | read or written by |
//! | --- | --- | --- | --- |
//! | tokens `a` | e4m3 | `[rows, K]`, packed by expert | TMA, boxes of 64 or 32 rows x 128 bytes |
//! | weights `b` | e4m3 | `[experts, N, K]` | TMA, boxes of 128 rows x 128 bytes |
//! | `sfa` | E8M0 | `[scale_rows, K / 32]` in atoms | bulk copies of 512 bytes |
//! | `sfb` | E8M0 | `[experts, N, K / 32]` in atoms | the same |
//! | output `D` | bf16, f16 | `[rows, N]` | 16-byte stores, only rows of the tile's expert |
//!
//! ```text
//! one thread   for each tile, for each kb:  wait free; TMA tokens, weights and their scales    -> slot
//! one thread   for each tile:               wait drained
//!                  for each kb:             wait full; scales -> TMEM; sum += weights x tokens (4 MMA);
//!                                           commit: frees the slot
//!                                           commit: the sum is complete
//! 4 warps      for each tile:               wait complete; D = cast(sum transposed); drained as soon as it is read
//! one warp     posts the CTA's tiles        (up to 192 rows x 128 columns each, any expert)
//! one warp     audits the group tables, if a status word was given
//! ```
//!
//! What differs from the pseudo-code:
//!
//! 1. **The sides are swapped.** Weights are the tensor core's M side, which is always 128; tokens are its N side, which
//!    may be any multiple of 16. So an expert with few rows is not padded to 128, and this kernel serves decode and
//!    prefill; where experts have many rows, `mxfp8_gemm_sm100_pair.rs` does more with the same memory. See
//!    `tile/token_tiles.rs`.
//! 2. **Small tiles take two K blocks in a slot.** A slot is sized for 192 tokens; with up to 32, the same bytes
//!    hold two K blocks, so that 160 KiB of weights are on their way where memory is the limit, and the barriers
//!    cost half.
//! 3. **Scales are copied as they lie.** An atom of 512 bytes holds the scales of 128 rows and four K = 32 steps. The
//!    tensor core takes byte 0..3 of each word by two fields of the instruction descriptor. A tile that begins in the
//!    middle of an atom starts two columns further on.
//! 4. **Scales have columns for every slot of the ring.** A slot's columns are overwritten only after its shared
//!    memory was, that is after the multiplications that read both. No order between the tensor core's reading
//!    and the next copy is assumed; that it exists is likely, but nowhere written.
//! 5. **Two accumulators** of 192 columns: the epilogue reads one while the other one is summed.
//! 6. **Clusters of two** CTAs compute neighbouring column blocks of the same rows. Above 64 rows each loads a part of
//!    the tokens and multicasts it to both, because a tile of 192 x 128 would read 110 bytes a cycle from L2. A slot is
//!    free when the tensor cores of both CTAs have left it.
//! 7. **No padding, no per-expert descriptors.** A box may hold rows of the next expert and an atom scales of no row;
//!    they end in columns that are never stored.
//! 8. **The output is transposed through shared memory**, a warp at a time: a warp owns 32 columns of D, 64 bytes of
//!    each token, so no barrier is needed.

mod load;
mod multiply;
mod store;

pub(crate) use super::mxfp8_sm100::Args;
use super::mxfp8_sm100::*;
use crate::abi::mxfp8_gemm::{TILE_K, TILE_N};
use crate::abi::{mxfp8_gemm_sm100::*, scale_atoms};
use crate::ptx::tcgen05::{self, ONE_CTA, Tmem};
use crate::ptx::{Smem, ldst, mbarrier, sreg, sync, tma, warp};
use crate::tile::output::Output;
use crate::tile::raster;
use crate::tile::scaled_schedule::{self, ScaledWork};
use crate::tile::scaled_tables;
use crate::tile::token_store::{STAGING_BYTES, WARP_COLUMNS};
use crate::tile::token_tiles;
use crate::tile::umma::{COLUMNS_PER_ATOM, ROWS_PER_SCALE_COLUMN};
use crate::tile::work::{self, Board, Outbox};

/// All CTAs of a cluster, a bit each.
const ALL_CTAS: u16 = (1 << CLUSTER) - 1;
/// Tiles with more rows share their tokens within the cluster.
const UNSHARED_ROWS: u32 = TOKEN_BOX_ROWS;
/// Tiles with at most this many rows take two K blocks in a slot.
const SMALL_TILE: u32 = TOKEN_BOX_ROWS_SMALL;
/// Bytes of a K block of a small tile, scales apart.
const SMALL_BLOCK_BYTES: u32 = WEIGHT_BYTES + SMALL_TILE * TILE_K;
/// Bytes of the operands in a slot.
const OPERAND_BYTES: u32 = WEIGHT_BYTES + MAX_TOKENS * TILE_K;
const _: () = assert!(2 * SMALL_BLOCK_BYTES <= OPERAND_BYTES);
/// Atoms of scales in a slot: one of the weights and two of the tokens, or two of each.
const SLOT_ATOMS: u32 = 4;
const SLOT_BYTES: u32 = OPERAND_BYTES + SLOT_ATOMS * scale_atoms::BYTES;
const _: () = assert!(SLOT_BYTES.is_multiple_of(1024) && SMALL_BLOCK_BYTES.is_multiple_of(1024));

/// Accumulators, and the columns of tensor memory of each.
const SUMS: u32 = 2;
const SUM_COLUMNS: u32 = MAX_TOKENS;
/// Columns of tensor memory: the accumulators, then the scales of every slot.
const SCALE_COLUMNS: u32 = SUMS * SUM_COLUMNS;
const SLOT_COLUMNS: u32 = SLOT_ATOMS * COLUMNS_PER_ATOM;
/// All of it, as allocations are powers of two.
const TENSOR_COLUMNS: u32 = 512;
const _: () = assert!(SCALE_COLUMNS + STAGES * SLOT_COLUMNS <= TENSOR_COLUMNS);

// The shared memory of a CTA.
const SLOTS: u32 = 0;
const STAGING: u32 = SLOTS + STAGES * SLOT_BYTES;
const WORK: u32 = STAGING + STORING_WARPS * STAGING_BYTES;
const FULL: u32 = WORK + work::DEPTH * work::SLOT_BYTES;
const FREE: u32 = FULL + STAGES * 8;
const COMPLETE: u32 = FREE + STAGES * 8;
const DRAINED: u32 = COMPLETE + SUMS * 8;
const WORK_POSTED: u32 = DRAINED + SUMS * 8;
const WORK_TAKEN: u32 = WORK_POSTED + work::DEPTH * 8;
const TENSOR_ADDRESS: u32 = WORK_TAKEN + work::DEPTH * 8;
const END: u32 = TENSOR_ADDRESS + 16;
const _: () = assert!(END == SMEM_BYTES && WORK.is_multiple_of(16));

/// Shared memory by name. `slot` is below `STAGES`, `sum` below `SUMS`, `block` below 2.
#[derive(Clone, Copy)]
struct Shared(Smem);

impl Shared {
    #[inline(always)]
    fn weights(self, slot: u32, block: u32) -> Smem {
        self.0.at(SLOTS + slot * SLOT_BYTES + block * SMALL_BLOCK_BYTES)
    }
    #[inline(always)]
    fn tokens(self, slot: u32, block: u32) -> Smem {
        self.weights(slot, block).at(WEIGHT_BYTES)
    }
    /// Atoms of the weights, one for each K block of the slot, then those of the tokens.
    #[inline(always)]
    fn scales(self, slot: u32, atom: u32) -> Smem {
        self.0.at(SLOTS + slot * SLOT_BYTES + OPERAND_BYTES + atom * scale_atoms::BYTES)
    }
    #[inline(always)]
    fn staging(self, storing_warp: u32) -> Smem {
        self.0.at(STAGING + storing_warp * STAGING_BYTES)
    }
    /// One arrival by the copies, with their bytes.
    #[inline(always)]
    fn full(self, slot: u32) -> Smem {
        self.0.at(FULL + slot * 8)
    }
    /// One arrival by the tensor core of each CTA of the cluster, which has read its slot and the scales from it.
    #[inline(always)]
    fn free(self, slot: u32) -> Smem {
        self.0.at(FREE + slot * 8)
    }
    /// One arrival by the tensor core: the sum of a tile is complete.
    #[inline(always)]
    fn complete(self, sum: u32) -> Smem {
        self.0.at(COMPLETE + sum * 8)
    }
    /// One arrival by each storing warp, which has read its part of the sum.
    #[inline(always)]
    fn drained(self, sum: u32) -> Smem {
        self.0.at(DRAINED + sum * 8)
    }
    #[inline(always)]
    fn board(self) -> Board {
        Board {
            slots: self.0.at(WORK),
            posted: self.0.at(WORK_POSTED),
            taken: self.0.at(WORK_TAKEN),
        }
    }
    /// Where the allocation leaves its address.
    #[inline(always)]
    fn tensor_address(self) -> Smem {
        self.0.at(TENSOR_ADDRESS)
    }
}

/// Tensor memory by name.
#[derive(Clone, Copy)]
struct Tensor(Tmem);

impl Tensor {
    #[inline(always)]
    fn sum(self, sum: u32) -> Tmem {
        self.0.column(sum * SUM_COLUMNS)
    }
    /// As [`Shared::scales`].
    #[inline(always)]
    fn scales(self, slot: u32, atom: u32) -> Tmem {
        self.0.column(SCALE_COLUMNS + slot * SLOT_COLUMNS + atom * COLUMNS_PER_ATOM)
    }
}

/// How a tile uses the slots.
#[derive(Clone, Copy)]
struct Form {
    /// N of the multiplication: the rows, completed to a multiple of 16.
    columns: u32,
    /// K blocks of a slot; the last slot of a tile may have fewer.
    blocks: u32,
    /// Whether the CTAs of the cluster load a part of the tokens each, for all.
    shared: bool,
    /// Atoms that hold the scales of the tile's rows, for each K block.
    atoms: u32,
    /// Columns of tensor memory by which the scales of the first row are beyond the first atom's.
    scale_shift: u32,
}

impl Form {
    #[inline(always)]
    fn of(work: ScaledWork) -> Self {
        let inside = work.scale_row % scale_atoms::ROWS;
        Self {
            columns: token_tiles::columns(work.rows),
            blocks: if work.rows <= SMALL_TILE { 2 } else { 1 },
            shared: work.rows > UNSHARED_ROWS,
            atoms: raster::blocks(inside + work.rows, scale_atoms::ROWS),
            scale_shift: inside / ROWS_PER_SCALE_COLUMN,
        }
    }

    /// K blocks of the next slot, when so many are left of the tile.
    #[inline(always)]
    fn next_blocks(self, left: u32) -> u32 {
        if left < self.blocks { left } else { self.blocks }
    }
}

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel<O: Output>(args: &Args) {
    let smem = Shared(ldst::dynamic_smem());
    let thread = sreg::thread();
    // SAFETY: barriers and tensor memory are made once, before the CTA's barrier and so before any use; every
    // branch below is uniform for the warps that take it.
    unsafe {
        let warp = warp::broadcast(thread / 32, 0);
        let lane = thread % 32;
        if thread == 0 {
            args.prefetch_maps();
            init_barriers(smem);
        }
        let tensor = Tensor(allocate::<ONE_CTA, TENSOR_COLUMNS>(smem.tensor_address(), warp));

        if warp >= SERVICE_WARPS {
            store::tiles::<O>(args, smem, tensor, warp - SERVICE_WARPS, lane);
        } else {
            match warp {
                LOADING_WARP => load::tiles(args, smem, lane),
                MULTIPLYING_WARP => multiply::tiles(args, smem, tensor, lane),
                POSTING_WARP => {
                    let mut outbox = Outbox::new(smem.board());
                    scaled_schedule::post_tiles::<_, TILE_N, CLUSTER>(
                        &args.tables,
                        EqualTiles::<MAX_TOKENS>,
                        &mut outbox,
                        lane,
                    );
                }
                _ => {
                    if args.status != 0 {
                        scaled_tables::audit(&args.tables, args.status, lane);
                    }
                }
            }
        }

        // No CTA leaves while another may still copy into it or arrive on its barriers.
        give_back::<ONE_CTA, TENSOR_COLUMNS>(tensor.0, warp);
    }
}

/// Executed by: one thread.
#[inline(always)]
unsafe fn init_barriers(smem: Shared) {
    // SAFETY: nobody uses the barriers before the CTA's barrier that follows.
    unsafe {
        for slot in 0..STAGES {
            mbarrier::init(smem.full(slot), 1);
            mbarrier::init(smem.free(slot), CLUSTER);
        }
        for sum in 0..SUMS {
            mbarrier::init(smem.complete(sum), 1);
            mbarrier::init(smem.drained(sum), STORING_WARPS);
        }
        smem.board().init(READING_WARPS);
        sync::fence_mbarrier_init();
        sync::fence_proxy_async();
    }
}
