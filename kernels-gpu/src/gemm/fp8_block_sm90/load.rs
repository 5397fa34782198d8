//! The two service warps that fill the rings: tiles by TMA, scales by asynchronous copies.

use super::*;
use crate::ptx::cp_async;
use crate::tile::ring::Ring;
use crate::tile::scale_chunk::ScaleCopy;
use crate::tile::work::{Inbox, Work};

/// Executed by: the warp of the tensor copies, converged; one lane issues them.
#[inline(always)]
pub(super) unsafe fn tiles(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    let ahead = Ahead::guess(args);
    let once = tma::evict_first();
    // SAFETY: the warp is converged, and it started the copies ahead.
    let (mut work, mut there) = unsafe {
        let first = inbox.take(lane);
        (first, ahead.settle(smem, first))
    };
    while work.rows != 0 {
        let (alone, expert) = work.alone();
        let tokens = Tokens::of(args, work);
        let weights = Weights::of(args, work);
        let once_only = alone && !in_halves(tokens.span);
        for kb in 0..there {
            // SAFETY: the slots are free; the barriers expect exactly the bytes of the copies.
            unsafe {
                if warp::elect() {
                    mbarrier::expect(smem.tile_full(kb), tokens.bytes());
                    tokens.copy(smem, kb, kb);
                }
            }
            ring.advance();
        }
        // Late, so that the other slots are being filled meanwhile; they are free only as long as none is handed over.
        let late = if args.k_blocks < STAGES { args.k_blocks } else { STAGES } - 1;
        let mut next = Work::END;
        for kb in there..args.k_blocks {
            let slot = ring.slot();
            let full = smem.tile_full(slot);
            // SAFETY: the slot is free and holds both boxes; `full` expects exactly their bytes.
            unsafe {
                if kb == args.k_blocks - 1 {
                    // Before the wait for the last slot, which hides it.
                    next = inbox.take(lane);
                }
                mbarrier::wait(smem.tile_free(slot), ring.free_parity());
                if warp::elect() {
                    mbarrier::arrive_expect(full, weights.bytes + tokens.bytes());
                    let corner = [kb * TILE_K, weights.row, expert];
                    if once_only {
                        tma::load_3d_by(once, smem.weights(slot), weights.map, corner, full);
                    } else {
                        tma::load_3d(smem.weights(slot), weights.map, corner, full);
                    }
                    tokens.copy(smem, slot, kb);
                }
                if kb == late {
                    ahead.hand_over(smem, there);
                }
            }
            ring.advance();
        }
        work = next;
        there = 0;
    }
    leave(smem, ring);
}

/// Executed by: the warp of the tensor copies, behind its last tile. No CTA leaves while the other one may copy into it or
/// arrive on its barriers: it waits until both have left every slot.
#[inline(always)]
pub(super) fn leave(smem: Shared, mut ring: Ring<STAGES>) {
    for _ in 0..STAGES {
        // SAFETY: the barrier is initialised; a slot that was never filled counts as left.
        unsafe { mbarrier::wait(smem.tile_free(ring.slot()), ring.free_parity()) }
        ring.advance();
    }
}

/// How the weights of a tile are copied: all rows in one box.
#[derive(Clone, Copy)]
struct Weights {
    map: MapAddress,
    /// First row of the expert's.
    row: u32,
    /// Bytes that arrive in each slot.
    bytes: u32,
}

impl Weights {
    #[inline(always)]
    fn of(args: &Args, work: Work) -> Self {
        let row = work.col_block * TILE;
        if HALVES && work.is_half() {
            let right = if work.is_right() { HALF_COLUMNS } else { 0 };
            let bytes = HALF_COLUMNS * TILE_K;
            return Self { map: args.half_weights, row: row + right, bytes };
        }
        Self { map: args.weights, row, bytes: OPERAND_BYTES }
    }
}

/// Rows that each CTA copies of what a tall tile has beyond a tile.
const MORE_ROWS: u32 = (tall_tiles::TILE_TOKENS - TILE) / CLUSTER;

