//! How a warp stores its 16 rows of 128 columns: 64 columns at a time, through shared memory.
//!
//! In steps, because each waits for shared memory, which the tensor core keeps busy: what is between two of them hides the
//! wait. Few instructions: addresses once, all loads before the first store.

use super::math::Math;
use super::*;
use crate::ptx::stmatrix;
use crate::tile::work::Work;

/// Where a warp's part of a tile goes: lane `l` stores the rows `l / 8`, 4 more, ..., 16 bytes of each.
#[derive(Clone, Copy)]
pub(super) struct Store {
    /// The row of a matrix of 8 x 8 that the lane gives the address of.
    matrix_row: Smem,
    /// The lane's first 16 bytes.
    staged: Smem,
    target: u64,
    row_bytes: u64,
    /// The lane's first row in the tile, and how many of the tile's are stored.
    row: u32,
    rows: u32,
}

impl Math<'_> {
    /// Where this warp's part of a tile goes.
    #[inline(always)]
    pub(super) fn store(&self, work: Work) -> Store {
        self.store_from(work, [0, 0])
    }

    /// The same, so many rows and columns further on.
    #[inline(always)]
    pub(super) fn store_from(&self, work: Work, [below, right]: [u32; 2]) -> Store {
        let staging = self.smem.staging(self.warp);
        let lane = self.lane;
        let row = below + self.warp * fragment::WARP_ROWS + lane / 8;
        let n = u64::from(self.args.tables.problem.n);
        let column = work.col_block * TILE + right + lane % 8 * 8;
        Store {
            // Matrix `lane / 8` of four: upper and lower rows of one column group, then of the next.
            matrix_row: staging
                .at((lane / 8 % 2 * 8 + lane % 8) * STAGING_PITCH)
                .at(lane / 16 * fragment::GROUP_COLS * 2),
            staged: staging.at(lane / 8 * STAGING_PITCH + lane % 8 * 16),
            target: self.args.output + (u64::from(work.row + row) * n + u64::from(column)) * 2,
            row_bytes: n * 2,
            row,
            rows: work.stored_rows,
        }
    }
}

impl Store {
    /// Executed by: warp, converged. Writes half of the columns to the staging buffer.
    #[inline(always)]
    pub(super) unsafe fn stage<O: Output, const R: usize>(self, sum: &[f32; R], half: usize) {
        // SAFETY: the staging buffer is the warp's own.
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
                stmatrix::store_matrix_x4(self.matrix_row.at(column), packed);
                group += 2;
            }
            warp::sync();
        }
    }

    /// Executed by: warp, converged, after [`Store::stage`]. Reads what the lane stores.
    #[inline(always)]
    pub(super) unsafe fn unstage(self) -> [[u32; 4]; 4] {
        // SAFETY: the warp has written its staging buffer.
        unsafe {
            let words = [
                ldst::load_shared_u32x4(self.staged),
                ldst::load_shared_u32x4(self.staged.at(4 * STAGING_PITCH)),
                ldst::load_shared_u32x4(self.staged.at(8 * STAGING_PITCH)),
                ldst::load_shared_u32x4(self.staged.at(12 * STAGING_PITCH)),
            ];
            warp::sync();
            words
        }
    }

    /// Executed by: warp, converged. Stores them to half of the columns, as far as there are rows.
    #[inline(always)]
    pub(super) unsafe fn write(self, words: [[u32; 4]; 4], half: u64) {
        let mut step = 0;
        while step < 4 {
            let below = 4 * step as u32;
            if self.row + below < self.rows {
                let target = self.target + u64::from(below) * self.row_bytes + half * 128;
                // SAFETY: only rows of the expert are stored.
                unsafe { ldst::store_global_u32x4(target, words[step]) }
            }
            step += 1;
        }
        // NOTE(measured): with no meeting of the lanes here, the assembler takes all that follows as divergent, keeps
        // the ring's position in registers of lanes and moves every descriptor over: +10 % on 8 x 4096 rows, 4096x7168.
        // SAFETY: the warp is converged.
        unsafe { warp::sync() }
    }
}
