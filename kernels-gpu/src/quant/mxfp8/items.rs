//! Which items a warp quantises.
//!
//! The items of a chunk of groups are numbered in the order of the groups. A pair of an item and a column block is
//! one piece of work; the warps of the grid take them in turn, column blocks first.

use super::{TABLE, THREADS, TOTALS, WARPS};
use crate::abi::ScaledGroup;
use crate::ptx::{Smem, ldst, sreg, sync, warp};
use crate::tile::atoms::{self, Item};

/// Bytes of a group in the table: the number after its last item (8), first row, rows, first scale row.
pub(super) const ENTRY_BYTES: u32 = 8 + 3 * 4;
const ENDS: u32 = TABLE;
const FIRST_ROWS: u32 = ENDS + THREADS * 8;
const ROWS: u32 = FIRST_ROWS + THREADS * 4;
const FIRST_SCALE_ROWS: u32 = ROWS + THREADS * 4;

/// Groups that a lane stands for in the first look of a search; the second look is at one span.
const SPAN: u32 = THREADS / 32;

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
    /// Items of all groups.
    items: u64,
}

impl Chunk {
    /// Executed by: every thread of the CTA, with the group that it brings.
    #[inline(always)]
    pub(super) unsafe fn number(smem: Smem, scaled: ScaledGroup, thread: u32) -> Self {
        let (warp, lane) = (thread / 32, thread % 32);
        let own = u64::from(atoms::count(scaled.group.rows));
        // SAFETY: every thread writes its own entry, and all meet before anyone reads.
        unsafe {
            let inside = warp::inclusive_sum_u64(own, lane);
            if lane == 31 {
                ldst::store_shared_u64(smem.at(TOTALS + warp * 8), inside);
            }
            ldst::store_shared_u32(smem.at(FIRST_ROWS + thread * 4), scaled.group.first_row);
            ldst::store_shared_u32(smem.at(ROWS + thread * 4), scaled.group.rows);
            ldst::store_shared_u32(smem.at(FIRST_SCALE_ROWS + thread * 4), scaled.first_scale_row);
            sync::cta_sync();
            let total =
                if lane < WARPS { ldst::load_shared_u64(smem.at(TOTALS + lane * 8)) } else { 0 };
            let totals = warp::inclusive_sum_u64(total, lane);
            let before = warp::broadcast_u64(totals - total, warp);
            ldst::store_shared_u64(smem.at(ENDS + thread * 8), before + inside);
            sync::cta_sync();
            Self { smem, items: warp::broadcast_u64(totals, 31) }
        }
    }

    /// Executed by: warp, converged. The group that holds item `index`, which is below `items`.
    #[inline(always)]
    unsafe fn owner(&self, index: u64, lane: u32) -> u32 {
        // SAFETY: the table is complete; the warp is converged, by contract.
        unsafe {
            let last = ldst::load_shared_u64(self.smem.at(ENDS + (lane * SPAN + SPAN - 1) * 8));
            let span = warp::ballot(last > index).trailing_zeros() * SPAN;
            let end = ldst::load_shared_u64(self.smem.at(ENDS + (span + lane % SPAN) * 8));
            span + warp::ballot(end > index).trailing_zeros()
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
        let work = unsafe {
            let owner = chunk.owner(self.item, lane);
            let word = |array: u32| ldst::load_shared_u32(chunk.smem.at(array + owner * 4));
            let rows = word(ROWS);
            let end = ldst::load_shared_u64(chunk.smem.at(ENDS + owner * 8));
            // A group has fewer than 2^26 items.
            let index = atoms::count(rows) - (end - self.item) as u32;
            Work {
                item: atoms::item(index, rows),
                first_row: word(FIRST_ROWS),
                rows,
                first_scale_row: word(FIRST_SCALE_ROWS),
                k_block: self.k_block,
            }
        };
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