/// Whether each CTA of the cluster copies half of so many tokens, for both.
#[inline(always)]
const fn in_halves(span: u32) -> bool {
    !FEW && (span == TILE || (TALL && span == TILE_TOKENS))
}

/// How the tokens of a tile are copied: all rows of a small one in one box, and of a large one the half that this CTA
/// copies for both.
#[derive(Clone, Copy)]
struct Tokens {
    map: MapAddress,
    /// The map of what a tall tile has beyond a tile.
    more: MapAddress,
    /// First packed row, and the first one's row in a slot.
    row: u32,
    slot_row: u32,
    /// Rows that arrive in each slot.
    span: u32,
}

impl Tokens {
    #[inline(always)]
    fn of(args: &Args, work: Work) -> Self {
        let span = span_of(work.rows);
        let half = TILE / CLUSTER;
        let slot_row = if in_halves(span) { sreg::cta_rank() * half } else { 0 };
        let map = args.tokens.in_boxes_of(if in_halves(span) { half } else { span });
        let more = args.tokens.in_boxes_of(MORE_ROWS);
        Self { map, more, row: work.row + slot_row, slot_row, span }
    }

    /// Bytes that arrive in each slot.
    #[inline(always)]
    fn bytes(self) -> u32 {
        self.span * TILE_K
    }

    /// Executed by: one thread. Copies block `kb` to `slot`.
    #[inline(always)]
    unsafe fn copy(self, smem: Shared, slot: u32, kb: u32) {
        let target = smem.tokens(slot).at(self.slot_row * TILE_K);
        let corner = [kb * TILE_K, self.row];
        let full = smem.tile_full(slot);
        // SAFETY: the slot is free in all CTAs that the copy reaches, and their barriers expect its bytes, by contract.
        unsafe {
            if in_halves(self.span) {
                tma::load_2d_multicast(target, self.map, corner, full, ALL_CTAS);
                if TALL && self.span == TILE_TOKENS {
                    // Behind a tile; this CTA's first row is `slot_row` below the tile's.
                    let slot_row = TILE + self.slot_row / 2;
                    let target = smem.tokens(slot).at(slot_row * TILE_K);
                    let corner = [kb * TILE_K, self.row - self.slot_row + slot_row];
                    tma::load_2d_multicast(target, self.more, corner, full, ALL_CTAS);
                }
            } else {
                tma::load_2d(target, self.map, corner, full);
            }
        }
    }
}

/// Executed by: the warp of the scale copies. Lane `l` copies rows `l`, `l + 32`, ... of the tile, and the
/// first lanes the scales of the weights too, each those of a block.
#[inline(always)]
pub(super) unsafe fn scales(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<SCALE_STAGES>::new();
    let copy = ScaleCopy::new(args.scales_a, args.scales_b, args.k_blocks);
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { inbox.take(lane) };
        if work.rows == 0 {
            break;
        }
        let span = span_of(work.rows);
        let (_, expert) = work.alone();
        let mut source_a = args.scales_a + u64::from(work.row + lane) * copy.row_bytes;
        let block = if WIDE { wide::scale_block(args, work, lane) } else { work.col_block };
        let weight_block = u64::from(expert) * u64::from(args.col_blocks()) + u64::from(block);
        let mut source_b = args.scales_b + weight_block * copy.row_bytes;
        let mut kb = 0;
        while kb < args.k_blocks {
            let chunk = ring.slot();
            let words = args.k_blocks - kb;
            // SAFETY: the chunk is free; rows that are not stored are zeroed instead of read.
            unsafe {
                mbarrier::wait(smem.scales_free(chunk), ring.free_parity());
                copy.rows(smem.scales_a(chunk), source_a, lane, [work.stored_rows, span], words);
                if lane < SCALES_OF_WEIGHTS {
                    copy.row(smem.scales_b(chunk).at(lane * CHUNK_BYTES), source_b, words);
                }
                cp_async::wait_all();
                mbarrier::arrive(smem.scales_full(chunk));
            }
            source_a += u64::from(CHUNK_BYTES);
            source_b += u64::from(CHUNK_BYTES);
            kb += SCALE_CHUNK;
            ring.advance();
        }
    }
}
