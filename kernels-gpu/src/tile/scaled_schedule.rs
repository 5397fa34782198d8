//! Which tiles a CTA computes where rows have block scales and tiles are as high as their expert needs.
//!
//! As in [`super::schedule`], all groups' tiles stand in one list, the CTAs of a cluster take neighbours along the
//! columns, and one warp walks the tables with a lane for each group.

use super::raster;
use super::scaled_tables::ScaledTables;
use super::schedule;
use super::tail::Tail;
use super::token_tiles;
use super::work::{Inbox, Outbox, Work};
use crate::ptx::{sreg, warp};

/// Bits of the expert in a slot; the rows, at most [`token_tiles::MAX`], take the other nine.
const EXPERT_BITS: u32 = 23;
const _: () = assert!(token_tiles::MAX >> (32 - EXPERT_BITS) == 0);

/// One tile of the output.
#[derive(Clone, Copy)]
pub(crate) struct ScaledWork {
    /// Expert, the index of its weights.
    pub(crate) expert: u32,
    /// First packed row.
    pub(crate) row: u32,
    /// Rows of the tile that belong to the expert. 0 ends the list.
    pub(crate) rows: u32,
    /// Column block.
    pub(crate) col_block: u32,
    /// Whether to store the tile, or only to keep the cluster company.
    pub(crate) stored: bool,
    /// Whether to compute as many rows as the expert's other tiles have, and store its own: see [`super::schedule`].
    pub(crate) in_step: bool,
    /// Whether the tile has all rows of its expert, so that nobody else multiplies these weights.
    pub(crate) alone: bool,
    /// Scale row of the first row.
    pub(crate) scale_row: u32,
}

impl ScaledWork {
    /// Ends the list.
    const END: Self = Self {
        expert: 0,
        row: 0,
        rows: 0,
        col_block: 0,
        stored: false,
        in_step: false,
        alone: false,
        scale_row: 0,
    };

    /// Where the marks stand beside the column block.
    const STORED: u32 = 1 << 31;
    const IN_STEP: u32 = 1 << 30;
    const ALONE: u32 = 1 << 29;

    /// The item in the four words of a [`Work`]: its rows go with the expert, the scale row takes the place of its
    /// two numbers of rows.
    #[inline(always)]
    const fn packed(self) -> Work {
        Work {
            expert: self.expert | self.rows << EXPERT_BITS,
            row: self.row,
            rows: self.scale_row & 0xFFFF,
            stored_rows: self.scale_row >> 16,
            col_block: self.col_block
                | self.stored as u32 * Self::STORED
                | self.in_step as u32 * Self::IN_STEP
                | self.alone as u32 * Self::ALONE,
        }
    }

    /// Executed by: warp, converged.
    #[inline(always)]
    pub(crate) unsafe fn take(inbox: &mut Inbox, lane: u32) -> Self {
        // SAFETY: as the caller's.
        let packed = unsafe { inbox.take(lane) };
        Self {
            expert: packed.expert & ((1 << EXPERT_BITS) - 1),
            row: packed.row,
            rows: packed.expert >> EXPERT_BITS,
            col_block: packed.col_block & !(Self::STORED | Self::IN_STEP | Self::ALONE),
            stored: packed.col_block & Self::STORED != 0,
            in_step: packed.col_block & Self::IN_STEP != 0,
            alone: packed.col_block & Self::ALONE != 0,
            scale_row: packed.rows | packed.stored_rows << 16,
        }
    }
}

/// How the rows of an expert are cut into tiles.
pub(crate) trait RowTiles: Copy {
    /// In how many tiles one of the last wave may be cut; see [`super::tail`].
    const TAIL_PARTS: u32 = 1;
    /// Of 32 experts, those with more rows than this come first: of tiles that take long, none should begin last.
    const FIRST_ABOVE: Option<u32> = None;

    /// Rows from one tile's first row to the next one's, for an expert of `rows` rows, not 0.
    fn height(self, rows: u32) -> u32;

    /// Number of tiles of an expert.
    #[inline(always)]
    fn count(self, rows: u32) -> u32 {
        raster::blocks(rows, self.height(rows))
    }

    /// The first of `experts` experts of which large ones come first. Among others, tiles that wait for memory and tiles that
    /// compute stay mixed.
    #[inline(always)]
    fn ordered_from(self, _: u32) -> u32 {
        0
    }

    /// Whether an expert's last tile keeps pace with the others where its weights are large: see [`super::schedule`].
    #[inline(always)]
    fn in_step(self) -> bool {
        false
    }
}

