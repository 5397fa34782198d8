//! What the MXFP8 GEMMs for Blackwell have in common, for one CTA and for a pair: arguments, which warp does what, tensor
//! memory, how rows are cut into tiles, where scales lie, and a K block of products.

use crate::abi::mxfp8_gemm::{TILE_K, TILE_N};
use crate::abi::mxfp8_gemm_sm100::TOKEN_BOX_ROWS_SMALL;
use crate::abi::{Mxfp8GemmParams, scale_atoms};
use crate::ptx::tcgen05::{self, Scaled, Tmem};
use crate::ptx::tma::{self, MapAddress};
use crate::ptx::{Smem, ldst, mbarrier, sync, warp};
use crate::tile::raster;
use crate::tile::scaled_schedule::{RowTiles, ScaledWork};
use crate::tile::scaled_tables::ScaledTables;
use crate::tile::token_store::WARP_COLUMNS;
use crate::tile::token_tiles;
use crate::tile::umma;
use core::mem::offset_of;

const _: () = assert!(TILE_N == scale_atoms::ROWS);
const _: () = assert!(TILE_K == scale_atoms::VECTOR * scale_atoms::COLUMNS);

/// Roles of the first four warps; warp 3 audits, and warps 4 to 7 store.
pub(super) const LOADING_WARP: u32 = 0;
pub(super) const MULTIPLYING_WARP: u32 = 1;
pub(super) const POSTING_WARP: u32 = 2;
pub(super) const SERVICE_WARPS: u32 = 4;
pub(super) const STORING_WARPS: u32 = 4;
/// Warps that read the work ring.
pub(super) const READING_WARPS: u32 = STORING_WARPS + 2;
// The output columns of a storing warp are the lanes of tensor memory that it can read.
const _: () = assert!(STORING_WARPS * WARP_COLUMNS == TILE_N);

/// Bytes of a CTA's weights of a K block.
pub(super) const WEIGHT_BYTES: u32 = TILE_N * TILE_K;

/// The kernel's parameter in registers, with the addresses of its tensor maps.
#[derive(Clone, Copy)]
pub(crate) struct Args {
    pub(super) tokens: MapAddress,
    pub(super) tokens_small: MapAddress,
    pub(super) weights: MapAddress,
    scales_a: u64,
    scales_b: u64,
    pub(super) output: u64,
    pub(super) status: u64,
    pub(super) k_blocks: u32,
    pub(super) tables: ScaledTables,
}

impl Args {
    /// `base` is the generic address of `p` in parameter space.
    #[inline(always)]
    pub(crate) fn new(p: &Mxfp8GemmParams, base: u64) -> Self {
        Self {
            tokens: MapAddress(base + offset_of!(Mxfp8GemmParams, tokens) as u64),
            tokens_small: MapAddress(base + offset_of!(Mxfp8GemmParams, tokens_small) as u64),
            weights: MapAddress(base + offset_of!(Mxfp8GemmParams, weights) as u64),
            scales_a: p.scales_a,
            scales_b: p.scales_b,
            output: p.output,
            status: p.status,
            k_blocks: p.k / TILE_K,
            tables: ScaledTables::of_product(p),
        }
    }

    /// Columns of the output.
    #[inline(always)]
    pub(super) fn n(&self) -> u32 {
        self.tables.problem.problem.n
    }

    /// Executed by: one thread.
    #[inline(always)]
    pub(super) unsafe fn prefetch_maps(&self) {
        // SAFETY: the maps are the parameter's.
        unsafe {
            tma::prefetch_map(self.tokens);
            tma::prefetch_map(self.tokens_small);
            tma::prefetch_map(self.weights);
        }
    }
}

/// Executed by: every thread of the CTA, each warp converged; of both CTAs of the cluster. Allocates tensor memory, whose
/// address is left at `address`, and meets the cluster, whose barriers are initialised then.
#[inline(always)]
pub(super) unsafe fn allocate<const GROUP: u32, const COLUMNS: u32>(
    address: Smem,
    warp: u32,
) -> Tmem {
    // SAFETY: one warp allocates, and all meet before anyone reads the address.
    unsafe {
        if warp == MULTIPLYING_WARP {
            tcgen05::alloc::<GROUP, COLUMNS>(address);
            tcgen05::relinquish_alloc_permit::<GROUP>();
        }
        tcgen05::fence_before_thread_sync();
        sync::cluster_sync();
        tcgen05::fence_after_thread_sync();
        Tmem(ldst::load_shared_u32(address))
    }
}

