//! The first weights of a CTA, asked for before it knows its first tile.
//!
//! Until the barriers are made, the cluster has met and the group tables have arrived, memory would idle. So the first
//! K blocks of weights are copied by a guess, which is right when the experts before this CTA's first one have one
//! row of tiles each, as in decode. A wrong guess costs the time it takes to land.

use super::*;
use crate::tile::raster;
use crate::tile::work::Work;

/// Blocks of weights copied ahead: what memory delivers until the first tile is known.
pub(super) const BLOCKS: u32 = 3;
const _: () = assert!(BLOCKS <= STAGES);

/// A guess at the first tile.
pub(super) struct Ahead {
    expert: u32,
    col_block: u32,
    /// K blocks under way; 0 if no guess is worth it.
    blocks: u32,
}

impl Ahead {
    /// Executed by: any thread. The first tile, if every expert has one row of tiles.
    #[inline(always)]
    pub(super) fn guess(args: &Args) -> Self {
        let Problem { rows, .. } = args.tables.problem;
        let experts = args.tables.experts;
        let entry_cols = raster::blocks(args.col_blocks(), CLUSTER);
        let entry = sreg::cta() / CLUSTER;
        let expert = raster::quotient(entry, entry_cols);
        let column = (entry - expert * entry_cols) * CLUSTER + sreg::cta_rank();
        let last = args.col_blocks() - 1;
        // Few rows are expected of the kernel for them, however many there is room for.
        let few = FEW || u64::from(rows) <= u64::from(experts) * u64::from(TILE_TOKENS);
        let worth_it = few && expert < experts;
        // The last block is never among them: its copy hands the others over.
        let others = args.k_blocks.saturating_sub(1);
        let most = if others < BLOCKS { others } else { BLOCKS };
        Self {
            expert,
            col_block: if column < last { column } else { last },
            blocks: if worth_it { most } else { 0 },
        }
    }

    /// Executed by: one thread of the warp that copies tiles, before all else; [`sync::fence_mbarrier_init`] and the
    /// meeting of the cluster follow. Copies the weights to the first slots.
    #[inline(always)]
    pub(super) unsafe fn start(&self, args: &Args, smem: Shared) {
        // SAFETY: nobody else uses these barriers; the slots are free, and each holds a box.
        unsafe {
            for slot in 0..BLOCKS {
                mbarrier::init(smem.ahead(slot), 1);
            }
            sync::fence_proxy_async_shared();
            for slot in 0..self.blocks {
                let landed = smem.ahead(slot);
                let corner = [slot * TILE_K, self.col_block * TILE, self.expert];
                mbarrier::arrive_expect(landed, OPERAND_BYTES);
                let weights = smem.weights(slot);
                tma::load_3d_by(tma::evict_first(), weights, args.weights, corner, landed);
            }
        }
    }

    /// Executed by: the warp that copies tiles, once, when it knows its first one (never half of one). How many of that tile's blocks have
    /// weights that are there or under way. After a wrong guess, none: they have landed, and the slots are free.
    #[inline(always)]
    pub(super) unsafe fn settle(&self, smem: Shared, first: Work) -> u32 {
        let (_, expert) = first.alone();
        if first.rows != 0
            && expert == self.expert
            && first.col_block == self.col_block
            && !(HALVES && first.is_half())
        {
            return self.blocks;
        }
        for slot in 0..self.blocks {
            // SAFETY: the barriers are initialised; each of the copies ahead completes its barrier's first phase.
            unsafe { mbarrier::wait(smem.ahead(slot), 0) }
        }
        0
    }

    /// Executed by: the warp that copies tiles, once the tokens of the first `blocks` are under way. Waits for their
    /// weights, and makes the arrival that their slots still lack.
    #[inline(always)]
    pub(super) unsafe fn hand_over(&self, smem: Shared, blocks: u32) {
        for slot in 0..blocks {
            // SAFETY: the barriers are initialised; each of the copies ahead completes its barrier's first phase.
            unsafe {
                mbarrier::wait(smem.ahead(slot), 0);
                if warp::elect() {
                    mbarrier::arrive(smem.tile_full(slot));
                }
            }
        }
    }
}
