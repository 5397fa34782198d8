//! The form for few rows: weights on the 64-row side of each warpgroup, tokens on `2 R` columns.
//!
//! Here memory is the limit and one accumulator is enough. The tile's result is transposed on its way
//! through shared memory.

use super::math::Math;
use super::*;
use crate::ptx::stmatrix;
use crate::ptx::wgmma::{self, M64N8, M64N16, M64N32, M64N64, Mma};
use crate::tile::promote::promote_columns;
use crate::tile::scale_chunk;
use crate::tile::work::Work;

/// Warps of a warpgroup.
const WARPS: u32 = WARPGROUP / 32;
/// Threads that store a token's 64 columns, 16 bytes each.
const ROW_THREADS: u32 = 8;
/// Tokens that a warpgroup stores at a time.
const TOKENS_AT_ONCE: usize = (WARPGROUP / ROW_THREADS) as usize;

impl Math<'_> {
    /// Executed by: warpgroup. All tiles of `fp8_block_sm90_few`.
    #[inline(always)]
    pub(super) unsafe fn few_tiles<O: Output>(&mut self) {
        loop {
            // SAFETY: all warps of a warpgroup take the same items, so they stay together.
            unsafe {
                let work = self.inbox.take(self.lane);
                if work.rows == 0 {
                    break;
                }
                self.few_rows::<O>(work);
            }
        }
    }

    /// Executed by: warpgroup. A tile of at most 64 rows.
    #[inline(always)]
    pub(super) unsafe fn few_rows<O: Output>(&mut self, work: Work) {
        // SAFETY: as the caller's.
        unsafe {
            match span_of(work.rows) {
                64 => self.tokens_on_columns::<O, M64N64, 32>(work),
                32 => self.tokens_on_columns::<O, M64N32, 16>(work),
                16 => self.tokens_on_columns::<O, M64N16, 8>(work),
                _ => self.tokens_on_columns::<O, M64N8, 4>(work),
            }
        }
    }

    /// Executed by: warpgroup. The tile with weights on the rows and `2 R` token columns.
    #[inline(always)]
    unsafe fn tokens_on_columns<O: Output, M: Mma<R>, const R: usize>(&mut self, work: Work) {
        let mut sum = [0.0; R];
        let mut block = [0.0; R];
        let half = self.warpgroup() * (OPERAND_BYTES / 2);
        let mut left = self.args.k_blocks;
        while left > 0 {
            let blocks = if left < SCALE_CHUNK { left } else { SCALE_CHUNK };
            // SAFETY: the chunk and each slot have landed; the warpgroup is converged; loops are uniform.
            unsafe {
                let chunk = self.acquire_scales();
                let column = fragment::col(self.lane) * CHUNK_BYTES;
                let mut scale_a = self.smem.scales_a(chunk).at(column);
                let mut scale_b = self.smem.scales_b(chunk);
                for _ in 0..blocks {
                    // Before the wait for the tile, or they would stand between the multiplications.
                    let scales = scale_chunk::of_columns::<R>(scale_a, scale_b);
                    let (slot, parity) = (self.tiles.slot(), self.tiles.parity());
                    let [weights, tokens] = self.operands(slot, [half, 0]);
                    mbarrier::wait(self.smem.tile_full(slot), parity);
                    wgmma::fence();
                    M::start(&mut block, weights, tokens);
                    wgmma::commit();
                    wgmma::wait::<0>();
                    M::landed(&mut block);
                    self.release_tile(slot);
                    promote_columns(&mut sum, &block, &scales);
                    self.tiles.advance();
                    scale_a = scale_a.at(4);
                    scale_b = scale_b.at(4);
                }
                self.release_scales();
            }
            left -= blocks;
        }
        // SAFETY: the warpgroup is converged.
        unsafe { self.store_columns::<O, R>(work, &sum) }
    }

    /// Executed by: warpgroup. Writes its 64 columns of every token of the tile, 128 bytes of a row at a time.
    ///
    /// NOTE(measured): rows of 128 bytes by eight threads instead of 32 by two: -1.5 % for 8 experts x 64 rows on an H200.
    #[inline(always)]
    unsafe fn store_columns<O: Output, const R: usize>(&self, work: Work, sum: &[f32; R]) {
        let warpgroup = self.warpgroup();
        let staging = self.smem.staging(warpgroup * WARPS);
        let (warp, lane) = (self.warp % WARPS, self.lane);
        // Matrix `lane / 8` of two: upper and lower weight rows, which are columns of the output.
        let matrix_row = staging
            .at(lane % 8 * STAGING_PITCH)
            .at(warp * fragment::WARP_ROWS * 2 + lane / 8 % 2 * 16);
        // SAFETY: the staging buffer is the warpgroup's own, which meets before others' parts are written, and before they are
        // read; only rows of the expert are stored.
        unsafe {
            sync::warpgroup_sync(warpgroup);
            let mut group = 0;
            while group < R / 4 {
                let i = group * 4;
                let packed = [O::pack(sum[i], sum[i + 1]), O::pack(sum[i + 2], sum[i + 3])];
                let token = group as u32 * fragment::GROUP_COLS;
                stmatrix::store_matrix_x2_transposed(matrix_row.at(token * STAGING_PITCH), packed);
                group += 1;
            }
            sync::warpgroup_sync(warpgroup);
            let thread = warp * 32 + lane;
            let (first, piece) = (thread / ROW_THREADS, thread % ROW_THREADS);
            // With eight tokens, half of the threads have none; they read another's.
            let staged = staging.at(first % (2 * R as u32) * STAGING_PITCH + piece * 16);
            let column = work.col_block * TILE + warpgroup * (TILE / 2) + piece * 8;
            let n = u64::from(self.args.tables.problem.n);
            let element = u64::from(work.row + first) * n + u64::from(column);
            let target = self.args.output + element * 2;
            let mut words = [[0; 4]; 4];
            let mut step = 0;
            while step == 0 || step * TOKENS_AT_ONCE < 2 * R {
                let below = (step * TOKENS_AT_ONCE) as u32 * STAGING_PITCH;
                words[step] = ldst::load_shared_u32x4(staged.at(below));
                step += 1;
            }
            if !FEW {
                // In the other forms a warp's buffer is its own.
                sync::warpgroup_sync(warpgroup);
            }
            let mut step = 0;
            while step == 0 || step * TOKENS_AT_ONCE < 2 * R {
                let below = (step * TOKENS_AT_ONCE) as u32;
                if first + below < work.stored_rows {
                    ldst::store_global_u32x4(target + u64::from(below) * n * 2, words[step]);
                }
                step += 1;
            }
            warp::sync();
        }
    }
}
