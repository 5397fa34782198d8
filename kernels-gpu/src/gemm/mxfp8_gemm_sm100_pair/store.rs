//! The epilogue warps of each CTA: from tensor memory to the output.
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
            let order = Order::of(sums.slot(), token_tiles::columns(work.rows));
            let sum = tensor.sum(sums.slot(), order.columns).lane(warp * WARP_COLUMNS);
            let drained = smem.drained(sums.slot());
            let stored = if work.stored { work.rows } else { 0 };
            let column = work.col_block * TILE_N + warp * WARP_COLUMNS;
            let store_from = |first: u32| {
                let (row, rows) = (work.row + first, stored.saturating_sub(first));
                TokenStore::new(args.output, args.n(), row, rows, column, lane)
            };
            if order.shared == 0 {
                // Nothing of this sum is in the next one's way, and the one before it is read.
                release(drained, Some(LEADER), lane);
            }
            mbarrier::wait(smem.complete(sums.slot()), sums.parity());
            tcgen05::fence_after_thread_sync();
            let mut store = store_from(order.first(0));
            let mut done = 0;
            while done < order.columns {
                let source = sum.column(order.first(done));
                // What the next sum may overwrite is given back once it is in registers, before it is stored.
                if order.end(done) - done >= 32 {
                    let values = tcgen05::load_32_columns(source);
                    done += 32;
                    if done == order.shared {
                        release(drained, Some(LEADER), lane);
                    }
                    staging.write::<O, 16>(&values, 0, 4);
                    store.rows::<4>(staging);
                } else {
                    let values = tcgen05::load_16_columns(source);
                    done += 16;
                    if done == order.shared {
                        release(drained, Some(LEADER), lane);
                    }
                    staging.write::<O, 8>(&values, 0, 2);
                    store.rows::<2>(staging);
                }
                if done == order.shared {
                    store = store_from(order.first(done));
                }
            }
        }
        sums.advance();
    }
}

/// In which order the columns of a sum are read: those that it shares with the other sum first.
#[derive(Clone, Copy)]
struct Order {
    columns: u32,
    /// Number of columns that the other sum may have too.
    shared: u32,
    /// The first of them.
    shared_from: u32,
}

impl Order {
    #[inline(always)]
    fn of(sum: u32, columns: u32) -> Self {
        // The first sum's last columns meet the second sum's first.
        let shared_from = if sum == 0 { NARROW } else { 0 };
        Self { columns, shared: columns.saturating_sub(NARROW), shared_from }
    }

    /// The column that is read when so many are done.
    #[inline(always)]
    fn first(self, done: u32) -> u32 {
        if done < self.shared {
            self.shared_from + done
        } else if self.shared_from == 0 {
            done
        } else {
            done - self.shared
        }
    }

    /// How many are done when the run of neighbours ends that comes after so many.
    #[inline(always)]
    fn end(self, done: u32) -> u32 {
        if done < self.shared { self.shared } else { self.columns }
    }
}
