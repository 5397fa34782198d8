//! What fills the ring with tiles of 192 columns. The CTAs of a cluster have the same weights, and each copies half of them for
//! both, or one all of a narrow tile's; where a row block has no partner, each has its own.

use super::super::load::leave;
use super::*;
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// Executed by: one thread. Fetches the descriptors before their first use, but for the output's, which is used much later.
#[inline(always)]
pub(in super::super) unsafe fn prefetch_maps(args: &Args) {
    // SAFETY: the maps are in use.
    unsafe {
        tma::prefetch_map(token_map(args, TILE));
        tma::prefetch_map(token_map(args, SHORT));
        tma::prefetch_map(args.weights);
    }
}

/// The map of boxes of all rows of a tile, short or not: where others have those of their largest boxes.
#[inline(always)]
fn token_map(args: &Args, rows: u32) -> MapAddress {
    args.tokens.in_boxes_of(if rows == SHORT { TOKEN_BOX_ROWS[2] } else { TOKEN_BOX_ROWS[3] })
}

/// Executed by: any thread. Which block of weights, of one scale, is the tile's first, second, ...: the last one there is, if it
/// has fewer.
#[inline(always)]
pub(in super::super) fn scale_block(args: &Args, work: Work, which: u32) -> u32 {
    let block = work.col_block * TILE_COLUMNS / SCALE_BLOCK + which;
    let last = args.col_blocks() - 1;
    if block < last { block } else { last }
}

/// Executed by: the warp of the tensor copies, converged; one lane issues them.
#[inline(always)]
pub(in super::super) unsafe fn copy_tiles(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    // SAFETY: the warp is converged.
    let mut work = unsafe { inbox.take(lane) };
    while work.rows != 0 {
        let (alone, expert) = work.alone();
        let narrow = is_narrow(work);
        let half = if alone { 0 } else { sreg::cta_rank() };
        let set = expert * (args.tables.problem.n / SET)
            + (work.col_block * TILE_COLUMNS + half * HALF_COLUMNS) / SET;
        let tokens = token_map(args, work.rows);
        let weight_bytes = if narrow { HALF_BYTES } else { WEIGHT_BYTES };
        let bytes = weight_bytes + work.rows * TILE_K;
        let mut next = Work::END;
        for kb in 0..args.k_blocks {
            let slot = ring.slot();
            let full = smem.tile_full(slot);
            // SAFETY: the slot is free in all CTAs that a copy reaches; `full` expects exactly the bytes that are copied.
            unsafe {
                if kb == args.k_blocks - 1 {
                    // Before the wait for the last slot, which hides it.
                    next = inbox.take(lane);
                }
                mbarrier::wait(smem.tile_free(slot), ring.free_parity());
                if warp::elect() {
                    mbarrier::arrive_expect(full, bytes);
                    let weights = smem.weights(slot).at(half * HALF_BYTES);
                    let corner = [kb * TILE_K, 0, 0, 0, set];
                    if alone {
                        let right = [kb * TILE_K, 0, 0, 0, set + HALF_COLUMNS / SET];
                        tma::load_5d(weights, args.weights, corner, full);
                        tma::load_5d(weights.at(HALF_BYTES), args.weights, right, full);
                    } else if !narrow | (half == 0) {
                        tma::load_5d_multicast(weights, args.weights, corner, full, ALL_CTAS);
                    }
                    tma::load_2d(smem.tokens(slot), tokens, [kb * TILE_K, work.row], full);
                }
            }
            ring.advance();
        }
        work = next;
    }
    leave(smem, ring);
}
