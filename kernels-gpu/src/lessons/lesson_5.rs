//! Lesson 5: one warp only copies, two warpgroups only multiply; registers go where they are needed.
//!
//! ```text
//! CTA: 128 rows x 128 columns, a ring of 6 slots
//! one thread:    for each kb: wait free; copy a, b -> slot
//! 2 warpgroups:  for each kb: wait full; block = 4 wgmma; wait; free slot
//!                             sum = fma(block, sa * sb, sum)
//! ```

use super::Args;
use super::shared::*;
use super::tile::Tile;
use crate::abi::lesson::{HALF_TILE, STAGES, TILE};
use crate::ptx::wgmma::{self, M64N128, Mma};
use crate::ptx::{mbarrier, sreg, tma, warp};
use crate::tile::promote::promote_rows;
use crate::tile::ring::Ring;
use crate::tile::{descriptor, fragment};

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(args: &Args) {
    let smem = Shared::dynamic();
    let (warp, lane) = (sreg::thread() / 32, sreg::thread() % 32);
    // SAFETY: the tile is the same for all threads, so all make the barriers; branches are uniform for the warps that take
    // them, and the register budgets for the warpgroups.
    unsafe {
        let Some(tile) = Tile::of_cta::<TILE>(args) else { return };
        smem.init(sreg::thread());
        let warp = warp::broadcast(warp, 0);
        if warp < MATH_WARPS {
            warp::raise_registers::<MATH_REGISTERS>();
            multiply(args, smem, tile, warp, lane);
        } else {
            warp::lower_registers::<SERVICE_REGISTERS>();
            if warp == TILE_WARP && lane == 0 {
                copy_tiles(args, smem, tile);
            }
        }
    }
}

/// Executed by: one thread.
#[inline(always)]
pub(super) unsafe fn copy_tiles(args: &Args, smem: Shared, tile: Tile) {
    let mut ring = Ring::<STAGES>::new();
    for kb in 0..args.k_blocks {
        let (slot, k) = (ring.slot(), kb * TILE);
        let full = smem.full(slot);
        // SAFETY: the slot is free and holds the boxes; `full` expects exactly their bytes.
        unsafe {
            mbarrier::wait(smem.free(slot), ring.free_parity());
            mbarrier::arrive_expect(full, 2 * OPERAND_BYTES);
            let corner = [k, tile.column(), tile.expert];
            tma::load_3d(smem.weights(slot), args.weights, corner, full);
            for row in [0, HALF_TILE] {
                let target = smem.tokens(slot).at(row * TILE);
                tma::load_2d(target, args.tokens.in_boxes_of(HALF_TILE), [k, tile.row + row], full);
            }
        }
        ring.advance();
    }
}

/// Executed by: the math warps. A warpgroup has 64 rows of the tile.
#[inline(always)]
unsafe fn multiply(args: &Args, smem: Shared, tile: Tile, warp: u32, lane: u32) {
    let (mut sum, mut block) = ([0.0; 64], [0.0; 64]);
    let mut ring = Ring::<STAGES>::new();
    let half = warp / 4 * (OPERAND_BYTES / 2);
    let first_row = warp * fragment::WARP_ROWS;
    for kb in 0..args.k_blocks {
        let slot = ring.slot();
        let tokens = descriptor::k_major_128b(smem.tokens(slot).at(half).0);
        let weights = descriptor::k_major_128b(smem.weights(slot).0);
        // SAFETY: the warpgroup is converged; the slot has landed before it is read.
        unsafe {
            mbarrier::wait(smem.full(slot), ring.parity());
            wgmma::fence();
            M64N128::start(&mut block, tokens, weights);
            wgmma::commit();
            let row = first_row + fragment::row(lane);
            let scales = [tile.scale(args, row, kb), tile.scale(args, row + 8, kb)];
            wgmma::wait::<0>();
            M64N128::landed(&mut block);
            if lane == 0 {
                mbarrier::arrive(smem.free(slot));
            }
            promote_rows(&mut sum, &block, scales);
        }
        ring.advance();
    }
    // SAFETY: the warp is converged.
    unsafe { tile.store(args, first_row, lane, &sum) }
}
