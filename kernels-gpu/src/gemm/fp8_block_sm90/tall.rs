//! The form for 129 to 192 rows: an expert's last tile with up to 64 rows more.
//!
//! Each warpgroup multiplies 64 rows of its own by all 128 columns, and the last 64 rows, which both have, by half of the
//! columns. Two accumulators take turns, one for each part: while one is promoted the other multiplies. Weights are read once
//! for all rows, where a tile more would read them again.

use super::math::Math;
use super::*;
use crate::ptx::wgmma::{self, M64N64, M64N128, Mma};
use crate::tile::promote::promote_rows;
use crate::tile::scale_chunk;
use crate::tile::work::Work;

/// Of a warpgroup's own rows, and of its half of the rows that both have: sums, or blocks that are being multiplied.
struct Parts {
    own: [f32; 64],
    both: [f32; 32],
}

impl Parts {
    const ZERO: Self = Self { own: [0.0; 64], both: [0.0; 32] };
}

/// `sa * sb` of a block, of the thread's upper and lower row in each part.
type Scales = [[f32; 2]; 2];

impl Math<'_> {
    /// Executed by: warpgroup. The tile, and its store.
    #[inline(always)]
    pub(super) unsafe fn tall_tile<O: Output>(&mut self, work: Work) {
        let (mut sums, mut blocks) = (Parts::ZERO, Parts::ZERO);
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            while left >= SCALE_CHUNK {
                let slot = self.start(&mut blocks.own);
                let [s0, s1, s2, s3] = self.tall_scales();
                let slot = self.step(&mut sums, &mut blocks, slot, s0);
                let slot = self.step(&mut sums, &mut blocks, slot, s1);
                let slot = self.step(&mut sums, &mut blocks, slot, s2);
                self.last_step(&mut sums, &mut blocks, slot, s3);
                left -= SCALE_CHUNK;
            }
            if left > 0 {
                // One to three blocks are left of the last chunk; take its scales from the front.
                let [mut s0, mut s1, mut s2, _] = self.tall_scales();
                while left > 0 {
                    let slot = self.start(&mut blocks.own);
                    self.last_step(&mut sums, &mut blocks, slot, s0);
                    (s0, s1, s2) = (s1, s2, s0);
                    left -= 1;
                }
            }
            self.look_ahead();
            let own = self.store(work);
            own.stage::<O, _>(&sums.own, 0);
            let words = own.unstage();
            own.stage::<O, _>(&sums.own, 1);
            own.write(words, 0);
            let words = own.unstage();
            let both = self.store_from(work, [self.below(), self.warpgroup() * (TILE / 2)]);
            both.stage::<O, _>(&sums.both, 0);
            own.write(words, 1);
            both.write(both.unstage(), 0);
        }
    }

    /// How far below the warp's own rows are those that it has of both warpgroups' part.
    #[inline(always)]
    fn below(&self) -> u32 {
        TILE - self.warpgroup() * (TILE / 2)
    }

    /// Executed by: warpgroup, while its own rows of the block in `slot` are being multiplied. Multiplies the others, promotes
    /// both, and starts the next block's own rows.
    #[inline(always)]
    unsafe fn step(
        &mut self,
        sums: &mut Parts,
        blocks: &mut Parts,
        slot: u32,
        [own, both]: Scales,
    ) -> u32 {
        // SAFETY: the warpgroup is converged.
        unsafe {
            self.promote_own(sums, blocks, slot, own);
            M64N128::landed(&mut sums.own);
            let next = self.start(&mut blocks.own);
            self.promote_both::<1>(sums, blocks, slot, both);
            M64N64::landed(&mut sums.both);
            next
        }
    }

    /// The same with no block to follow.
    #[inline(always)]
    unsafe fn last_step(
        &mut self,
        sums: &mut Parts,
        blocks: &mut Parts,
        slot: u32,
        [own, both]: Scales,
    ) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            self.promote_own(sums, blocks, slot, own);
            self.promote_both::<0>(sums, blocks, slot, both);
        }
    }

    /// Executed by: warpgroup. Promotes its own rows of a block while the others are being multiplied.
    #[inline(always)]
    unsafe fn promote_own(
        &self,
        sums: &mut Parts,
        blocks: &mut Parts,
        slot: u32,
        scales: [f32; 2],
    ) {
        // SAFETY: the warpgroup is converged; the wait leaves only the other rows in flight.
        unsafe {
            self.start_both(blocks, slot);
            wgmma::wait::<1>();
            M64N128::landed(&mut blocks.own);
            promote_rows(&mut sums.own, &blocks.own, scales);
        }
    }

    /// Executed by: warpgroup. Promotes the rows that both have, with so many products in flight behind them, and leaves the slot.
    #[inline(always)]
    unsafe fn promote_both<const BEHIND: i64>(
        &self,
        sums: &mut Parts,
        blocks: &mut Parts,
        slot: u32,
        scales: [f32; 2],
    ) {
        // SAFETY: the warpgroup is converged; after the wait nobody of it reads the slot.
        unsafe {
            wgmma::wait::<BEHIND>();
            M64N64::landed(&mut blocks.both);
            self.release_tile(slot);
            promote_rows(&mut sums.both, &blocks.both, scales);
        }
    }

    /// Executed by: warpgroup. `sa * sb` of the thread's four rows, for each block of the chunk.
    #[inline(always)]
    unsafe fn tall_scales(&mut self) -> [Scales; 4] {
        // SAFETY: the chunk has landed.
        unsafe {
            let chunk = self.acquire_scales();
            let rows = self.smem.scales_a(chunk);
            let row = self.warp * fragment::WARP_ROWS + fragment::row(self.lane);
            let own = scale_chunk::load_rows(rows.at(row * CHUNK_BYTES));
            let both = scale_chunk::load_rows(rows.at((self.below() + row) * CHUNK_BYTES));
            let b = ldst::load_shared_f32x4(self.smem.scales_b(chunk));
            self.release_scales();
            let [o0, o1, o2, o3] = scale_chunk::of_rows(own, b);
            let [b0, b1, b2, b3] = scale_chunk::of_rows(both, b);
            [[o0, b0], [o1, b1], [o2, b2], [o3, b3]]
        }
    }

    /// Executed by: warpgroup. Starts the multiplication of the rows that both have by half of the weights, in a slot that has
    /// landed.
    #[inline(always)]
    unsafe fn start_both(&self, blocks: &mut Parts, slot: u32) {
        let half = self.warpgroup() * (OPERAND_BYTES / 2);
        let [weights, tokens] = self.operands(slot, [half, OPERAND_BYTES]);
        // SAFETY: both operands are 128-byte swizzled tiles of 128-byte rows.
        unsafe {
            wgmma::fence();
            M64N64::start(&mut blocks.both, tokens, weights);
            wgmma::commit();
        }
    }
}
