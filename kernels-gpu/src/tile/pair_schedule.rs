//! Which tiles the CTAs of a cluster of two compute when they share weights.
//!
//! An entry of the list is two row blocks, one above the other, of a column block: a tile for each CTA. Where an expert has an
//! odd number of row blocks, the last one's entries are two column blocks: then the CTAs share nothing. If that row block is a
//! short one, so are its tiles, and their entries are numbered apart.
//!
//! Tiles of a kind take the same time. Every cluster takes each entry whose index is its own modulo the number of clusters, of the
//! short ones counted from the other end: so clusters keep pace by themselves, whichever experts the short ones are of.

use super::raster;
use super::schedule::GroupTables;
use super::work::{Outbox, Work};
use crate::abi::fp8_block::wide::{SHORT, TILE_COLUMNS};
use crate::abi::fp8_block::{CLUSTER, TILE};
use crate::ptx::{sreg, warp};

/// Largest height of a panel, in pairs of row blocks: as many rows as [`raster::PANEL`] has.
const PANEL: u32 = raster::PANEL / CLUSTER;

/// How the tiles of a group are paired.
struct Pairs {
    /// Pairs of row blocks.
    pairs: u32,
    /// Whether there is a row block more.
    odd: bool,
    /// Whether that is a short one.
    short: bool,
}

impl Pairs {
    #[inline(always)]
    fn of(rows: u32) -> Self {
        let row_blocks = raster::blocks(rows, TILE);
        let odd = !row_blocks.is_multiple_of(CLUSTER);
        let last = rows % TILE;
        Self { pairs: row_blocks / CLUSTER, odd, short: odd & (last != 0) & (last <= SHORT) }
    }

    /// Entries of whole tiles, and of short ones. The host bounds the tiles of one group by `u32::MAX`.
    #[inline(always)]
    fn entries(&self, col_blocks: u32) -> [u32; 2] {
        let paired = self.pairs * col_blocks;
        let alone = if self.odd { raster::blocks(col_blocks, CLUSTER) } else { 0 };
        if self.short { [paired, alone] } else { [paired + alone, 0] }
    }
}

/// Executed by: warp, converged. Posts this CTA's tiles of [`TILE`] x [`TILE_COLUMNS`] and of [`SHORT`], then [`Work::END`]. Those of
/// a row block without a partner are marked: a CTA copies all weights of such a tile itself.
#[inline(always)]
pub(crate) unsafe fn post_tiles(tables: &GroupTables, outbox: &mut Outbox, lane: u32) {
    let col_blocks = raster::blocks(tables.problem.n, TILE_COLUMNS);
    let clusters = sreg::ctas() / CLUSTER;
    let own = sreg::cta() / CLUSTER;
    // Entries from the group's first to the cluster's next.
    let [mut next_whole, mut next_short] = [own, clusters - 1 - own];
    let mut first = 0;
    while first < tables.experts {
        // SAFETY: the warp is converged, by contract; loops and branches below are warp-uniform.
        unsafe {
            let groups = tables.group(first + lane);
            let mut left = warp::ballot(groups.rows != 0);
            while left != 0 {
                let owner = left.trailing_zeros();
                left &= left - 1;
                let group = Group {
                    expert: first + owner,
                    rows: warp::broadcast(groups.rows, owner),
                    first_row: warp::broadcast(groups.first_row, owner),
                    col_blocks,
                };
                let [whole, short] = Pairs::of(group.rows).entries(col_blocks);
                while next_whole < whole {
                    outbox.post(group.whole_tile(next_whole), lane);
                    next_whole += clusters;
                }
                while next_short < short {
                    outbox.post(group.short_tile(next_short), lane);
                    next_short += clusters;
                }
                next_whole -= whole;
                next_short -= short;
            }
        }
        first += 32;
    }
    // SAFETY: the warp is converged, by contract.
    unsafe { outbox.post(Work::END, lane) }
}

/// The rows of an expert, at least one.
struct Group {
    expert: u32,
    rows: u32,
    first_row: u32,
    /// Column blocks of the output.
    col_blocks: u32,
}

impl Group {
    /// This CTA's tile of an entry of whole tiles.
    #[inline(always)]
    fn whole_tile(&self, index: u32) -> Work {
        let Pairs { pairs, .. } = Pairs::of(self.rows);
        let paired = pairs * self.col_blocks;
        if index >= paired {
            return self.tile_alone(index - paired, TILE);
        }
        // No division by 0, even where the compiler computes a quotient ahead of the branch.
        let height = if pairs == 0 { 1 } else { pairs };
        let (pair, col_block) = raster::tile_in_panels::<PANEL>(index, height, self.col_blocks);
        self.tile(pair * CLUSTER + sreg::cta_rank(), col_block, TILE)
    }

    /// This CTA's tile of an entry of short ones.
    #[inline(always)]
    fn short_tile(&self, index: u32) -> Work {
        self.tile_alone(index, SHORT)
    }

    /// This CTA's tile of an entry of a row block without a partner.
    #[inline(always)]
    fn tile_alone(&self, index: u32, height: u32) -> Work {
        let Pairs { pairs, .. } = Pairs::of(self.rows);
        self.tile(pairs * CLUSTER, index * CLUSTER + sreg::cta_rank(), height).marked(true)
    }

    #[inline(always)]
    fn tile(&self, row_block: u32, col_block: u32, height: u32) -> Work {
        let above = row_block * TILE;
        let left = self.rows - above;
        let inside = col_block < self.col_blocks;
        let stored_rows = if left < TILE { left } else { TILE };
        Work {
            expert: self.expert,
            row: self.first_row + above,
            rows: height,
            stored_rows: if inside { stored_rows } else { 0 },
            col_block: if inside { col_block } else { self.col_blocks - 1 },
        }
    }
}
