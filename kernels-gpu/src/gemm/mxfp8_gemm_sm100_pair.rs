//! MXFP8 grouped GEMM for Blackwell over pairs of CTAs (tcgen05, `.cta_group::2`), for experts with many rows.
//!
//! `D[m, n] = cast(sum over k of a[m, k] * 2^(sfa[m, k / 32] - 127) * b[n, k] * 2^(sfb[n, k / 32] - 127))`
//!
//! **Never run on the hardware it is for**, as the kernel for one CTA, `mxfp8_gemm_sm100.rs`; what both take from
//! publications is in `tile/umma.rs` and `docs/kernels/mxfp8_gemm_sm100.md`. Operands, output and roles are those of that kernel.
//! A second kernel it is because all tcgen05 instructions of one must name the same group (PTX ISA); `plan` chooses.
//!
//! ```text
//!                 even CTA, the leader               odd CTA
//! one thread      TMA weights 0..128, tokens of      TMA weights 128..256, tokens of
//!                 the first half; all scales         the second half; all scales         -> own slot
//! one thread      wait full, of both;                wait full: tell the leader
//!                 scales -> both TMEMs;
//!                 both sums += weights x tokens;
//!                 commit: frees both slots
//!                 commit: both sums are complete
//! 4 warps         D[.., 0..128] = cast(sum)          D[.., 128..256] = cast(sum)         (up to 256 rows)
//! one warp each   posts tiles, audits the tables
//! ```
//!
//! What differs from the kernel for one CTA:
//!
//! 1. **A product is 256 weights x N tokens.** Each CTA holds 128 weights, their sums and scales, half of the tokens and
//!    the scales of all. So a token is in shared memory once for 256 weights, and read from it once.
//! 2. **The odd CTA tells the leader.** A bulk copy can signal only an mbarrier beside its target, so each CTA's copies
//!    signal its own, and a thread that has nothing to multiply passes that on: the leader's `full` takes one arrival
//!    more.
//! 3. **Tiles of 256 tokens, two accumulators** that overlap: the first fills columns from 0 on, the second those that
//!    end at [`SUM_END`]. A wide tile's sum is read from where it overlaps, and the next tile begins when that part is in
//!    registers. Up to [`NARROW`] tokens nothing overlaps and nothing waits.
//! 4. **Scales have four sets of columns**, not one for each slot: 2 x 256 columns of sums leave no room. Those of a set
//!    are overwritten when the products of four K blocks before are done, which `free` says. Again no order between the
//!    tensor core's reading and the next copy is assumed.
//! 5. **No multicast, no small form**: the tensor core shares the tokens. Experts with few rows are computed all the
//!    same, only with less on the way than the other kernel has.

mod load;
mod multiply;
mod store;

pub(crate) use super::mxfp8_sm100::Args;
use super::mxfp8_sm100::*;
use crate::abi::mxfp8_gemm::{TILE_K, TILE_N};
use crate::abi::{mxfp8_gemm_sm100_pair::*, scale_atoms};
use crate::ptx::tcgen05::{self, PAIR, Tmem};
use crate::ptx::{Smem, ldst, mbarrier, sreg, sync, tma, warp};
use crate::tile::output::Output;
use crate::tile::raster;
use crate::tile::scaled_schedule::{self, ScaledWork};
use crate::tile::scaled_tables;
use crate::tile::token_store::{STAGING_BYTES, WARP_COLUMNS};
use crate::tile::token_tiles;
use crate::tile::umma::{COLUMNS_PER_ATOM, ROWS_PER_SCALE_COLUMN};
use crate::tile::work::{self, Board, Outbox};

const _: () = assert!(CLUSTER == PAIR && MAX_TOKENS == token_tiles::MAX);

/// Rank of the CTA that multiplies. The ISA allows either; public kernels take the even one.
const LEADER: u32 = 0;
/// Both CTAs, a bit each.
const BOTH: u16 = 0b11;

/// Bytes of the operands in a slot: weights, and half of the tokens.
const OPERAND_BYTES: u32 = WEIGHT_BYTES + MAX_TOKENS / PAIR * TILE_K;
const _: () = assert!(OPERAND_BYTES.is_multiple_of(1024));
/// Atoms of scales in a slot: one of the weights and two of the tokens (see `tile/token_tiles.rs`).
const SLOT_ATOMS: u32 = 3;
const SCALE_BYTES: u32 = SLOT_ATOMS * scale_atoms::BYTES;

/// Columns of tensor memory: all, as allocations are powers of two.
const TENSOR_COLUMNS: u32 = 512;
/// Sets of columns for scales, at the end.
const SETS: u32 = 4;
const SET_COLUMNS: u32 = SLOT_ATOMS * COLUMNS_PER_ATOM;
/// Accumulators, in the columns before.
const SUMS: u32 = 2;
const SUM_END: u32 = TENSOR_COLUMNS - SETS * SET_COLUMNS;
/// Tokens of the widest tile whose sum never meets the other one.
const NARROW: u32 = SUM_END - MAX_TOKENS;
const _: () = assert!(SUM_END <= SUMS * MAX_TOKENS && NARROW.is_multiple_of(token_tiles::STEP));
const _: () = assert!(SETS <= STAGES);

