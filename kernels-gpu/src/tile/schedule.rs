//! Which tiles a CTA computes.
//!
//! All groups' tiles stand in one list; `CLUSTER` tiles that are neighbours along the columns are one entry.
//! Every cluster takes each entry whose index is its own modulo the number of clusters, and its CTAs take
//! one tile of the entry each. Where the columns run out, the CTAs left over compute the last tile again
//! and do not store it: the copies that the cluster shares need all its CTAs.
//!
//! **Halves.** A last round that is at most half full, behind a whole one, would keep half of the multiprocessors waiting. Where a kernel
//! has half tiles, its entries are taken by two clusters each: one computes the left halves of the tiles' columns, the other
//! the right ones. Of more than 32 experts that is known only if the round begins within the last group of up to 32. On an H200 5 % of 8 experts x 64 rows,
//! 3072x4096, whose 96 entries are a round of 66 clusters and 30 more.
//!
//! **In step.** The tiles above one another read the same weights at about the same time, from memory once and then from L2, as
//! long as clusters go through the list at the same pace. A last tile of few rows would be done sooner, its cluster would run
//! ahead for good, and soon everyone would read from memory. So where an expert's weights are too large to stay in L2 by
//! themselves, its last tile takes as long as the others: it computes all rows, unless it is a tall one. On an H200,
//! 128 experts x 512 rows by Zipf, 4096x7168: 7.0 GB from memory instead of 12.4, 3622 us instead of 4282.
//!
//! One warp walks the group tables, 32 groups at a time, a lane each. All rows it hands out have passed
//! [`Problem::group`], so nothing behind it can leave the tensors.

use super::raster;
use super::work::{Outbox, Work};
use crate::abi::{Group, GroupStatus, Problem, SCALE_BLOCK};
use crate::ptx::{ldst, sreg, warp};

/// Columns of a tile.
const COLUMNS: u32 = SCALE_BLOCK;

/// Whether the tiles of an expert go in step: from 8 MiB of weights on.
#[inline(always)]
pub(crate) fn in_step(problem: &Problem) -> bool {
    const BYTES: u64 = 8 << 20;
    u64::from(problem.n) * u64::from(problem.k) >= BYTES
}

/// Whether the last tile of an expert that has several takes up to half a tile more, which takes half as long again: below
/// 16 MiB of weights, a third of the L2 of an H200, so that they wait there for tiles that are late.
#[inline(always)]
fn last_takes_more(problem: &Problem) -> bool {
    const BYTES: u64 = 16 << 20;
    u64::from(problem.n) * u64::from(problem.k) < BYTES
}

/// The group tables on the device.
#[derive(Clone, Copy)]
pub(crate) struct GroupTables {
    /// `(M, N, K)` of each expert, `[experts, 3]` i32.
    pub(crate) problem_sizes: u64,
    /// First packed row of each expert, `[experts]` i32.
    pub(crate) expert_offsets: u64,
    /// Number of experts.
    pub(crate) experts: u32,
    /// What all groups share.
    pub(crate) problem: Problem,
}

/// An expert's entries of the tables, as they lie there: `(M, N, K)` and the first row.
///
/// Apart from [`GroupTables::judge`], so that they can be on their way while something else is done.
#[derive(Clone, Copy)]
pub(crate) struct Entry([i32; 4]);

impl Entry {
    /// That of no expert, which has no rows.
    pub(crate) const NONE: Self = Self([0; 4]);
}

impl GroupTables {
    /// Executed by: any thread. The rows of `expert`; none past the last expert.
    #[inline(always)]
    pub(crate) unsafe fn group(&self, expert: u32) -> Group {
        // SAFETY: as the caller's.
        self.judge(unsafe { self.entry(expert) })
    }

    /// The rows that an entry stands for.
    #[inline(always)]
    pub(crate) const fn judge(&self, Entry([m, n, k, offset]): Entry) -> Group {
        self.problem.group([m, n, k], offset)
    }

    /// Executed by: any thread. The entry of `expert`; [`Entry::NONE`] past the last expert.
    #[inline(always)]
    pub(crate) unsafe fn entry(&self, expert: u32) -> Entry {
        if expert >= self.experts {
            return Entry::NONE;
        }
        let size = self.problem_sizes + u64::from(expert) * 12;
        let offset = self.expert_offsets + u64::from(expert) * 4;
        // SAFETY: the tables have `experts` entries, by contract of the launch.
        unsafe {
            Entry([
                ldst::load_global_i32(size),
                ldst::load_global_i32(size + 4),
                ldst::load_global_i32(size + 8),
                ldst::load_global_i32(offset),
            ])
        }
    }
}

