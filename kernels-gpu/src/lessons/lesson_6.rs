//! Lesson 6: promotion out of the way. While one block is promoted another one multiplies, and scales arrive ahead of their
//! use, four K blocks in one copy.
//!
//! ```text
//! one warp:      for 4 kb at a time: wait free; copy sa, sb -> chunk
//! 2 warpgroups:  for 4 kb at a time: wait full; s = sa * sb; free chunk
//!                    even = block 0; odd = block 1
//!                    promote even;   even = block 2
//!                    promote odd;    odd = block 3
//!                    promote even;   promote odd
//! ```

use super::Args;
use super::lesson_5::copy_tiles;
use super::math::Math;
use super::shared::*;
use super::tile::Tile;
use crate::abi::fp8_block::{SCALE_CHUNK, SCALE_STAGES};
use crate::abi::lesson::TILE;
use crate::ptx::wgmma::{self, M64N128, Mma};
use crate::ptx::{cp_async, ldst, mbarrier, sreg, warp};
use crate::tile::promote::promote_rows;
use crate::tile::ring::Ring;
use crate::tile::scale_chunk::{self, ROW_BYTES, ScaleCopy};
use crate::tile::{descriptor, fragment};

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(args: &Args) {
    let smem = Shared::dynamic();
    let (warp, lane) = (sreg::thread() / 32, sreg::thread() % 32);
    // SAFETY: as in lesson 5.
    unsafe {
        let Some(tile) = Tile::of_cta::<TILE>(args) else { return };
        smem.init(sreg::thread());
        let warp = warp::broadcast(warp, 0);
        if warp < MATH_WARPS {
            warp::raise_registers::<MATH_REGISTERS>();
            Math::new(args, smem, warp, lane).tokens_on_rows(tile);
        } else {
            warp::lower_registers::<SERVICE_REGISTERS>();
            if warp == TILE_WARP && lane == 0 {
                copy_tiles(args, smem, tile);
            } else if warp == SCALE_WARP {
                copy_scales(args, smem, tile, TILE, lane);
            }
        }
    }
}

/// Executed by: the warp of the scale copies. Rows of the tile from the expert's last on, up to `span`, get zeros.
#[inline(always)]
pub(super) unsafe fn copy_scales(args: &Args, smem: Shared, tile: Tile, span: u32, lane: u32) {
    let copy = ScaleCopy::new(args.scales_a, args.scales_b, args.k_blocks);
    let mut ring = Ring::<SCALE_STAGES>::new();
    let mut source_a = tile.scales_a(args) + u64::from(lane) * copy.row_bytes;
    let mut source_b = tile.scales_b(args);
    let mut kb = 0;
    while kb < args.k_blocks {
        let (chunk, words) = (ring.slot(), args.k_blocks - kb);
        // SAFETY: the chunk is free.
        unsafe {
            mbarrier::wait(smem.scales_free(chunk), ring.free_parity());
            copy.rows(smem.scales_a(chunk), source_a, lane, [tile.rows, span], words);
            if lane == 0 {
                copy.row(smem.scales_b(chunk), source_b, words);
            }
            cp_async::wait_all();
            mbarrier::arrive(smem.scales_full(chunk));
        }
        source_a += u64::from(ROW_BYTES);
        source_b += u64::from(ROW_BYTES);
        kb += SCALE_CHUNK;
        ring.advance();
    }
}

impl Math<'_> {
    /// Executed by: warpgroup. The whole tile.
    #[inline(always)]
    pub(super) unsafe fn tokens_on_rows(&mut self, tile: Tile) {
        let (mut sum, mut even, mut odd) = ([0.0; 64], [0.0; 64], [0.0; 64]);
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            while left >= SCALE_CHUNK {
                let [s0, s1, s2, s3] = self.row_scales();
                let block_0 = self.start(&mut even);
                let block_1 = self.start(&mut odd);
                wgmma::wait::<1>();
                self.promote(&mut sum, &mut even, block_0, s0);
                let block_2 = self.start(&mut even);
                wgmma::wait::<1>();
                self.promote(&mut sum, &mut odd, block_1, s1);
                let block_3 = self.start(&mut odd);
                wgmma::wait::<1>();
                self.promote(&mut sum, &mut even, block_2, s2);
                wgmma::wait::<0>();
                self.promote(&mut sum, &mut odd, block_3, s3);
                left -= SCALE_CHUNK;
            }
            if left > 0 {
                // One to three blocks are left; take their scales from the front.
                let [mut s0, mut s1, mut s2, _] = self.row_scales();
                while left > 0 {
                    let block = self.start(&mut odd);
                    wgmma::wait::<0>();
                    self.promote(&mut sum, &mut odd, block, s0);
                    (s0, s1, s2) = (s1, s2, s0);
                    left -= 1;
                }
            }
            tile.store(self.args, self.warp * fragment::WARP_ROWS, self.lane, &sum);
        }
    }

    /// Executed by: warpgroup. Waits for the next slot and starts its multiplication.
    #[inline(always)]
    unsafe fn start(&mut self, block: &mut [f32; 64]) -> u32 {
        let slot = self.tiles.slot();
        let half = self.warp / 4 * (OPERAND_BYTES / 2);
        let tokens = descriptor::k_major_128b(self.smem.tokens(slot).at(half).0);
        let weights = descriptor::k_major_128b(self.smem.weights(slot).0);
        // SAFETY: the slot has landed.
        unsafe {
            mbarrier::wait(self.smem.full(slot), self.tiles.parity());
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
        slot: u32,
        scales: [f32; 2],
    ) {
        // SAFETY: the block's group is complete.
        unsafe {
            M64N128::landed(block);
            self.release_tile(slot);
        }
        promote_rows(sum, block, scales);
    }

    /// Executed by: warpgroup. `sa * sb` of the thread's two rows, for each block of the next chunk.
    #[inline(always)]
    unsafe fn row_scales(&mut self) -> [[f32; 2]; 4] {
        // SAFETY: the chunk has landed.
        unsafe {
            let chunk = self.acquire_scales();
            let row = self.warp * fragment::WARP_ROWS + fragment::row(self.lane);
            let rows = self.smem.scales_a(chunk).at(row * ROW_BYTES);
            let a = scale_chunk::load_rows(rows);
            let b = ldst::load_shared_f32x4(self.smem.scales_b(chunk));
            self.release_scales();
            scale_chunk::of_rows(a, b)
        }
    }
}
