//! The form for many rows: tokens on the 64-row side of each warpgroup, weights on the 128 columns.
//!
//! Two accumulators per warpgroup take turns: one is promoted while the other multiplies. A tile that is done waits, and is
//! stored while the first blocks of the next one multiply.

use super::math::Math;
use super::*;
use crate::ptx::wgmma::{self, M64N128, Mma};
use crate::tile::promote::promote_rows;
use crate::tile::scale_chunk;
use crate::tile::work::Work;

/// A K block that is being multiplied.
#[derive(Clone, Copy)]
struct InFlight {
    /// Slot of the ring that it reads.
    slot: u32,
    /// `sa * sb` of the thread's upper and lower row.
    scales: [f32; 2],
}

/// A tile whose sums wait to be stored: under the first multiplications of the next one.
pub(super) struct Done {
    /// `rows` is 0 if there is none; then the sums are 0.
    work: Work,
    sum: [f32; 64],
}

impl Done {
    pub(super) const NONE: Self = Self { work: Work::END, sum: [0.0; 64] };
}

impl Math<'_> {
    /// Executed by: warpgroup. Leaves the tile in `done`, and stores the one that was there, which is only where a tile has a
    /// chunk under which it can be stored.
    #[inline(always)]
    pub(super) unsafe fn tokens_on_rows<O: Output>(&mut self, work: Work, done: &mut Done) {
        let mut blocks = [[0.0; 64]; 2];
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            while left >= SCALE_CHUNK {
                let last = self.multiply_chunk::<O>(done, &mut blocks);
                self.drain(&mut done.sum, &mut blocks[1], last);
                left -= SCALE_CHUNK;
            }
            if left > 0 {
                // One to three blocks are left of the last chunk; take its scales from the front.
                let [mut s0, mut s1, mut s2, _] = self.row_scales();
                while left > 0 {
                    let slot = self.start(&mut blocks[1]);
                    self.drain(&mut done.sum, &mut blocks[1], InFlight { slot, scales: s0 });
                    (s0, s1, s2) = (s1, s2, s0);
                    left -= 1;
                }
            }
            done.work = work;
        }
    }

    /// Executed by: warpgroup. Stores the tile that is done, if one is.
    #[inline(always)]
    pub(super) unsafe fn store_done<O: Output>(&self, done: &mut Done) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            self.store_left::<O>(done);
            self.store_right(done);
        }
    }

    /// Executed by: warpgroup. Stores the left 64 columns of the tile that is done, if one is, and stages the others: its
    /// sums begin anew.
    #[inline(always)]
    unsafe fn store_left<O: Output>(&self, done: &mut Done) {
        if done.work.rows != 0 {
            let store = self.store(done.work);
            // SAFETY: the warp is converged; the staging buffer is its own.
            unsafe {
                store.stage::<O, _>(&done.sum, 0);
                let words = store.unstage();
                store.stage::<O, _>(&done.sum, 1);
                store.write(words, 0);
            }
            done.sum = [0.0; 64];
        }
    }

    /// Executed by: warpgroup, after [`Math::store_left`]. Stores the right 64 columns.
    #[inline(always)]
    unsafe fn store_right(&self, done: &mut Done) {
        if done.work.rows != 0 {
            let store = self.store(done.work);
            // SAFETY: the warp is converged; the staging buffer is its own.
            unsafe { store.write(store.unstage(), 1) }
            done.work = Work::END;
        }
    }

    /// Executed by: warpgroup. Multiplies four K blocks, the accumulators taking turns, and promotes all but
    /// the last, which stays in flight in `odd`. The next item is taken and the tile that is done is stored meanwhile: its left
    /// half under the first two blocks, the other under the next two.
    #[inline(always)]
    unsafe fn multiply_chunk<O: Output>(
        &mut self,
        done: &mut Done,
        [even, odd]: &mut [[f32; 64]; 2],
    ) -> InFlight {
        // SAFETY: the warpgroup is converged.
        unsafe {
            // Before its scales are read, which takes a while.
            let slot = self.start(even);
            let [s0, s1, s2, s3] = self.row_scales();
            let b0 = InFlight { slot, scales: s0 };
            let b1 = InFlight { slot: self.start(odd), scales: s1 };
            self.look_ahead();
            self.store_left::<O>(done);
            wgmma::wait::<1>();
            self.promote(&mut done.sum, even, b0);
            let b2 = InFlight { slot: self.start(even), scales: s2 };
            self.store_right(done);
            let sum = &mut done.sum;
            wgmma::wait::<1>();
            self.promote(sum, odd, b1);
            let b3 = InFlight { slot: self.start(odd), scales: s3 };
            wgmma::wait::<1>();
            self.promote(sum, even, b2);
            b3
        }
    }

    /// Executed by: warpgroup. Waits for the only block in flight and promotes it.
    #[inline(always)]
    unsafe fn drain(&self, sum: &mut [f32; 64], block: &mut [f32; 64], last: InFlight) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            wgmma::wait::<0>();
            self.promote(sum, block, last);
        }
    }

    /// Executed by: warpgroup. `sa * sb` of the thread's upper and lower row, for each block of the chunk.
    #[inline(always)]
    unsafe fn row_scales(&mut self) -> [[f32; 2]; 4] {
        // SAFETY: the chunk has landed.
        unsafe {
            let chunk = self.acquire_scales();
            let row = self.warp * fragment::WARP_ROWS + fragment::row(self.lane);
            let rows = self.smem.scales_a(chunk).at(row * CHUNK_BYTES);
            let a = scale_chunk::load_rows(rows);
            let b = ldst::load_shared_f32x4(self.smem.scales_b(chunk));
            self.release_scales();
            scale_chunk::of_rows(a, b)
        }
    }

    /// Executed by: warpgroup. Waits for the next slot and starts the multiplication of the warpgroup's rows by all columns.
    #[inline(always)]
    pub(super) unsafe fn start(&mut self, block: &mut [f32; 64]) -> u32 {
        let (slot, parity) = (self.tiles.slot(), self.tiles.parity());
        let half = self.warpgroup() * (OPERAND_BYTES / 2);
        let [weights, tokens] = self.operands(slot, [0, half]);
        // SAFETY: the slot has landed; both operands are 128-byte swizzled tiles of 128-byte rows.
        unsafe {
            mbarrier::wait(self.smem.tile_full(slot), parity);
            wgmma::fence();
            M64N128::start(block, tokens, weights);
            wgmma::commit();
        }
        self.tiles.advance();
        slot
    }

    /// Executed by: warpgroup, after the wait for this block.
    #[inline(always)]
    unsafe fn promote(
        &self,
        sum: &mut [f32; 64],
        block: &mut [f32; 64],
        InFlight { slot, scales }: InFlight,
    ) {
        // SAFETY: the block's group is complete.
        unsafe {
            M64N128::landed(block);
            self.release_tile(slot);
        }
        promote_rows(sum, block, scales);
    }
}
