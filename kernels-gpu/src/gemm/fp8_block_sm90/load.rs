//! The two service warps that fill the rings: tiles by TMA, scales by asynchronous copies.

use super::*;
use crate::ptx::cp_async;
use crate::tile::ring::Ring;
use crate::tile::scale_chunk::ScaleCopy;
use crate::tile::work::Inbox;

/// Executed by: the warp of the tensor copies; its first lane issues them.
#[inline(always)]
pub(super) unsafe fn tiles(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    let once = tma::evict_first();
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { inbox.take(lane) };
        if work.rows == 0 {
            break;
        }
        let (alone, expert) = work.alone();
        let span = token_span(work.rows);
        let box_rows = if span > 32 { TOKEN_BOX_ROWS } else { TOKEN_BOX_ROWS_SMALL };
        let own_rows = sreg::cta_rank() * (TILE / CLUSTER);
        for kb in 0..args.k_blocks {
            if lane == 0 {
                let (slot, k) = (ring.slot(), kb * TILE_K);
                let full = smem.tile_full(slot);
                // SAFETY: the slot is free and holds both boxes; `full` expects exactly their bytes.
                unsafe {
                    mbarrier::wait(smem.tile_free(slot), ring.free_parity());
                    mbarrier::arrive_expect(full, OPERAND_BYTES + span * TILE_K);
                    let column = [k, work.col_block * TILE, expert];
                    let weights = smem.weights(slot);
                    if span == TILE {
                        tma::load_3d(weights, args.weights, column, full);
                        let mut row = own_rows;
                        while row < own_rows + TILE / CLUSTER {
                            let target = smem.tokens(slot).at(row * TILE_K);
                            let corner = [k, work.row + row];
                            tma::load_2d_multicast(target, args.tokens, corner, full, ALL_CTAS);
                            row += TOKEN_BOX_ROWS;
                        }
                    } else {
                        let policy = alone.then_some(once);
                        tma::load_3d_by(policy, weights, args.weights, column, full);
                        // Small experts load only the swizzle atoms that hold their columns.
                        let map = if span > 32 { args.tokens } else { args.tokens_small };
                        let mut row = 0;
                        while row < span {
                            let target = smem.tokens(slot).at(row * TILE_K);
                            tma::load_2d(target, map, [k, work.row + row], full);
                            row += box_rows;
                        }
                    }
                }
            }
            ring.advance();
        }
        // SAFETY: the warp converges here.
        unsafe { warp::sync() }
    }
}

/// Executed by: the warp of the scale copies. Lane `l` copies rows `l`, `l + 32`, ... of the tile, and the
/// first lane the scales of the weights too.
#[inline(always)]
pub(super) unsafe fn scales(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<SCALE_STAGES>::new();
    let copy = ScaleCopy::new(args.scales_a, args.scales_b, args.k_blocks);
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { inbox.take(lane) };
        if work.rows == 0 {
            break;
        }
        let span = token_span(work.rows);
        let (_, expert) = work.alone();
        let mut source_a = args.scales_a + u64::from(work.row + lane) * copy.row_bytes;
        let weight_block =
            u64::from(expert) * u64::from(args.col_blocks()) + u64::from(work.col_block);
        let mut source_b = args.scales_b + weight_block * copy.row_bytes;
        let mut kb = 0;
        while kb < args.k_blocks {
            let chunk = ring.slot();
            let words = args.k_blocks - kb;
            // SAFETY: the chunk is free; rows past the expert's own are zeroed instead of read.
            unsafe {
                mbarrier::wait(smem.scales_free(chunk), ring.free_parity());
                copy.rows(smem.scales_a(chunk), source_a, lane, [work.rows, span], words);
                if lane == 0 {
                    copy.row(smem.scales_b(chunk), source_b, words);
                }
                cp_async::wait_all();
                mbarrier::arrive(smem.scales_full(chunk));
            }
            source_a += u64::from(CHUNK_BYTES);
            source_b += u64::from(CHUNK_BYTES);
            kb += SCALE_CHUNK;
            ring.advance();
        }
    }
}
