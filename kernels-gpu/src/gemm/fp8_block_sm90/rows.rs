//! The form for many rows: tokens on the 64-row side of each warpgroup, weights on the 128 columns.
//!
//! Two accumulators per warpgroup take turns: one is promoted while the other multiplies. A tile that is done waits, and is
//! stored while the first two blocks of the next one multiply.

use super::math::Math;
use super::*;
use crate::ptx::stmatrix;
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
    /// Executed by: warpgroup. Leaves the tile in `done`, and stores the one that was there.
    #[inline(always)]
    pub(super) unsafe fn tokens_on_rows<O: Output>(&mut self, work: Work, done: &mut Done) {
        let mut blocks = [[0.0; 64]; 2];
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            if left < SCALE_CHUNK {
                // There is no chunk under which it could be stored.
                self.store_done::<O>(done);
            }
            while left >= 2 * SCALE_CHUNK {
                let last = self.multiply_chunk::<O>(done, &mut blocks, None);
                let last = self.multiply_chunk::<O>(done, &mut blocks, Some(last));
                self.drain(&mut done.sum, &mut blocks[1], last);
                left -= 2 * SCALE_CHUNK;
            }
            if left >= SCALE_CHUNK {
                let last = self.multiply_chunk::<O>(done, &mut blocks, None);
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
        if done.work.rows != 0 {
            // SAFETY: the warpgroup is converged.
            unsafe { self.store_rows::<O>(done.work, &done.sum) }
            *done = Done::NONE;
        }
    }

    /// Executed by: warpgroup. Multiplies four K blocks, the accumulators taking turns, and promotes all but
    /// the last, which stays in flight in `odd`; so may the last block of the chunk before. If none does, the tile that is
    /// done is stored under the first two blocks.
    #[inline(always)]
    unsafe fn multiply_chunk<O: Output>(
        &mut self,
        done: &mut Done,
        [even, odd]: &mut [[f32; 64]; 2],
        before: Option<InFlight>,
    ) -> InFlight {
        // SAFETY: the warpgroup is converged.
        unsafe {
            let [s0, s1, s2, s3] = self.row_scales();
            let b0 = InFlight { slot: self.start(even), scales: s0 };
            if let Some(before) = before {
                wgmma::wait::<1>();
                self.promote(&mut done.sum, odd, before);
            }
            let b1 = InFlight { slot: self.start(odd), scales: s1 };
            if before.is_none() {
                self.store_done::<O>(done);
            }
            let sum = &mut done.sum;
            wgmma::wait::<1>();
            self.promote(sum, even, b0);
            let b2 = InFlight { slot: self.start(even), scales: s2 };
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

    /// Executed by: warpgroup. Waits for the next slot and starts its multiplication.
    #[inline(always)]
    unsafe fn start(&mut self, block: &mut [f32; 64]) -> u32 {
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

    /// Executed by: warp. Writes its 16 rows of 128 columns, 64 columns at a time: lane `l` the rows `l / 8`, 4 more, ...
    ///
    /// Two K blocks hide it only if it is few instructions: addresses once, all loads before the first store.
    #[inline(always)]
    unsafe fn store_rows<O: Output>(&self, work: Work, sum: &[f32; 64]) {
        let staging = self.smem.staging(self.warp);
        let lane = self.lane;
        // Matrix `lane / 8` of four: upper and lower rows of one column group, then of the next.
        let matrix_row = staging
            .at((lane / 8 % 2 * 8 + lane % 8) * STAGING_PITCH)
            .at(lane / 16 * fragment::GROUP_COLS * 2);
        let staged = staging.at(lane / 8 * STAGING_PITCH + lane % 8 * 16);
        let row = self.warp * fragment::WARP_ROWS + lane / 8;
        let n = u64::from(self.args.tables.problem.n);
        let column = work.col_block * TILE + lane % 8 * 8;
        let mut target = self.args.output + (u64::from(work.row + row) * n + u64::from(column)) * 2;
        let mut half = 0;
        while half < 2 {
            // SAFETY: the staging buffer is the warp's own; only rows of the expert are stored.
            unsafe {
                let mut group = 0;
                while group < 8 {
                    let i = (half * 8 + group) * 4;
                    let packed = [
                        O::pack(sum[i], sum[i + 1]),
                        O::pack(sum[i + 2], sum[i + 3]),
                        O::pack(sum[i + 4], sum[i + 5]),
                        O::pack(sum[i + 6], sum[i + 7]),
                    ];
                    let column = group as u32 * fragment::GROUP_COLS * 2;
                    stmatrix::store_matrix_x4(matrix_row.at(column), packed);
                    group += 2;
                }
                warp::sync();
                let words: [[u32; 4]; 4] = [
                    ldst::load_shared_u32x4(staged),
                    ldst::load_shared_u32x4(staged.at(4 * STAGING_PITCH)),
                    ldst::load_shared_u32x4(staged.at(8 * STAGING_PITCH)),
                    ldst::load_shared_u32x4(staged.at(12 * STAGING_PITCH)),
                ];
                warp::sync();
                let mut step = 0;
                while step < 4 {
                    let below = 4 * step as u32;
                    if row + below < work.stored_rows {
                        ldst::store_global_u32x4(target + u64::from(below) * n * 2, words[step]);
                    }
                    step += 1;
                }
                // NOTE(measured): with no meeting of the lanes here, the assembler takes all that follows as divergent, keeps
                // the ring's position in registers of lanes and moves every descriptor over: +10 % on 8 x 4096 rows, 4096x7168.
                warp::sync();
            }
            target += 128;
            half += 1;
        }
    }
}
