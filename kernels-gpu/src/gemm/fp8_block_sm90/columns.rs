//! The form for few rows: weights on the 64-row side of each warpgroup, tokens on `2 R` columns.
//!
//! Here memory is the limit, and one accumulator is enough for up to 16 tokens; with more, two take turns, but for a wait every two
//! blocks. The tile's result is transposed on its way through shared memory.

use super::math::Math;
use super::*;
use crate::ptx::stmatrix;
use crate::ptx::wgmma::{self, M64N8, M64N16, M64N32, M64N64, Mma};
use crate::tile::promote::promote_columns;
use crate::tile::scale_chunk;
use crate::tile::work::Work;

/// Whether two blocks of more than 16 tokens take turns. 0.5 to 1.5 % of 32 to 64 rows an expert on an H200; in `fp8_block_sm90_tall`,
/// whose tiles of few rows have others beside them, it costs as much.
const IN_TURNS: bool = !FEW && !TALL;
/// Warps of a warpgroup.
const WARPS: u32 = WARPGROUP / 32;
/// Threads that store a token's 64 columns, 16 bytes each.
const ROW_THREADS: u32 = 8;
/// Tokens that a warpgroup stores at a time.
const TOKENS_AT_ONCE: usize = (WARPGROUP / ROW_THREADS) as usize;

/// What a warpgroup computes of a tile.
#[derive(Clone, Copy)]
struct Part {
    /// Bytes of weights before its own in a slot.
    weights: u32,
    /// Tokens before its own in a slot.
    column: u32,
    /// The first of its tokens in the tile: beyond the last one if there is none for it, and then it computes another's.
    token: u32,
    /// Columns of the output before its own in the column block.
    right: u32,
}

