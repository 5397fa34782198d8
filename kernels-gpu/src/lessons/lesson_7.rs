//! Lesson 7: few rows. Weights take the 64-row side of the tensor core and tokens 8, 16, 32 or 64 columns, so that 8 rows
//! are not padded to 64, and no more of them is copied than they need.
//!
//! ```text
//! tile of more than 64 rows: as lesson 6
//! else:  sum^T[n, m] = fma(weights[n, kb] x tokens[m, kb]^T, sb * sa, sum^T)
//! ```

use super::Args;
use super::lesson_5::copy_tiles;
use super::lesson_6::copy_scales;
use super::math::Math;
use super::shared::*;
use super::tile::{Tile, store_with_neighbour};
use crate::abi::fp8_block::SCALE_CHUNK;
use crate::abi::lesson::{STAGES, TILE};
use crate::ptx::wgmma::{self, M64N8, M64N16, M64N32, M64N64, Mma};
use crate::ptx::{mbarrier, sreg, tma, warp};
use crate::tile::promote::promote_columns;
use crate::tile::ring::Ring;
use crate::tile::scale_chunk::{self, ROW_BYTES};
use crate::tile::token_boxes::token_span;
use crate::tile::{descriptor, fragment};

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(args: &Args) {
    let smem = Shared::dynamic();
    let (warp, lane) = (sreg::thread() / 32, sreg::thread() % 32);
    // SAFETY: as in lesson 5.
    unsafe {
        let Some(tile) = Tile::of_cta::<TILE>(args) else { return };
        let span = token_span(tile.rows);
        smem.init(sreg::thread());
        let warp = warp::broadcast(warp, 0);
        if warp < MATH_WARPS {
            warp::raise_registers::<MATH_REGISTERS>();
            let mut math = Math::new(args, smem, warp, lane);
            match span {
                TILE => math.tokens_on_rows(tile),
                64 => math.tokens_on_columns::<M64N64, 32>(tile),
                32 => math.tokens_on_columns::<M64N32, 16>(tile),
                16 => math.tokens_on_columns::<M64N16, 8>(tile),
                _ => math.tokens_on_columns::<M64N8, 4>(tile),
            }
        } else {
            warp::lower_registers::<SERVICE_REGISTERS>();
            if warp == TILE_WARP && lane == 0 {
                if span == TILE {
                    copy_tiles(args, smem, tile);
                } else {
                    copy_few(args, smem, tile, span);
                }
            } else if warp == SCALE_WARP {
                copy_scales(args, smem, tile, span, lane);
            }
        }
    }
}

/// Executed by: one thread. As [`copy_tiles`], with only as many tokens as there are columns.
#[inline(always)]
unsafe fn copy_few(args: &Args, smem: Shared, tile: Tile, span: u32) {
    let mut ring = Ring::<STAGES>::new();
    let tokens = args.tokens.in_boxes_of(span);
    for kb in 0..args.k_blocks {
        let (slot, k) = (ring.slot(), kb * TILE);
        let full = smem.full(slot);
        // SAFETY: the slot is free and holds both boxes; `full` expects exactly their bytes.
        unsafe {
            mbarrier::wait(smem.free(slot), ring.free_parity());
            mbarrier::arrive_expect(full, OPERAND_BYTES + span * TILE);
            let corner = [k, tile.column(), tile.expert];
            tma::load_3d(smem.weights(slot), args.weights, corner, full);
            tma::load_2d(smem.tokens(slot), tokens, [k, tile.row], full);
        }
        ring.advance();
    }
}

impl Math<'_> {
    /// Executed by: warpgroup, 64 columns of the output. Tokens take `2 R` columns of the tensor core.
    #[inline(always)]
    unsafe fn tokens_on_columns<M: Mma<R>, const R: usize>(&mut self, tile: Tile) {
        let (mut sum, mut block) = ([0.0; R], [0.0; R]);
        let half = self.warp / 4 * (OPERAND_BYTES / 2);
        let mut left = self.args.k_blocks;
        while left > 0 {
            let blocks = if left < SCALE_CHUNK { left } else { SCALE_CHUNK };
            // SAFETY: the chunk and each slot have landed; the warpgroup is converged; loops are uniform.
            unsafe {
                let chunk = self.acquire_scales();
                let mut scale_a =
                    self.smem.scales_a(chunk).at(fragment::col(self.lane) * ROW_BYTES);
                let mut scale_b = self.smem.scales_b(chunk);
                for _ in 0..blocks {
                    let slot = self.tiles.slot();
                    let weights = descriptor::k_major_128b(self.smem.weights(slot).at(half).0);
                    let tokens = descriptor::k_major_128b(self.smem.tokens(slot).0);
                    mbarrier::wait(self.smem.full(slot), self.tiles.parity());
                    wgmma::fence();
                    M::start(&mut block, weights, tokens);
                    wgmma::commit();
                    let scales = scale_chunk::of_columns::<R>(scale_a, scale_b);
                    wgmma::wait::<0>();
                    M::landed(&mut block);
                    self.release_tile(slot);
                    promote_columns(&mut sum, &block, &scales);
                    self.tiles.advance();
                    (scale_a, scale_b) = (scale_a.at(4), scale_b.at(4));
                }
                self.release_scales();
            }
            left -= blocks;
        }
        // SAFETY: only rows of the expert are stored.
        unsafe { self.store_columns(tile, &sum) }
    }

    /// Executed by: warp, converged. Its rows are columns of the output: neighbours of a row are four lanes apart.
    #[inline(always)]
    unsafe fn store_columns<const R: usize>(&self, tile: Tile, sum: &[f32; R]) {
        let column = tile.column() + self.warp * fragment::WARP_ROWS + fragment::row(self.lane);
        let mut i = 0;
        while i < R {
            let group = i as u32 / 4 * fragment::GROUP_COLS;
            let token = group + fragment::col(self.lane) + i as u32 % 2;
            let row = u64::from(tile.row + token) * u64::from(self.args.n);
            let element = row + u64::from(column + i as u32 / 2 % 2 * 8);
            // SAFETY: the warp is converged; only rows of the expert are stored.
            unsafe {
                let wanted = token < tile.rows;
                store_with_neighbour(self.args, element, sum[i], [self.lane, 4], wanted);
            }
            i += 1;
        }
    }
}
