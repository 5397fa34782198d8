//! The form for many rows and half of a column block: tokens on the 64-row side of each warpgroup, weights on 64 columns.
//!
//! Such a tile is its cluster's last one: it is stored at once, and one block is multiplied at a time, as little code counts more.
//!
//! NOTE(measured): two blocks in turns, with 4 KiB more of code, within 1 % on an H200; the form for few rows, each warpgroup with
//! half of the tokens, 4 to 9 % slower.

use super::math::Math;
use super::*;
use crate::ptx::wgmma::{self, M64N64, Mma};
use crate::tile::promote::promote_rows;
use crate::tile::scale_chunk;
use crate::tile::work::Work;

impl Math<'_> {
    /// Executed by: warpgroup. The tile, and its store.
    #[inline(always)]
    pub(super) unsafe fn half_of_columns<O: Output>(&mut self, work: Work) {
        let mut sum = [0.0; 32];
        let mut block = [0.0; 32];
        let half = self.warpgroup() * (OPERAND_BYTES / 2);
        let mut left = self.args.k_blocks;
        while left > 0 {
            let blocks = if left < SCALE_CHUNK { left } else { SCALE_CHUNK };
            // SAFETY: the chunk and each slot have landed; the warpgroup is converged; loops are uniform.
            unsafe {
                let chunk = self.acquire_scales();
                let row = self.warp * fragment::WARP_ROWS + fragment::row(self.lane);
                let mut scale_a = self.smem.scales_a(chunk).at(row * CHUNK_BYTES);
                let mut scale_b = self.smem.scales_b(chunk);
                for _ in 0..blocks {
                    let scales = scale_chunk::of_block(scale_a, scale_b);
                    let (slot, parity) = (self.tiles.slot(), self.tiles.parity());
                    let [weights, tokens] = self.operands(slot, [0, half]);
                    mbarrier::wait(self.smem.tile_full(slot), parity);
                    wgmma::fence();
                    M64N64::start(&mut block, tokens, weights);
                    wgmma::commit();
                    wgmma::wait::<0>();
                    M64N64::landed(&mut block);
                    self.release_tile(slot);
                    promote_rows(&mut sum, &block, scales);
                    self.tiles.advance();
                    scale_a = scale_a.at(4);
                    scale_b = scale_b.at(4);
                }
                self.release_scales();
            }
            left -= blocks;
        }
        let right = if work.is_right() { HALF_COLUMNS } else { 0 };
        let store = self.store_from(work, [0, right]);
        // SAFETY: the warp is converged; the staging buffer is its own.
        unsafe {
            store.stage::<O, _>(&sum, 0);
            store.write(store.unstage(), 0);
        }
    }
}
