//! The epilogue warps: from tensor memory to the output.
//!
//! A sum has a lane for each output column and a column for each token. Storing warp `w` can read lanes `32 w` to
//! `32 w + 31`, so it stores 32 output columns, 64 bytes of each token.

use super::*;
use crate::tile::ring::Ring;
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
            let mut store = Store::new(args, work, warp, lane);
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
                        release(smem.drained(sums.slot()), lane);
                    }
                    staging.write::<O, 16>(&values);
                    store.rows::<4>(staging);
                } else {
                    let values = tcgen05::load_16_columns(source);
                    done += 16;
                    release(smem.drained(sums.slot()), lane);
                    staging.write::<O, 8>(&values);
                    store.rows::<2>(staging);
                }
            }
        }
        sums.advance();
    }
}

/// Executed by: warp, converged. Lets the sum be overwritten.
#[inline(always)]
unsafe fn release(drained: Smem, lane: u32) {
    // SAFETY: the warp converges, so all its lanes have read; the barrier is initialised.
    unsafe {
        tcgen05::fence_before_thread_sync();
        warp::sync();
        if lane == 0 {
            mbarrier::arrive(drained);
        }
    }
}

/// A warp's staging buffer: 32 tokens of 64 bytes. The four 16-byte chunks of a token are exchanged by the XOR with
/// bits 1-2 of the token, so that neither the stores of 8 tokens nor the loads of 2 meet in a bank.
#[derive(Clone, Copy)]
struct Staging {
    /// Where the lane's row of a matrix goes: matrix `lane / 8` is a chunk, row `lane % 8` a token.
    write: Smem,
    /// What the lane stores: chunk `lane % 4` of token `lane / 4`.
    read: Smem,
}

impl Staging {
    #[inline(always)]
    fn new(buffer: Smem, lane: u32) -> Self {
        let at = |token: u32, chunk: u32| {
            buffer.at(token * STAGING_PITCH + (chunk ^ (token / 2 % 4)) * 16)
        };
        Self { write: at(lane % 8, lane / 8), read: at(lane / 4, lane % 4) }
    }

    /// Executed by: warp, converged. Writes `2 R` tokens; `values` are lanes 0..16 and 16..32 of tensor memory.
    #[inline(always)]
    unsafe fn write<O: Output, const R: usize>(self, values: &[[f32; R]; 2]) {
        let mut group = 0;
        while group < R / 4 {
            let i = group * 4;
            let pair = |half: usize, i: usize| O::pack(values[half][i], values[half][i + 1]);
            let matrices = [pair(0, i), pair(0, i + 2), pair(1, i), pair(1, i + 2)];
            let target = self.write.at(group as u32 * 8 * STAGING_PITCH);
            // SAFETY: the buffer is the warp's own, and what it held is in registers.
            unsafe { ldst::store_matrix_x4_transposed(target, matrices) }
            group += 1;
        }
    }
}

/// Where a lane stores its chunk of the next 8 tokens.
struct Store {
    address: u64,
    /// Bytes from a token to the one 8 further on.
    step: u64,
    /// The token, counted from the tile's first, and the number of those to store.
    token: u32,
    rows: u32,
}

impl Store {
    #[inline(always)]
    fn new(args: &Args, work: ScaledWork, warp: u32, lane: u32) -> Self {
        let token = lane / 4;
        let row = u64::from(work.row + token) * u64::from(args.n());
        let column = work.col_block * TILE_N + warp * WARP_COLUMNS + lane % 4 * 8;
        Self {
            address: args.output + (row + u64::from(column)) * 2,
            step: u64::from(args.n()) * 8 * 2,
            token,
            rows: if work.stored { work.rows } else { 0 },
        }
    }

    /// Executed by: warp, converged. Stores `8 GROUPS` tokens of the buffer, those that are the expert's.
    #[inline(always)]
    unsafe fn rows<const GROUPS: u32>(&mut self, staging: Staging) {
        // SAFETY: the warp converges between writing and reading the buffer; the rows are the expert's.
        unsafe {
            warp::sync();
            for group in 0..GROUPS {
                if self.token < self.rows {
                    let words = ldst::load_shared_u32x4(staging.read.at(group * 8 * STAGING_PITCH));
                    ldst::store_global_u32x4(self.address, words);
                }
                self.token += 8;
                self.address += self.step;
            }
            warp::sync();
        }
    }
}
