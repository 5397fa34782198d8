//! The service warp that brings scales, and decides how each block is multiplied.
//!
//! Lane `l` has line `l` of each atom: rows `l`, `l + 32`, `l + 64` and `l + 96`, a word each.

use super::*;
use crate::ptx::{cp_async, simd};
use crate::tile::f16_frame::{self, Frame, Range};
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// How a block is multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The binary32 bits of the unit of the sums.
    pub(super) unit: u32,
    /// 1 in f16: scales are stored as exponent fields. 0 in bf16: they are stored as they are.
    pub(super) f16: u32,
}

impl Verdict {
    /// Executed by: any thread. Waits for the block's scales.
    #[inline(always)]
    pub(super) unsafe fn await_next(smem: Shared, ring: &Ring<SCALE_STAGES>) -> Self {
        let slot = ring.slot();
        // SAFETY: the barrier is initialised; after it the slot is written.
        let both = unsafe {
            mbarrier::wait(smem.scales_full(slot), ring.parity());
            ldst::load_shared_u64(smem.scales(slot).at(VERDICT))
        };
        Self { unit: both as u32, f16: (both >> 32) as u32 }
    }

    #[inline(always)]
    const fn packed(self) -> u64 {
        self.unit as u64 | (self.f16 as u64) << 32
    }
}

/// Executed by: one warp.
#[inline(always)]
pub(super) unsafe fn bring(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<SCALE_STAGES>::new();
    loop {
        // SAFETY: the warp is converged here; the tile's rows and columns lie inside the tensors.
        unsafe {
            let work = ScaledWork::take(&mut inbox, lane);
            if work.rows == 0 {
                break;
            }
            tile(args, smem, &mut ring, work, lane);
        }
    }
}

/// Blocks whose scales are on their way while one is looked at.
const AHEAD: u32 = 4;
const _: () = assert!(AHEAD < SCALE_STAGES);

/// Executed by: warp, converged.
#[inline(always)]
unsafe fn tile(
    args: &Args,
    smem: Shared,
    ring: &mut Ring<SCALE_STAGES>,
    work: ScaledWork,
    lane: u32,
) {
    let mut copies =
        Copies { ring: *ring, sources: sources(args, work, lane), left: args.k_blocks };
    // Rows of the atom that are the tile's. (Those before it are far above the number after the subtraction.)
    let first = work.scale_row % scale_atoms::ROWS;
    let own = |row: u32| row.wrapping_sub(first) < work.rows;
    let valid = [0, 32, 64, 96].map(|above| if own(lane + above) { ALL_BYTES } else { 0 });
    let mut frame = Frame::NONE;
    // SAFETY: the tile's blocks lie inside the tensors; a lane's lines have landed after its own wait.
    unsafe {
        for _ in 0..AHEAD {
            copies.start(smem, lane);
        }
        for _ in 0..args.k_blocks {
            copies.start(smem, lane);
            cp_async::wait::<{ AHEAD }>();
            let slot = ring.slot();
            let target = smem.scales(slot).at(lane * 16);
            let first = ldst::load_shared_u32x4(target);
            let second = ldst::load_shared_u32x4(target.at(scale_atoms::BYTES));
            let tokens = ldst::load_shared_u32x4(target.at(TOKEN_ATOM));

            let mut of_weights = Extremes::NONE;
            let mut of_tokens = Extremes::NONE;
            let mut i = 0;
            while i < 4 {
                of_weights.note(first[i], ALL_BYTES);
                of_weights.note(second[i], ALL_BYTES);
                of_tokens.note(tokens[i], valid[i]);
                i += 1;
            }
            frame = frame.next(of_weights.of_warp(), of_tokens.of_warp());
            let f16 = frame.is_some();
            if f16 {
                let moved = |line: [u32; 4], origin| line.map(|w| f16_frame::fields(w, origin));
                ldst::store_shared_u32x4(target, moved(first, frame.weights));
                let second = moved(second, frame.weights);
                ldst::store_shared_u32x4(target.at(scale_atoms::BYTES), second);
                ldst::store_shared_u32x4(target.at(TOKEN_ATOM), moved(tokens, frame.tokens));
            }
            if lane == 0 {
                let verdict = Verdict { unit: frame.unit(), f16: u32::from(f16) };
                ldst::store_shared_u64(smem.scales(slot).at(VERDICT), verdict.packed());
            }
            mbarrier::arrive(smem.scales_full(slot));
            ring.advance();
        }
    }
}

/// The lane's copies of the tile's scales, block by block.
struct Copies {
    ring: Ring<SCALE_STAGES>,
    sources: [u64; 3],
    left: u32,
}

impl Copies {
    /// Executed by: warp, converged. Starts the copies of the next block as a group; an empty one if there is none.
    #[inline(always)]
    unsafe fn start(&mut self, smem: Shared, lane: u32) {
        // SAFETY: the slot is free after the wait; a block that is left lies inside the tensors.
        unsafe {
            if self.left > 0 {
                let slot = self.ring.slot();
                mbarrier::wait(smem.scales_free(slot), self.ring.free_parity());
                let target = smem.scales(slot).at(lane * 16);
                let mut i = 0;
                while i < 3 {
                    let target = target.at(i as u32 * scale_atoms::BYTES);
                    cp_async::copy_16_bytes_or_zero(target, self.sources[i], true);
                    self.sources[i] += u64::from(scale_atoms::BYTES);
                    i += 1;
                }
                self.ring.advance();
                self.left -= 1;
            }
            cp_async::commit();
        }
    }
}

/// Where the lane's lines of a tile's first block lie: of both atoms of weights, and of the tokens'.
#[inline(always)]
fn sources(args: &Args, work: ScaledWork, lane: u32) -> [u64; 3] {
    let atom_row_bytes = u64::from(args.k_blocks) * u64::from(scale_atoms::BYTES);
    let blocks = args.n() / scale_atoms::ROWS;
    let block = work.col_block * (TILE_COLUMNS / scale_atoms::ROWS);
    let row = u64::from(work.expert) * u64::from(blocks) + u64::from(block);
    let line = u64::from(lane * 16);
    let first = args.scales_b + row * atom_row_bytes + line;
    // The last tile may be half as wide: its other half gets scales that exist.
    let second = if blocks - block < 2 { first } else { first + atom_row_bytes };
    let token_row = u64::from(work.scale_row / scale_atoms::ROWS);
    [first, second, args.scales_a + token_row * atom_row_bytes + line]
}

/// Every other byte of a word.
const ALL_BYTES: u32 = 0x00FF_00FF;

/// The extremes of bytes, in two halves each: the largest, and 255 less the smallest.
struct Extremes {
    high: u32,
    above_low: u32,
}

impl Extremes {
    const NONE: Self = Self { high: 0, above_low: 0 };

    /// Executed by: any thread. Takes the bytes of a word in; `mask` is [`ALL_BYTES`] or 0 for none.
    #[inline(always)]
    fn note(&mut self, word: u32, mask: u32) {
        for bytes in [word, word >> 8] {
            self.high = simd::max_u16x2(self.high, bytes & mask);
            self.above_low = simd::max_u16x2(self.above_low, !bytes & mask);
        }
    }

    /// Executed by: warp, converged.
    #[inline(always)]
    unsafe fn of_warp(&self) -> Range {
        // SAFETY: the warp is converged, by contract.
        unsafe {
            let larger = |halves: u32| warp::max(simd::max_u16x2(halves, halves >> 16) & 0xFF);
            Range { low: 255 - larger(self.above_low), high: larger(self.high) }
        }
    }
}
