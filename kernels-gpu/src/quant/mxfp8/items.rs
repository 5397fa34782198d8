//! Which items a warp quantises.
//!
//! The items of a chunk of groups are numbered in the order of the groups. A pair of an item and a column block is
//! one piece of work; the warps of the grid take them in turn, column blocks first.

use super::{TABLE, THREADS, TOTALS, WARPS};
use crate::abi::ScaledGroup;
use crate::ptx::{Smem, ldst, sreg, sync, warp};
use crate::tile::atoms::{self, Item};

/// Bytes of a group in the table: the number after its last item among the warp's groups, first row, rows, first
/// scale row.
pub(super) const ENTRY_BYTES: u32 = 4 * 4;
const ENDS: u32 = TABLE;
const FIRST_ROWS: u32 = ENDS + THREADS * 4;
const ROWS: u32 = FIRST_ROWS + THREADS * 4;
const FIRST_SCALE_ROWS: u32 = ROWS + THREADS * 4;

/// What a warp does next.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub(super) item: Item,
    /// First packed row of the group.
    pub(super) first_row: u32,
    /// Rows of the group.
    pub(super) rows: u32,
    /// First scale row of the group.
    pub(super) first_scale_row: u32,
    /// Block of 128 columns.
    pub(super) k_block: u32,
}

/// One group a thread, numbered, in shared memory.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    smem: Smem,
    /// In lane `w`, the items of the groups of warps `0..=w`; beyond the last warp, of all groups.
    ends: u64,
    /// Items of all groups.
    items: u64,
}

impl Chunk {
    /// Executed by: every thread of the CTA, with the group that it brings.
    #[inline(always)]
    pub(super) unsafe fn number(smem: Smem, scaled: ScaledGroup, thread: u32) -> Self {
        let (warp, lane) = (thread / 32, thread % 32);
        let word = |array: u32| smem.at(array + thread * 4);
        // SAFETY: every thread writes its own entry, and all meet before anyone reads.
        unsafe {
            // A group has at most 2^26 items, so those of a warp fit.
            let end = warp::inclusive_sum(atoms::count(scaled.group.rows), lane);
            ldst::store_shared_u32(word(ENDS), end);
            ldst::store_shared_u32(word(FIRST_ROWS), scaled.group.first_row);
            ldst::store_shared_u32(word(ROWS), scaled.group.rows);
            ldst::store_shared_u32(word(FIRST_SCALE_ROWS), scaled.first_scale_row);
            if lane == 31 {
                ldst::store_shared_u32(smem.at(TOTALS + warp * 4), end);
            }
            sync::cta_sync();
            let (mut ends, mut items) = (0, 0);
            let mut other = 0;
            while other < WARPS {
                let totals = ldst::load_shared_u32x4(smem.at(TOTALS + other * 4));
                let mut i = 0;
                while i < 4 {
                    items += u64::from(totals[i as usize]);
                    if other + i <= lane {
                        ends = items;
                    }
                    i += 1;
                }
                other += 4;
            }
            Self { smem, ends, items }
        }
    }

    /// Executed by: warp, converged. Item `index`, which is below `items`, and its group.
    #[inline(always)]
    unsafe fn find(&self, index: u64, k_block: u32, lane: u32) -> Work {
        // SAFETY: the table is complete; the warp is converged, by contract.
        unsafe {
            let warp = warp::ballot(self.ends > index).trailing_zeros();
            let before = if warp == 0 { 0 } else { warp::broadcast_u64(self.ends, warp - 1) };
            let inside = (index - before) as u32;
            let end = ldst::load_shared_u32(self.smem.at(ENDS + (warp * 32 + lane) * 4));
            let owner = warp::ballot(end > inside).trailing_zeros();
            let end = warp::broadcast(end, owner);
            let word =
                |array: u32| ldst::load_shared_u32(self.smem.at(array + (warp * 32 + owner) * 4));
            let rows = word(ROWS);
            Work {
                item: atoms::item(atoms::count(rows) - (end - inside), rows),
                first_row: word(FIRST_ROWS),
                rows,
                first_scale_row: word(FIRST_SCALE_ROWS),
                k_block,
            }
        }
    }
}

/// A warp's way through the work of all chunks.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// Column blocks of a row.
    k_blocks: u32,
    /// Item of the current chunk, and column block.
    item: u64,
    k_block: u32,
    /// The way from one piece of work to the warp's next.
    item_stride: u64,
    k_block_stride: u32,
}

impl Walk {
    /// `first` is the warp's number in the grid.
    #[inline(always)]
    pub(super) fn new(k_blocks: u32, first: u32) -> Self {
        let split = |pieces: u32| {
            let items = pieces.checked_div(k_blocks).unwrap_or(0);
            (u64::from(items), pieces - items * k_blocks)
        };
        let (item, k_block) = split(first);
        let (item_stride, k_block_stride) = split(sreg::ctas() * WARPS);
        Self { k_blocks, item, k_block, item_stride, k_block_stride }
    }

    /// Executed by: warp, converged. The next piece of work in the chunk, if there is one.
    #[inline(always)]
    pub(super) unsafe fn next(&mut self, chunk: &Chunk, lane: u32) -> Option<Work> {
        if self.item >= chunk.items {
            return None;
        }
        // SAFETY: the item is one of the chunk's, and the warp is converged, by contract.
        let work = unsafe { chunk.find(self.item, self.k_block, lane) };
        self.item += self.item_stride;
        self.k_block += self.k_block_stride;
        if self.k_block >= self.k_blocks {
            self.k_block -= self.k_blocks;
            self.item += 1;
        }
        Some(work)
    }

    /// Goes on to the next chunk.
    #[inline(always)]
    pub(super) fn leave(&mut self, chunk: &Chunk) {
        self.item -= chunk.items;
    }
}
