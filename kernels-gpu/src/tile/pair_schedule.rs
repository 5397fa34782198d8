//! Which tiles the CTAs of a cluster of two compute when they share weights.
//!
//! An entry of the list is two row blocks, one above the other, of a column block: a tile for each CTA. Where an expert has an
//! odd number of row blocks, the last one's entries are two column blocks: then the CTAs share nothing.
//!
//! Some tiles are half ones: of a last row block without a partner that is short, and of a last column block that is narrow, where
//! row blocks are paired. Their entries are numbered apart. Tiles of a kind take the same time, and every cluster takes each entry
//! whose index is its own modulo the number of clusters, of half ones counted from the other end: so clusters keep pace by
//! themselves, whichever experts the half ones are of.

use super::raster;
use super::schedule::{Entry, GroupTables};
use super::work::{Outbox, Work};
use crate::abi::fp8_block::wide::{NARROW, SHORT, TILE_COLUMNS};
use crate::abi::fp8_block::{CLUSTER, TILE};
use crate::ptx::{sreg, warp};

/// Largest height of a panel, in pairs of row blocks: as many rows as [`raster::PANEL`] has.
const PANEL: u32 = raster::PANEL / CLUSTER;

/// Column blocks of the output.
#[derive(Clone, Copy)]
struct Columns {
    /// Of all, and of those that are not narrow.
    blocks: u32,
    wide: u32,
}

impl Columns {
    #[inline(always)]
    fn of(n: u32) -> Self {
        let blocks = raster::blocks(n, TILE_COLUMNS);
        let last = n % TILE_COLUMNS;
        let narrow = (last != 0) & (last <= NARROW);
        Self { blocks, wide: blocks - narrow as u32 }
    }

    /// Entries of a row block without a partner.
    #[inline(always)]
    const fn side_by_side(self) -> u32 {
        raster::blocks(self.blocks, CLUSTER)
    }
}

/// How the row blocks of a group are paired.
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

    /// Entries of whole tiles, and of half ones. The host bounds the tiles of one group by `u32::MAX`.
    #[inline(always)]
    fn entries(&self, columns: Columns) -> [u32; 2] {
        let whole = self.pairs * columns.wide;
        let half = self.pairs * (columns.blocks - columns.wide);
        let alone = if self.odd { columns.side_by_side() } else { 0 };
        if self.short { [whole, half + alone] } else { [whole + alone, half] }
    }
}

/// Executed by: warp, converged. Posts this CTA's tiles of [`TILE`] or [`SHORT`] x [`TILE_COLUMNS`], then [`Work::END`]. `entry` is that of the lane's
/// first expert, `lane`. Half ones are marked, and those of a row block without a partner: a CTA copies all weights of such a tile itself.
#[inline(always)]
pub(crate) unsafe fn post_tiles(
    tables: &GroupTables,
    mut entry: Entry,
    outbox: &mut Outbox,
    lane: u32,
) {
    let columns = Columns::of(tables.problem.n);
    let clusters = sreg::ctas() / CLUSTER;
    let own = sreg::cta() / CLUSTER;
    // Entries from the group's first to the cluster's next.
    let [mut next_whole, mut next_half] = [own, clusters - 1 - own];
    let mut first = 0;
    while first < tables.experts {
        // SAFETY: the warp is converged, by contract; loops and branches below are warp-uniform.
        unsafe {
            let groups = tables.judge(entry);
            let mut left = warp::ballot(groups.rows != 0);
            while left != 0 {
                let owner = left.trailing_zeros();
                left &= left - 1;
                let group = Group {
                    expert: first + owner,
                    rows: warp::broadcast(groups.rows, owner),
                    first_row: warp::broadcast(groups.first_row, owner),
                    columns,
                };
                let [whole, half] = Pairs::of(group.rows).entries(columns);
                while next_whole < whole {
                    outbox.post(group.whole_tile(next_whole), lane);
                    next_whole += clusters;
                }
                while next_half < half {
                    outbox.post(group.half_tile(next_half), lane);
                    next_half += clusters;
                }
                next_whole -= whole;
                next_half -= half;
            }
            first += 32;
            entry = tables.entry(first + lane);
        }
    }
    // SAFETY: the warp is converged, by contract.
    unsafe { outbox.post(Work::END, lane) }
}

/// The rows of an expert, at least one.
struct Group {
    expert: u32,
    rows: u32,
    first_row: u32,
    columns: Columns,
}

impl Group {
    /// This CTA's tile of an entry of whole tiles.
    #[inline(always)]
    fn whole_tile(&self, index: u32) -> Work {
        let Pairs { pairs, .. } = Pairs::of(self.rows);
        let paired = pairs * self.columns.wide;
        if index >= paired {
            return self.tile_alone(index - paired, TILE);
        }
        // No division by 0, even where the compiler computes a quotient ahead of the branch.
        let height = if pairs == 0 { 1 } else { pairs };
        let (pair, col_block) = raster::tile_in_panels::<PANEL>(index, height, self.columns.wide);
        self.paired_tile(pair, col_block)
    }

    /// This CTA's tile of an entry of half ones.
    #[inline(always)]
    fn half_tile(&self, index: u32) -> Work {
        let Pairs { pairs, .. } = Pairs::of(self.rows);
        let paired = pairs * (self.columns.blocks - self.columns.wide);
        let tile = if index < paired {
            self.paired_tile(index, self.columns.wide)
        } else {
            self.tile_alone(index - paired, SHORT)
        };
        tile.halved()
    }

    /// This CTA's tile of an entry of two row blocks.
    #[inline(always)]
    fn paired_tile(&self, pair: u32, col_block: u32) -> Work {
        self.tile(pair * CLUSTER + sreg::cta_rank(), col_block, TILE)
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
        let inside = col_block < self.columns.blocks;
        let stored_rows = if left < TILE { left } else { TILE };
        Work {
            expert: self.expert,
            row: self.first_row + above,
            rows: height,
            stored_rows: if inside { stored_rows } else { 0 },
            col_block: if inside { col_block } else { self.columns.blocks - 1 },
        }
    }
}