/// Where the tiles of a lane's expert lie in the list of all.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// Executed by: warp, converged. Those of 32 experts with `tiles` each, behind `before` others; and the end of all.
    #[inline(always)]
    unsafe fn in_order(before: u64, tiles: u64, lane: u32) -> (Self, u64) {
        // SAFETY: the warp is converged, by contract.
        unsafe {
            let end = before + warp::inclusive_sum_u64(tiles, lane);
            (Self { start: end - tiles, end }, warp::broadcast_u64(end, 31))
        }
    }

    /// Executed by: warp, converged. The same with those of some experts in front.
    #[inline(always)]
    unsafe fn some_first(before: u64, tiles: u64, is_first: bool, lane: u32) -> (Self, u64) {
        let early = if is_first { tiles } else { 0 };
        // SAFETY: the warp is converged, by contract.
        unsafe {
            let first_end = before + warp::inclusive_sum_u64(early, lane);
            let others = warp::broadcast_u64(first_end, 31);
            let other_end = others + warp::inclusive_sum_u64(tiles - early, lane);
            let end = if is_first { first_end } else { other_end };
            (Self { start: end - tiles, end }, warp::broadcast_u64(other_end, 31))
        }
    }

    /// Executed by: warp, converged. The lane whose expert has the tile, which is one of theirs.
    #[inline(always)]
    unsafe fn owner(self, tile: u64) -> u32 {
        // SAFETY: the warp is converged, by contract.
        unsafe { warp::ballot(self.start <= tile && tile < self.end).trailing_zeros() }
    }
}

/// Executed by: warp, converged. Number of tiles of all experts.
#[inline(always)]
unsafe fn total_tiles<T: RowTiles>(
    tables: &ScaledTables,
    row_tiles: T,
    entry_cols: u32,
    lane: u32,
) -> u64 {
    let mut own = 0;
    let mut expert = lane;
    while expert < tables.experts {
        sreg::stay_a_loop();
        // SAFETY: the expert exists.
        let rows = unsafe { tables.group(expert).group.rows };
        own += u64::from(row_tiles.count(rows)) * u64::from(entry_cols);
        expert += 32;
    }
    // SAFETY: the warp is converged, by contract.
    unsafe { warp::broadcast_u64(warp::inclusive_sum_u64(own, lane), 31) }
}

/// Executed by: warp, converged. Posts this CTA's tiles, `TILE_N` columns wide, then [`ScaledWork::END`].
/// All CTAs of a cluster post the same number of items, with the same rows.
#[inline(always)]
pub(crate) unsafe fn post_tiles<T: RowTiles, const TILE_N: u32, const CLUSTER: u32>(
    tables: &ScaledTables,
    row_tiles: T,
    outbox: &mut Outbox,
    lane: u32,
) {
    let col_blocks = raster::blocks(tables.problem.problem.n, TILE_N);
    let entry_cols = raster::blocks(col_blocks, CLUSTER);
    let in_step = row_tiles.in_step() && schedule::in_step(&tables.problem.problem);
    let ordered_from = row_tiles.ordered_from(tables.experts);
    let clusters = sreg::ctas() / CLUSTER;
    let mut next = u64::from(sreg::cta() / CLUSTER);
    let mut tail = Tail::NONE;
    let mut unknown = T::TAIL_PARTS > 1;
    let mut before = 0u64;
    let mut first = 0;
    while first < tables.experts {
        // SAFETY: the warp is converged, by contract; loops and branches below are warp-uniform.
        unsafe {
            let scaled = tables.group(first + lane);
            let group = scaled.group;
            let tiles = u64::from(row_tiles.count(group.rows)) * u64::from(entry_cols);
            let (span, chunk_end) = match T::FIRST_ABOVE {
                Some(rows) => {
                    let is_first = group.rows > rows && first >= ordered_from;
                    Span::some_first(before, tiles, is_first, lane)
                }
                None => Span::in_order(before, tiles, lane),
            };
            loop {
                let (tile, part) = tail.tile(next);
                if tile >= chunk_end {
                    break;
                }
                let owner = span.owner(tile);
                let start = warp::broadcast_u64(span.start, owner);
                let rows = warp::broadcast(group.rows, owner);
                let first_row = warp::broadcast(group.first_row, owner);
                let first_scale_row = warp::broadcast(scaled.first_scale_row, owner);
                // The host bounds the tiles of one group by u32::MAX, of 128 x 128; a kernel with lower ones is chosen for few rows.
                let index = (tile - start) as u32;
                let (row_block, entry_col) = raster::tile(index, row_tiles.count(rows), entry_cols);
                let whole = row_tiles.height(rows);
                let cut = tail.reached(next);
                let height = if cut { whole / tail.parts } else { whole };
                let above = row_block * whole + part * height;
                let left = rows.saturating_sub(above);
                let col_block = entry_col * CLUSTER + sreg::cta_rank();
                let stored = col_block < col_blocks;
                let work = ScaledWork {
                    expert: first + owner,
                    row: first_row + above,
                    rows: if left < height { left } else { height },
                    col_block: if stored { col_block } else { col_blocks - 1 },
                    stored,
                    in_step: in_step && rows > whole && !cut,
                    alone: rows <= whole && !cut,
                    scale_row: first_scale_row + above,
                };
                if T::TAIL_PARTS == 1 || left > 0 {
                    outbox.post(work.packed(), lane);
                }
                next += u64::from(clusters);
                if unknown && next >= u64::from(clusters) * Tail::WAVES_BEFORE {
                    // Nobody waits for this: the ring holds work.
                    unknown = false;
                    let tiles = total_tiles(tables, row_tiles, entry_cols, lane);
                    tail = Tail::new(tiles, clusters);
                }
            }
            before = chunk_end;
        }
        first += 32;
    }
    // SAFETY: the warp is converged, by contract.
    unsafe { outbox.post(ScaledWork::END.packed(), lane) }
}
