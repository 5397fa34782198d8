//! The epilogue warps: from tensor memory to the output.
//!
//! A sum has a lane for each output column and a column for each token. Storing warp `w` can read lanes `32 w` to
//! `32 w + 31`, so it stores 32 output columns, 64 bytes of each token.

use super::*;
use crate::tile::ring::Ring;
use crate::tile::token_store::{Staging, TokenStore};
use crate::tile::work::Inbox;

/// Executed by: the storing warps.
#[inline(always)]
pub(super) unsafe fn tiles<O: Output>(
    args: &Args,
    smem: Shared,
    tensor: Tensor,
    warp: u32,
    lane: u32,
) {
    let mut inbox = Inbox::new(smem.board());
    let mut sums = Ring::<SUMS>::new();
    let staging = Staging::new(smem.staging(warp), lane);
    loop {
        // SAFETY: the warp is converged here, and every loop and branch is uniform.
        unsafe {
            let work = ScaledWork::take(&mut inbox, lane);
            if work.rows == 0 {
                break;
            }
            let columns = token_tiles::columns(work.rows);
            let sum = tensor.sum(sums.slot()).lane(warp * WARP_COLUMNS);
            let rows = if work.stored { work.rows } else { 0 };
            let column = work.col_block * TILE_N + warp * WARP_COLUMNS;
            let mut store = TokenStore::new(args.output, args.n(), work.row, rows, column, lane);
            mbarrier::wait(smem.complete(sums.slot()), sums.parity());
            tcgen05::fence_after_thread_sync();
            let mut done = 0;
            while done < columns {
                let source = sum.column(done);
                // The sum is free once its last columns are in registers, before they are stored.
                if columns - done >= 32 {
                    let values = tcgen05::load_32_columns(source);
                    done += 32;
                    if done == columns {
                        release(smem.drained(sums.slot()), None, lane);
                    }
                    staging.write::<O, 16>(&values, 0, 4);
                    store.rows::<4>(staging);
                } else {
                    let values = tcgen05::load_16_columns(source);
                    done += 16;
                    release(smem.drained(sums.slot()), None, lane);
                    staging.write::<O, 8>(&values, 0, 2);
                    store.rows::<2>(staging);
                }
            }
        }
        sums.advance();
    }
}
