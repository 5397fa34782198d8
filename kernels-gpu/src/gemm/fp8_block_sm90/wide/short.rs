//! Tiles of at most 64 rows, as experts of few rows have. Their weights come from memory, which they wait for; the whole form
//! would keep the tensor cores busy with rows that are not there, while others need them.
//!
//! Each warpgroup multiplies all rows by its half of the columns. The two accumulators take turns from one block to the next.

use super::*;

impl Math<'_> {
    /// Executed by: warpgroup. The tile, and its store.
    #[inline(always)]
    pub(super) unsafe fn short_tile<O: Output>(&mut self, work: Work) {
        // Not known as the warp's number: what is computed from it is not kept in registers while whole tiles are computed.
        let warp = sreg::opaque_u32(self.warp);
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            let mut sums = [0.0; HALF_SUMS];
            let mut blocks = [M64N96::unset(), M64N96::unset()];
            while left >= SCALE_CHUNK {
                left -= SCALE_CHUNK;
                self.short_chunk(work, warp, &mut sums, &mut blocks);
            }
            if left > 0 {
                // One to three blocks are left of the last chunk; take its scales from the front.
                let [mut s0, mut s1, mut s2, _] = self.short_scales(work, warp);
                while left > 0 {
                    left -= 1;
                    let slot = self.start_short(warp, &mut blocks[0]);
                    self.promote_short::<0>(&mut sums, &mut blocks[0], slot, s0);
                    (s0, s1, s2) = (s1, s2, s0);
                }
            }
            let above = warp % 4 * fragment::WARP_ROWS;
            self.store_sets::<O, 3>(work, [above, warp / 4 * HALF_COLUMNS], sets(&sums));
        }
    }

    /// Executed by: warpgroup. Multiplies a chunk of K blocks.
    #[inline(always)]
    unsafe fn short_chunk(
        &mut self,
        work: Work,
        warp: u32,
        sums: &mut [f32; HALF_SUMS],
        [even, odd]: &mut [[f32; HALF_SUMS]; 2],
    ) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            let first = self.start_short(warp, even);
            let [s0, s1, s2, s3] = self.short_scales(work, warp);
            let second = self.start_short(warp, odd);
            self.promote_short::<1>(sums, even, first, s0);
            let third = self.start_short(warp, even);
            self.promote_short::<1>(sums, odd, second, s1);
            let fourth = self.start_short(warp, odd);
            self.promote_short::<1>(sums, even, third, s2);
            self.promote_short::<0>(sums, odd, fourth, s3);
        }
    }

    /// Executed by: warpgroup. Waits for the next slot and starts the multiplication of all rows by the warpgroup's half.
    #[inline(always)]
    unsafe fn start_short(&mut self, warp: u32, block: &mut [f32; HALF_SUMS]) -> u32 {
        // SAFETY: the slot has landed.
        unsafe {
            let slot = self.next_slot();
            self.start_rows(block, slot, [warp / 4 * HALF_BYTES, 0]);
            slot
        }
    }

    /// Executed by: warpgroup. Promotes a block, with so many products in flight behind it, and leaves its slot.
    #[inline(always)]
    unsafe fn promote_short<const BEHIND: i64>(
        &self,
        sums: &mut [f32; HALF_SUMS],
        block: &mut [f32; HALF_SUMS],
        slot: u32,
        scales: Scales,
    ) {
        // SAFETY: the warpgroup is converged; after the wait nobody of it reads the slot.
        unsafe {
            wgmma::wait::<BEHIND>();
            M64N96::landed(block);
            self.release_tile(slot);
        }
        promote_sets(sums, block, scales);
        // SAFETY: no instruction.
        unsafe { M64N96::landed(sums) }
    }

    /// Executed by: warpgroup. `sa * sb` for each block of the next chunk, of the three sets of the warpgroup's half.
    #[inline(always)]
    unsafe fn short_scales(&mut self, work: Work, warp: u32) -> [Scales; 4] {
        // SAFETY: the warpgroup is converged.
        let (a, [first, last]) = unsafe { self.chunk_of_scales(warp % 4 * fragment::WARP_ROWS) };
        // Every other tile begins in the middle of a block of weights.
        let middle = if work.col_block.is_multiple_of(2) { first } else { last };
        let b = if warp < 4 { [first, first, middle] } else { [middle, last, last] };
        of_sets(a, b)
    }
}