/// Executed by: warp, converged. Posts this CTA's tiles of `TILE` x [`COLUMNS`], or of half as many rows again if there are `TALL`
/// ones, then [`Work::END`]. `entry` is that of the lane's first expert, `lane`.
/// All CTAs of a cluster post the same number of items, with the same rows.
#[inline(always)]
pub(crate) unsafe fn post_tiles<
    const TILE: u32,
    const CLUSTER: u32,
    const TALL: bool,
    const HALVES: bool,
>(
    tables: &GroupTables,
    mut entry: Entry,
    outbox: &mut Outbox,
    lane: u32,
) {
    let col_blocks = tables.problem.n / COLUMNS;
    let entry_cols = raster::blocks(col_blocks, CLUSTER);
    let in_step = in_step(&tables.problem);
    let takes_more = TALL && last_takes_more(&tables.problem);
    let clusters = u64::from(sreg::ctas() / CLUSTER);
    let own = u64::from(sreg::cta() / CLUSTER);
    let mut next = own;
    let mut before = 0u64;
    let mut first = 0;
    while first < tables.experts {
        // SAFETY: the warp is converged, by contract; loops and branches below are warp-uniform.
        unsafe {
            let group = tables.judge(entry);
            let blocks = raster::row_blocks::<TILE, TALL>(group.rows, takes_more);
            let tiles = u64::from(blocks) * u64::from(entry_cols);
            let end = before + warp::inclusive_sum_u64(tiles, lane);
            let chunk_end = warp::broadcast_u64(end, 31);
            let is_last = first + 32 >= tables.experts;
            loop {
                let is_half = HALVES
                    && is_last
                    && is_round_of_halves(next - own, [before, chunk_end], clusters);
                let entry = if is_half { next - own + own / 2 } else { next };
                if entry >= chunk_end {
                    break;
                }
                let owner = warp::ballot(end > entry).trailing_zeros();
                let start = warp::broadcast_u64(end - tiles, owner);
                let rows = warp::broadcast(group.rows, owner);
                let first_row = warp::broadcast(group.first_row, owner);
                // The host bounds the tiles of 128 rows of one group by u32::MAX, and an entry is as much, or more of it.
                let index = (entry - start) as u32;
                let blocks = raster::row_blocks::<TILE, TALL>(rows, takes_more);
                // One row block needs no division, and the first tile is waited for.
                let (row_block, entry_col) =
                    if blocks == 1 { (0, index) } else { raster::tile(index, blocks, entry_cols) };
                let alone = if TALL { blocks == 1 } else { rows <= TILE };
                let full = in_step && !alone;
                let above = row_block * TILE;
                let left = rows - above;
                let last = TALL && row_block == blocks - 1;
                let rows = if left < TILE || last { left } else { TILE };
                let col_block = entry_col * CLUSTER + sreg::cta_rank();
                let inside = col_block < col_blocks;
                let work = Work {
                    expert: first + owner,
                    row: first_row + above,
                    rows: if full && !(TALL && rows > TILE) { TILE } else { rows },
                    stored_rows: if inside { rows } else { 0 },
                    col_block: if inside { col_block } else { col_blocks - 1 },
                };
                let work = work.marked(alone);
                let work = if is_half { work.half_of(own % 2 != 0) } else { work };
                outbox.post(work, lane);
                next += clusters;
            }
            before = chunk_end;
            first += 32;
            entry = tables.entry(first + lane);
        }
    }
    // SAFETY: the warp is converged, by contract.
    unsafe { outbox.post(Work::END, lane) }
}

/// Whether the entries from `round` to the last, `end`, are computed as two halves each: if they are the last round, behind a whole
/// one, and at most half of it. `known` is the first one that the posting warps look at together with the last.
#[inline(always)]
const fn is_round_of_halves(round: u64, [known, end]: [u64; 2], clusters: u64) -> bool {
    round > 0 && round >= known && round < end && 2 * (end - round) <= clusters
}

/// Executed by: warp, converged. Judges every `ctas()`-th group and ORs what it finds into `status`.
///
/// Overlap is a question about pairs, so each CTA compares its groups with all others: `experts^2 /
/// (32 * ctas)` steps, 8 for 256 experts on an H200.
#[inline(always)]
pub(crate) unsafe fn audit(tables: &GroupTables, status: u64, lane: u32) {
    let mut expert = sreg::cta();
    while expert < tables.experts {
        // SAFETY: `expert` and `other` are inside the tables or yield no rows; `status` is writable.
        unsafe {
            let group = tables.group(expert);
            let mut found = group.status.0;
            let mut other = lane;
            while other < tables.experts {
                if other != expert && group.overlaps(tables.group(other)) {
                    found |= GroupStatus::OVERLAP.0;
                }
                other += 32;
            }
            if found != 0 {
                ldst::or_global_u32(status, found);
            }
        }
        expert += sreg::ctas();
    }
}
