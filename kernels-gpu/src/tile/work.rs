//! Work items, and the ring in shared memory through which one warp hands them to all others.

use super::ring::Ring;
use crate::ptx::{Smem, ldst, mbarrier, warp};

/// Slots of the ring.
pub(crate) const DEPTH: u32 = 4;
/// Bytes of one slot.
pub(crate) const SLOT_BYTES: u32 = 16;

/// One tile of the output.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// Expert, the index of its weights; with the marks of [`Work::marked`], [`Work::halved`] and [`Work::half_of`] if it has any.
    pub(crate) expert: u32,
    /// First packed row.
    pub(crate) row: u32,
    /// Rows to compute, at most the tile's height: those that belong to the expert, or more. 0 ends the list.
    pub(crate) rows: u32,
    /// Rows to store: those that belong to the expert, or 0 for a CTA that only keeps its cluster company.
    pub(crate) stored_rows: u32,
    /// Column block.
    pub(crate) col_block: u32,
}

impl Work {
    /// Ends the list.
    pub(crate) const END: Self = Self { expert: 0, row: 0, rows: 0, stored_rows: 0, col_block: 0 };

    /// The mark of an expert whose weights no other tile has, that of a tile which its kernel computes as half of one, and that of the
    /// right half.
    const ALONE: u32 = 1 << 31;
    const HALF: u32 = 1 << 30;
    const RIGHT: u32 = 1 << 29;

    /// The item, marked if no other tile has the same weights. Its expert is below 2^29: no memory holds the weights of more.
    #[inline(always)]
    pub(crate) const fn marked(self, alone: bool) -> Self {
        Self { expert: self.expert | alone as u32 * Self::ALONE, ..self }
    }

    /// Whether the item is marked so, and its expert without marks.
    #[inline(always)]
    pub(crate) const fn alone(self) -> (bool, u32) {
        (self.expert & Self::ALONE != 0, self.expert & !(Self::ALONE | Self::HALF | Self::RIGHT))
    }

    /// The item, marked as half a tile. The same bound holds.
    #[inline(always)]
    pub(crate) const fn halved(self) -> Self {
        Self { expert: self.expert | Self::HALF, ..self }
    }

    /// The item, marked as the left or the right half of its columns.
    #[inline(always)]
    pub(crate) const fn half_of(self, right: bool) -> Self {
        let half = self.halved();
        Self { expert: half.expert | right as u32 * Self::RIGHT, ..half }
    }

    /// Whether the item is marked as half a tile.
    #[inline(always)]
    pub(crate) const fn is_half(self) -> bool {
        self.expert & Self::HALF != 0
    }

    /// Whether it is marked as the right half.
    #[inline(always)]
    pub(crate) const fn is_right(self) -> bool {
        self.expert & Self::RIGHT != 0
    }
}

/// Where the ring lives in shared memory.
#[derive(Clone, Copy)]
pub(crate) struct Board {
    /// `DEPTH` slots of `SLOT_BYTES`.
    pub(crate) slots: Smem,
    /// `DEPTH` barriers, one arrival each: the slot holds an item.
    pub(crate) posted: Smem,
    /// `DEPTH` barriers, one arrival per reading warp: the slot may be overwritten.
    pub(crate) taken: Smem,
}

impl Board {
    /// Executed by: one thread, before the barrier of the CTA that precedes any use. `readers` warps read the ring.
    #[inline(always)]
    pub(crate) unsafe fn init(self, readers: u32) {
        for slot in 0..DEPTH {
            // SAFETY: nobody uses the barriers yet, by contract.
            unsafe {
                mbarrier::init(self.posted.at(slot * 8), 1);
                mbarrier::init(self.taken.at(slot * 8), readers);
            }
        }
    }
}

/// The writing end.
pub(crate) struct Outbox {
    board: Board,
    ring: Ring<DEPTH>,
}

impl Outbox {
    #[inline(always)]
    pub(crate) const fn new(board: Board) -> Self {
        Self { board, ring: Ring::new() }
    }

    /// Executed by: warp, converged; one warp of the CTA.
    #[inline(always)]
    pub(crate) unsafe fn post(&mut self, work: Work, lane: u32) {
        let slot = self.ring.slot();
        // SAFETY: the barriers are initialised; after `taken` every reader is done with the slot.
        unsafe {
            mbarrier::wait(self.board.taken.at(slot * 8), self.ring.free_parity());
            if lane == 0 {
                let Work { expert, row, rows, stored_rows, col_block } = work;
                let address = self.board.slots.at(slot * SLOT_BYTES);
                let both_rows = rows | stored_rows << 16;
                ldst::store_shared_u32x4(address, [expert, row, both_rows, col_block]);
                mbarrier::arrive(self.board.posted.at(slot * 8));
            }
            warp::sync();
        }
        self.ring.advance();
    }
}

/// A reading end; every reading warp has its own.
pub(crate) struct Inbox {
    board: Board,
    ring: Ring<DEPTH>,
}

impl Inbox {
    #[inline(always)]
    pub(crate) const fn new(board: Board) -> Self {
        Self { board, ring: Ring::new() }
    }

    /// Executed by: warp, converged.
    #[inline(always)]
    pub(crate) unsafe fn take(&mut self, lane: u32) -> Work {
        let slot = self.ring.slot();
        // SAFETY: the barriers are initialised; after `posted` the slot holds an item.
        let [expert, row, both_rows, col_block] = unsafe {
            mbarrier::wait(self.board.posted.at(slot * 8), self.ring.parity());
            let item = ldst::load_shared_u32x4(self.board.slots.at(slot * SLOT_BYTES));
            warp::sync();
            if lane == 0 {
                mbarrier::arrive(self.board.taken.at(slot * 8));
            }
            item
        };
        self.ring.advance();
        Work { expert, row, rows: both_rows & 0xFFFF, stored_rows: both_rows >> 16, col_block }
    }
}
