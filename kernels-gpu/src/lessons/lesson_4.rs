//! Lesson 4: the copy engine (TMA) fills a ring of slots, several K blocks ahead of the products.
//!
//! ```text
//! CTA: one warpgroup, 64 rows x 128 columns, a ring of 4 slots
//! one thread:  for the first 4 kb: copy a, b -> slot
//! for each kb: wait full; block = 4 wgmma; wait; barrier
//!              one thread: copy a, b of kb + 4 -> the same slot
//!              sum = fma(block, sa * sb, sum)
//! ```

use super::Args;
use super::tile::Tile;
use crate::abi::lesson::{HALF_TILE, STAGES_4 as STAGES, TILE};
use crate::ptx::wgmma::{self, M64N128, Mma};
use crate::ptx::{Smem, ldst, mbarrier, sreg, sync, tma, warp};
use crate::tile::promote::promote_rows;
use crate::tile::ring::Ring;
use crate::tile::{descriptor, fragment};

/// Bytes of a slot: 64 rows of activations, then 128 rows of weights.
const SLOT_BYTES: u32 = (HALF_TILE + TILE) * TILE;

#[derive(Clone, Copy)]
struct Shared(Smem);

impl Shared {
    #[inline(always)]
    fn tokens(self, slot: u32) -> Smem {
        self.0.at(slot * SLOT_BYTES)
    }
    #[inline(always)]
    fn weights(self, slot: u32) -> Smem {
        self.tokens(slot).at(HALF_TILE * TILE)
    }
    /// One arrival by the thread that copies, with the bytes of the slot.
    #[inline(always)]
    fn full(self, slot: u32) -> Smem {
        self.0.at(STAGES * SLOT_BYTES + slot * 8)
    }
}

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(args: &Args) {
    let smem = Shared(ldst::dynamic_smem());
    let thread = sreg::thread();
    let (mut sum, mut block) = ([0.0; 64], [0.0; 64]);
    let mut ring = Ring::<STAGES>::new();
    // SAFETY: the tile is the same for all threads, so the warpgroup is converged and meets at every barrier; a slot is copied
    // to before its first use, and again after all have left it.
    unsafe {
        let first_row = warp::broadcast(thread / 32, 0) * fragment::WARP_ROWS;
        let lane = thread % 32;
        let Some(tile) = Tile::of_cta::<HALF_TILE>(args) else { return };
        if thread == 0 {
            for slot in 0..STAGES {
                mbarrier::init(smem.full(slot), 1);
            }
            sync::fence_mbarrier_init();
            sync::fence_proxy_async();
            for slot in 0..STAGES {
                copy(args, smem, tile, slot, slot);
            }
        }
        sync::cta_sync();
        for kb in 0..args.k_blocks {
            let slot = ring.slot();
            let tokens = descriptor::k_major_128b(smem.tokens(slot).0);
            let weights = descriptor::k_major_128b(smem.weights(slot).0);
            mbarrier::wait(smem.full(slot), ring.parity());
            wgmma::fence();
            M64N128::start(&mut block, tokens, weights);
            wgmma::commit();
            let row = first_row + fragment::row(lane);
            let scales = [tile.scale(args, row, kb), tile.scale(args, row + 8, kb)];
            wgmma::wait::<0>();
            M64N128::landed(&mut block);
            sync::cta_sync();
            if thread == 0 {
                copy(args, smem, tile, slot, kb + STAGES);
            }
            promote_rows(&mut sum, &block, scales);
            ring.advance();
        }
        tile.store(args, first_row, lane, &sum);
    }
}

/// Executed by: one thread. Starts the copies of a K block into a free slot, if there is such a block.
#[inline(always)]
unsafe fn copy(args: &Args, smem: Shared, tile: Tile, slot: u32, kb: u32) {
    if kb < args.k_blocks {
        let (k, full) = (kb * TILE, smem.full(slot));
        // SAFETY: the slot is free and holds both boxes; `full` expects exactly their bytes.
        unsafe {
            mbarrier::arrive_expect(full, SLOT_BYTES);
            let tokens = args.tokens.in_boxes_of(HALF_TILE);
            tma::load_2d(smem.tokens(slot), tokens, [k, tile.row], full);
            let corner = [k, tile.column(), tile.expert];
            tma::load_3d(smem.weights(slot), args.weights, corner, full);
        }
    }
}
