//! Half tiles. Short ones are of at most 64 rows, as experts of few rows have: their weights come from memory, which they wait for,
//! and whole ones would keep the tensor cores busy with rows that are not there, while others need them. Narrow ones are of the
//! last 64 columns, where N has so many beyond whole tiles.
//!
//! Each warpgroup multiplies 64 rows by 96 columns: all rows of a short tile by its half of the columns, its half of the rows by all
//! columns of a narrow one. The two accumulators take turns from one block to the next.

use super::*;

/// What a warp has of a half tile.
#[derive(Clone, Copy)]
struct Part {
    /// Which half of the columns, and of the rows, is its warpgroup's.
    columns: u32,
    rows: u32,
    /// Rows above the warp's.
    above: u32,
}

impl Math<'_> {
    /// Executed by: warpgroup. The tile, and its store.
    #[inline(always)]
    pub(super) unsafe fn half_tile<O: Output>(&mut self, work: Work) {
        // Not known as the warp's number: what is computed from it is not kept in registers while whole tiles are computed.
        let warp = sreg::opaque_u32(self.warp);
        let part = if is_narrow(work) {
            Part { columns: 0, rows: warp / 4, above: warp * fragment::WARP_ROWS }
        } else {
            Part { columns: warp / 4, rows: 0, above: warp % 4 * fragment::WARP_ROWS }
        };
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            let mut sums = [0.0; HALF_SUMS];
            let mut blocks = [M64N96::unset(), M64N96::unset()];
            while left >= SCALE_CHUNK {
                left -= SCALE_CHUNK;
                self.half_chunk(work, part, &mut sums, &mut blocks);
            }
            if left > 0 {
                // One to three blocks are left of the last chunk; take its scales from the front.
                let [mut s0, mut s1, mut s2, _] = self.part_scales(work, part);
                while left > 0 {
                    left -= 1;
                    let slot = self.start_part(part, &mut blocks[0]);
                    self.promote_part::<0>(&mut sums, &mut blocks[0], slot, s0);
                    (s0, s1, s2) = (s1, s2, s0);
                }
            }
            let corner = [part.above, part.columns * HALF_COLUMNS];
            self.store_sets::<O, 3>(work, corner, sets(&sums));
        }
    }

    /// Executed by: warpgroup. Multiplies a chunk of K blocks.
    #[inline(always)]
    unsafe fn half_chunk(
        &mut self,
        work: Work,
        part: Part,
        sums: &mut [f32; HALF_SUMS],
        [even, odd]: &mut [[f32; HALF_SUMS]; 2],
    ) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            let first = self.start_part(part, even);
            let [s0, s1, s2, s3] = self.part_scales(work, part);
            let second = self.start_part(part, odd);
            self.promote_part::<1>(sums, even, first, s0);
            let third = self.start_part(part, even);
            self.promote_part::<1>(sums, odd, second, s1);
            let fourth = self.start_part(part, odd);
            self.promote_part::<1>(sums, even, third, s2);
            self.promote_part::<0>(sums, odd, fourth, s3);
        }
    }

    /// Executed by: warpgroup. Waits for the next slot and starts the multiplication of the warpgroup's part.
    #[inline(always)]
    unsafe fn start_part(&mut self, part: Part, block: &mut [f32; HALF_SUMS]) -> u32 {
        // SAFETY: the slot has landed.
        unsafe {
            let slot = self.next_slot();
            self.start_rows(
                block,
                slot,
                [part.columns * HALF_BYTES, part.rows * (OPERAND_BYTES / 2)],
            );
            slot
        }
    }

    /// Executed by: warpgroup. Promotes a block, with so many products in flight behind it, and leaves its slot.
    #[inline(always)]
    unsafe fn promote_part<const BEHIND: i64>(
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

    /// Executed by: warpgroup. `sa * sb` for each block of the next chunk, of the three sets of the warpgroup's columns.
    #[inline(always)]
    unsafe fn part_scales(&mut self, work: Work, part: Part) -> [Scales; 4] {
        // SAFETY: the warpgroup is converged.
        let (a, [first, last]) = unsafe { self.chunk_of_scales(part.above) };
        // Every other tile begins in the middle of a block of weights.
        let middle = if work.col_block.is_multiple_of(2) { first } else { last };
        let b = if part.columns == 0 { [first, first, middle] } else { [middle, last, last] };
        of_sets(a, b)
    }
}
