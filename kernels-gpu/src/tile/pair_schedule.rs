//! Which tiles the CTAs of a cluster of two compute when they share weights.
//!
//! An entry of the list is two row blocks, one above the other, of a column block: a tile for each CTA. Where an expert has an
//! odd number of row blocks, the last one's entries are two column blocks: then the CTAs share nothing. Every cluster takes
//! each entry whose index is its own modulo the number of clusters.
//!
//! All tiles take the same time, so clusters keep pace by themselves.

use super::raster;
use super::schedule::GroupTables;
use super::work::{Outbox, Work};
use crate::abi::fp8_block::{CLUSTER, TILE, wide::TILE_COLUMNS};
use crate::ptx::{sreg, warp};

/// Largest height of a panel, in pairs of row blocks: as many rows as [`raster::PANEL`] has.
const PANEL: u32 = raster::PANEL / CLUSTER;

/// How the tiles of a group are paired.
struct Pairs {
    /// Pairs of row blocks.
    pairs: u32,
    /// Whether there is a row block more.
    odd: bool,
}

impl Pairs {
    #[inline(always)]
    fn of(rows: u32) -> Self {
        let row_blocks = raster::blocks(rows, TILE);
        Self { pairs: row_blocks / CLUSTER, odd: !row_blocks.is_multiple_of(CLUSTER) }
    }

    /// Entries of the list.
    #[inline(always)]
    fn entries(&self, col_blocks: u32) -> u64 {
        let alone = if self.odd { raster::blocks(col_blocks, CLUSTER) } else { 0 };
        u64::from(self.pairs) * u64::from(col_blocks) + u64::from(alone)
    }
}

/// Executed by: warp, converged. Posts this CTA's tiles of [`TILE`] x [`TILE_COLUMNS`], then [`Work::END`]. Those of a row block
/// without a partner are marked: a CTA copies all weights of such a tile itself.
#[inline(always)]
pub(crate) unsafe fn post_tiles(tables: &GroupTables, outbox: &mut Outbox, lane: u32) {
    let col_blocks = raster::blocks(tables.problem.n, TILE_COLUMNS);
    let clusters = u64::from(sreg::ctas() / CLUSTER);
    let mut next = u64::from(sreg::cta() / CLUSTER);
    let mut before = 0u64;
    let mut first = 0;
    while first < tables.experts {
        // SAFETY: the warp is converged, by contract; loops and branches below are warp-uniform.
        unsafe {
            let group = tables.group(first + lane);
            let entries = Pairs::of(group.rows).entries(col_blocks);
            let end = before + warp::inclusive_sum_u64(entries, lane);
            let chunk_end = warp::broadcast_u64(end, 31);
            while next < chunk_end {
                let owner = warp::ballot(end > next).trailing_zeros();
                let start = warp::broadcast_u64(end - entries, owner);
                let rows = warp::broadcast(group.rows, owner);
                let first_row = warp::broadcast(group.first_row, owner);
                // The host bounds the tiles of one group by u32::MAX.
                let index = (next - start) as u32;
                outbox.post(tile(index, rows, col_blocks, first + owner, first_row), lane);
                next += clusters;
            }
            before = chunk_end;
        }
        first += 32;
    }
    // SAFETY: the warp is converged, by contract.
    unsafe { outbox.post(Work::END, lane) }
}

/// This CTA's tile of an entry of a group.
#[inline(always)]
fn tile(index: u32, rows: u32, col_blocks: u32, expert: u32, first_row: u32) -> Work {
    let Pairs { pairs, .. } = Pairs::of(rows);
    let paired = pairs * col_blocks;
    let alone = index >= paired;
    let (row_block, col_block) = if alone {
        (pairs * CLUSTER, (index - paired) * CLUSTER + sreg::cta_rank())
    } else {
        let (pair, col_block) = raster::tile_in_panels::<PANEL>(index, pairs, col_blocks);
        (pair * CLUSTER + sreg::cta_rank(), col_block)
    };
    let above = row_block * TILE;
    let left = rows - above;
    let inside = col_block < col_blocks;
    let stored_rows = if left < TILE { left } else { TILE };
    let work = Work {
        expert,
        row: first_row + above,
        rows: TILE,
        stored_rows: if inside { stored_rows } else { 0 },
        col_block: if inside { col_block } else { col_blocks - 1 },
    };
    work.marked(alone)
}
