//! How a warp stores sets of columns of its 16 rows from registers, a thread 16 bytes at a time: as far as there are rows and
//! columns.

use super::*;

/// Bytes of a set of columns in a row of the output.
const SET_BYTES: u64 = SET as u64 * 2;

impl Math<'_> {
    /// Executed by: warp, converged. Stores neighbouring sets of a tile: rows that have so many above them, and columns that have so
    /// many to their left.
    #[inline(always)]
    pub(super) unsafe fn store_sets<O: Output, const N: usize>(
        &self,
        work: Work,
        [above, before]: [u32; 2],
        sets: [&[f32; SET_SUMS]; N],
    ) {
        let n = self.args.tables.problem.n;
        let left = work.col_block * TILE_COLUMNS + before;
        let lane = sreg::opaque_u32(self.lane);
        let column = left + lane % 4 * (SET / 4);
        let row = above + fragment::row(lane);
        let mut lower = 0;
        while lower < 2 {
            let row = row + 8 * lower as u32;
            if row < work.stored_rows {
                let row = u64::from(work.row + row);
                let target = self.args.output + (row * u64::from(n) + u64::from(column)) * 2;
                let mut set = 0;
                while set < N {
                    let words = words::<O>(sets[set], lower);
                    // The tile may end behind the last column.
                    if left + set as u32 * SET < n {
                        // SAFETY: only rows of the expert and columns of the output are stored.
                        unsafe { ldst::store_global_u32x4(target + set as u64 * SET_BYTES, words) }
                    }
                    set += 1;
                }
            }
            lower += 1;
        }
        // SAFETY: the warp is converged.
        unsafe { warp::sync() }
    }
}

/// What a thread stores of its upper row of a set, or of its lower one: eight neighbours.
#[inline(always)]
pub(super) fn words<O: Output>(sums: &[f32; SET_SUMS], lower: usize) -> [u32; 4] {
    let pair = |group: usize| {
        let i = group * 4 + lower * 2;
        O::pack(sums[i], sums[i + 1])
    };
    [pair(0), pair(1), pair(2), pair(3)]
}