// The shared memory of a CTA.
const SLOTS: u32 = 0;
const SCALES: u32 = SLOTS + STAGES * OPERAND_BYTES;
const STAGING: u32 = SCALES + STAGES * SCALE_BYTES;
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

/// Shared memory by name, the same in both CTAs. `slot` is below `STAGES`, `sum` below `SUMS`.
#[derive(Clone, Copy)]
struct Shared(Smem);

impl Shared {
    #[inline(always)]
    fn weights(self, slot: u32) -> Smem {
        self.0.at(SLOTS + slot * OPERAND_BYTES)
    }
    #[inline(always)]
    fn tokens(self, slot: u32) -> Smem {
        self.weights(slot).at(WEIGHT_BYTES)
    }
    /// The atom of the weights, then those of the tokens.
    #[inline(always)]
    fn scales(self, slot: u32, atom: u32) -> Smem {
        self.0.at(SCALES + slot * SCALE_BYTES + atom * scale_atoms::BYTES)
    }
    #[inline(always)]
    fn staging(self, storing_warp: u32) -> Smem {
        self.0.at(STAGING + storing_warp * STAGING_BYTES)
    }
    /// One arrival by the copies, with their bytes; the leader's has another one, when the odd CTA's is complete.
    #[inline(always)]
    fn full(self, slot: u32) -> Smem {
        self.0.at(FULL + slot * 8)
    }
    /// One arrival by the leader's commit: the products that read the slot, and the scales copied from it, are done.
    #[inline(always)]
    fn free(self, slot: u32) -> Smem {
        self.0.at(FREE + slot * 8)
    }
    /// One arrival by the leader's commit: the sum of a tile is complete.
    #[inline(always)]
    fn complete(self, sum: u32) -> Smem {
        self.0.at(COMPLETE + sum * 8)
    }
    /// The leader's: one arrival by each storing warp of the pair. It has read what the next tile's sum may overwrite: of
    /// this tile's the part beyond [`NARROW`] tokens, of the one before all.
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

/// Tensor memory by name, the same in both CTAs.
#[derive(Clone, Copy)]
struct Tensor(Tmem);

impl Tensor {
    /// A sum of so many columns: the first begins at the beginning, the second ends at the end.
    #[inline(always)]
    fn sum(self, sum: u32, columns: u32) -> Tmem {
        self.0.column(if sum == 0 { 0 } else { SUM_END - columns })
    }
    /// As [`Shared::scales`], by set.
    #[inline(always)]
    fn scales(self, set: u32, atom: u32) -> Tmem {
        self.0.column(SUM_END + set * SET_COLUMNS + atom * COLUMNS_PER_ATOM)
    }
}

/// What a tile asks for.
#[derive(Clone, Copy)]
struct Form {
    /// N of the multiplication: the rows, completed to a multiple of 16.
    columns: u32,
    /// Atoms that hold the scales of the tile's rows.
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
            atoms: raster::blocks(inside + work.rows, scale_atoms::ROWS),
            scale_shift: inside / ROWS_PER_SCALE_COLUMN,
        }
    }
}

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel<O: Output>(args: &Args) {
    let smem = Shared(ldst::dynamic_smem());
    let thread = sreg::thread();
    // SAFETY: barriers and tensor memory are made once, before the cluster's barrier and so before any use; every
    // branch below is uniform for the warps that take it.
    unsafe {
        let warp = warp::broadcast(thread / 32, 0);
        let lane = thread % 32;
        if thread == 0 {
            args.prefetch_maps();
            init_barriers(smem);
        }
        let tensor = Tensor(allocate::<PAIR, TENSOR_COLUMNS>(smem.tensor_address(), warp));

        if warp >= SERVICE_WARPS {
            store::tiles::<O>(args, smem, tensor, warp - SERVICE_WARPS, lane);
        } else {
            match warp {
                LOADING_WARP => load::tiles(args, smem, lane),
                MULTIPLYING_WARP => {
                    if sreg::cta_rank() == LEADER {
                        multiply::tiles(args, smem, tensor, lane);
                    } else {
                        multiply::tell_the_leader(args, smem, lane);
                    }
                }
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

        // No CTA leaves while the other's products read its memory or arrive on its barriers.
        give_back::<PAIR, TENSOR_COLUMNS>(tensor.0, warp);
    }
}

/// Executed by: one thread.
#[inline(always)]
unsafe fn init_barriers(smem: Shared) {
    // SAFETY: nobody uses the barriers before the cluster's barrier that follows.
    unsafe {
        let sources = if sreg::cta_rank() == LEADER { PAIR } else { 1 };
        for slot in 0..STAGES {
            mbarrier::init(smem.full(slot), sources);
            mbarrier::init(smem.free(slot), 1);
        }
        for sum in 0..SUMS {
            mbarrier::init(smem.complete(sum), 1);
            mbarrier::init(smem.drained(sum), PAIR * STORING_WARPS);
        }
        smem.board().init(READING_WARPS);
        sync::fence_mbarrier_init();
        sync::fence_proxy_async();
    }
}