impl Part {
    /// That of a warpgroup that takes so many tokens of a tile.
    #[inline(always)]
    fn of(work: Work, warpgroup: u32, columns: u32) -> Self {
        if HALVES && work.is_half() {
            let token = warpgroup * columns;
            let last = span_of(work.rows) - columns;
            let column = if token < last { token } else { last };
            let right = if work.is_right() { HALF_COLUMNS } else { 0 };
            return Self { weights: 0, column, token, right };
        }
        let weights = warpgroup * (OPERAND_BYTES / 2);
        Self { weights, column: 0, token: 0, right: warpgroup * (TILE / 2) }
    }
}

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
        let span = span_of(work.rows);
        // Of half a tile, each warpgroup multiplies half of the tokens.
        let columns = if HALVES && work.is_half() { span / 2 } else { span };
        // SAFETY: as the caller's.
        unsafe {
            match columns {
                64 => self.tokens_on_columns::<O, M64N64, 32, IN_TURNS>(work),
                32 => self.tokens_on_columns::<O, M64N32, 16, IN_TURNS>(work),
                16 => self.tokens_on_columns::<O, M64N16, 8, false>(work),
                _ => self.tokens_on_columns::<O, M64N8, 4, false>(work),
            }
        }
    }

    /// Executed by: warpgroup. The tile with weights on the rows and `2 R` token columns: a warpgroup's half of the weights and all
    /// tokens, or of half a tile all weights and its half of the tokens.
    #[inline(always)]
    unsafe fn tokens_on_columns<O: Output, M: Mma<R>, const R: usize, const TURNS: bool>(
        &mut self,
        work: Work,
    ) {
        let mut sum = [0.0; R];
        let (mut even, mut odd) = ([0.0; R], [0.0; R]);
        let part = Part::of(work, self.warpgroup(), 2 * R as u32);
        let mut left = self.args.k_blocks;
        while left > 0 {
            let blocks = if left < SCALE_CHUNK { left } else { SCALE_CHUNK };
            // SAFETY: the chunk and each slot have landed; the warpgroup is converged; loops are uniform.
            unsafe {
                let chunk = self.acquire_scales();
                let column = (part.column + fragment::col(self.lane)) * CHUNK_BYTES;
                let mut scale_a = self.smem.scales_a(chunk).at(column);
                let mut scale_b = self.smem.scales_b(chunk);
                let mut of_chunk = blocks;
                while TURNS && of_chunk >= 2 {
                    // Before the wait for the tile, or they would stand between the multiplications.
                    let scales = scale_chunk::of_columns::<R>(scale_a, scale_b);
                    let first = self.start_columns::<M, R>(part, &mut even);
                    let second = self.start_columns::<M, R>(part, &mut odd);
                    wgmma::wait::<1>();
                    self.promote_tokens::<M, R>(&mut sum, &mut even, first, &scales);
                    let scales = scale_chunk::of_columns::<R>(scale_a.at(4), scale_b.at(4));
                    wgmma::wait::<0>();
                    self.promote_tokens::<M, R>(&mut sum, &mut odd, second, &scales);
                    (scale_a, scale_b) = (scale_a.at(8), scale_b.at(8));
                    of_chunk -= 2;
                }
                while of_chunk > 0 {
                    let scales = scale_chunk::of_columns::<R>(scale_a, scale_b);
                    let slot = self.start_columns::<M, R>(part, &mut even);
                    wgmma::wait::<0>();
                    self.promote_tokens::<M, R>(&mut sum, &mut even, slot, &scales);
                    (scale_a, scale_b) = (scale_a.at(4), scale_b.at(4));
                    of_chunk -= 1;
                }
                self.release_scales();
            }
            left -= blocks;
        }
        // SAFETY: the warpgroup is converged.
        unsafe { self.store_columns::<O, R>(work, part, &sum) }
    }

    /// Executed by: warpgroup. Waits for the next slot and starts the multiplication of its part.
    #[inline(always)]
    unsafe fn start_columns<M: Mma<R>, const R: usize>(
        &mut self,
        part: Part,
        block: &mut [f32; R],
    ) -> u32 {
        let (slot, parity) = (self.tiles.slot(), self.tiles.parity());
        let [weights, tokens] = self.operands(slot, [part.weights, part.column * TILE_K]);
        // SAFETY: the slot has landed; both operands are 128-byte swizzled tiles of 128-byte rows.
        unsafe {
            mbarrier::wait(self.smem.tile_full(slot), parity);
            wgmma::fence();
            M::start(block, weights, tokens);
            wgmma::commit();
        }
        self.tiles.advance();
        slot
    }

    /// Executed by: warpgroup, after the wait for this block. Leaves its slot.
    #[inline(always)]
    unsafe fn promote_tokens<M: Mma<R>, const R: usize>(
        &self,
        sum: &mut [f32; R],
        block: &mut [f32; R],
        slot: u32,
        scales: &[[f32; 2]; R],
    ) {
        // SAFETY: the block's group is complete.
        unsafe {
            M::landed(block);
            self.release_tile(slot);
        }
        promote_columns(sum, block, scales);
    }

    /// Executed by: warpgroup. Writes its 64 columns of each of its tokens, 128 bytes of a row at a time.
    ///
    /// NOTE(measured): rows of 128 bytes by eight threads instead of 32 by two: -1.5 % for 8 experts x 64 rows on an H200.
    #[inline(always)]
    unsafe fn store_columns<O: Output, const R: usize>(
        &self,
        work: Work,
        part: Part,
        sum: &[f32; R],
    ) {
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
            // With eight tokens, half of the threads have none; they read another's, and store nothing.
            let staged = staging.at(first % (2 * R as u32) * STAGING_PITCH + piece * 16);
            let column = work.col_block * TILE + part.right + piece * 8;
            let row = part.token + first;
            let end = part.token + 2 * R as u32;
            let end = if end < work.stored_rows { end } else { work.stored_rows };
            let n = u64::from(self.args.tables.problem.n);
            let element = u64::from(work.row + row) * n + u64::from(column);
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
                if row + below < end {
                    ldst::store_global_u32x4(target + u64::from(below) * n * 2, words[step]);
                }
                step += 1;
            }
            warp::sync();
        }
    }
}