/// Executed by: every thread of the CTA; of both CTAs of the cluster. Meets the cluster, and gives back what
/// [`allocate`] took.
#[inline(always)]
pub(super) unsafe fn give_back<const GROUP: u32, const COLUMNS: u32>(tensor: Tmem, warp: u32) {
    // SAFETY: all have met, so nobody uses the memory any more; the warp is the one that allocated it.
    unsafe {
        warp::sync();
        tcgen05::fence_before_thread_sync();
        sync::cluster_sync();
        tcgen05::fence_after_thread_sync();
        if warp == MULTIPLYING_WARP {
            tcgen05::dealloc::<GROUP, COLUMNS>(tensor);
        }
    }
}

/// Nearly equal tiles of up to `MAX` tokens.
#[derive(Clone, Copy)]
pub(super) struct EqualTiles<const MAX: u32>;

impl<const MAX: u32> RowTiles for EqualTiles<MAX> {
    #[inline(always)]
    fn height(self, rows: u32) -> u32 {
        token_tiles::height(rows, MAX)
    }

    #[inline(always)]
    fn count(self, rows: u32) -> u32 {
        token_tiles::count(rows, MAX)
    }
}

/// Rows that are copied for so many: whole small boxes. Those beyond are stored by nobody.
#[inline(always)]
pub(super) fn copied_rows(rows: u32) -> u32 {
    raster::blocks(rows, TOKEN_BOX_ROWS_SMALL) * TOKEN_BOX_ROWS_SMALL
}

/// Where a tile's scales lie.
#[derive(Clone, Copy)]
pub(super) struct ScaleSource {
    /// The first atom of the weights.
    weights: u64,
    /// The first atom of the tokens.
    tokens: u64,
    /// Bytes from an atom of the tokens to the one of the next 128 rows.
    next_rows: u64,
}

impl ScaleSource {
    #[inline(always)]
    pub(super) fn of(args: &Args, work: ScaledWork) -> Self {
        let next_rows = u64::from(args.k_blocks) * u64::from(scale_atoms::BYTES);
        let col_blocks = u64::from(args.n() / TILE_N);
        let weight_block = u64::from(work.expert) * col_blocks + u64::from(work.col_block);
        Self {
            weights: args.scales_b + weight_block * next_rows,
            tokens: args.scales_a + u64::from(work.scale_row / scale_atoms::ROWS) * next_rows,
            next_rows,
        }
    }

    /// Executed by: one thread. Copies the atoms of K blocks `kb..kb + blocks`, which follow each other: those of the
    /// weights, then for each of `atoms` times 128 rows, 1 or 2, those of the tokens.
    #[inline(always)]
    pub(super) unsafe fn load(self, target: Smem, [kb, blocks]: [u32; 2], atoms: u32, full: Smem) {
        let inside = u64::from(kb * scale_atoms::BYTES);
        let bytes = blocks * scale_atoms::BYTES;
        // SAFETY: the slot holds the atoms, and the group checks keep them inside the tensors.
        unsafe {
            tma::load_bulk(target, self.weights + inside, bytes, full);
            let source = self.tokens + inside;
            tma::load_bulk(target.at(bytes), source, bytes, full);
            if atoms > 1 {
                tma::load_bulk(target.at(2 * bytes), source + self.next_rows, bytes, full);
            }
        }
    }
}

/// Executed by: one thread. A K block: four steps, each with its own byte of the scales. The first of a tile does
/// not `accumulate`.
#[inline(always)]
pub(super) unsafe fn multiply<const GROUP: u32>(mut operands: Scaled, accumulate: bool) {
    let instruction = operands.instruction;
    let mut step = 0;
    while step < scale_atoms::COLUMNS {
        operands.instruction = instruction | umma::scale_bytes(step);
        // SAFETY: operands and scales are in place, by contract.
        unsafe { tcgen05::mma_block_scaled::<GROUP>(operands, accumulate || step != 0) }
        operands.a += umma::K_STEP;
        operands.b += umma::K_STEP;
        step += 1;
    }
}

/// Executed by: warp, converged. Lets columns that the warp has read be overwritten: one arrival on `drained` of the
/// cluster's CTA `rank`, or of its own.
#[inline(always)]
pub(super) unsafe fn release(drained: Smem, rank: Option<u32>, lane: u32) {
    // SAFETY: the warp converges, so all its lanes have read; the barrier is initialised.
    unsafe {
        tcgen05::fence_before_thread_sync();
        warp::sync();
        if lane == 0 {
            match rank {
                Some(rank) => mbarrier::arrive_at(drained, rank),
                None => mbarrier::arrive(drained),
            }
        }
    }
}
