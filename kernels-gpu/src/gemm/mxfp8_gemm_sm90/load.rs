//! The service warp that copies weights.

use super::*;
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// Executed by: the warp of the copies; one lane issues them.
#[inline(always)]
pub(super) unsafe fn weights(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    let once = tma::evict_first();
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { ScaledWork::take(&mut inbox, lane) };
        if work.rows == 0 {
            break;
        }
        // The last tile may be half as wide. Its other half is filled with zeros.
        let column = work.col_block * TILE_COLUMNS;
        // Weights that nobody reads again are the first to leave L2; wide tiles read theirs too slowly to gain by it.
        let once_only = work.alone && work.rows <= 32;
        for kb in 0..args.k_blocks {
            let slot = ring.slot();
            // SAFETY: the slot is free and holds the box; `full` expects exactly its bytes.
            unsafe {
                mbarrier::wait(smem.weights_free(slot), ring.free_parity());
                if warp::elect() {
                    let full = smem.weights_full(slot);
                    mbarrier::arrive_expect(full, WEIGHT_BYTES);
                    let corner = [kb * TILE_K, column, work.expert];
                    if once_only {
                        tma::load_3d_by(once, smem.weights(slot), args.weights, corner, full);
                    } else {
                        tma::load_3d(smem.weights(slot), args.weights, corner, full);
                    }
                }
            }
            ring.advance();
        }
        // SAFETY: the warp converges here.
        unsafe { warp::sync() }
    }
}
