//! The math warps: which form each tile takes, and what all forms share.

use super::rows::Done;
use super::*;
use crate::tile::descriptor;
use crate::tile::ring::Ring;
use crate::tile::work::{Inbox, Work};

/// Executed by: the math warps.
#[inline(always)]
pub(super) unsafe fn multiply_tiles<O: Output>(args: &Args, smem: Shared, warp: u32, lane: u32) {
    let mut math = Math {
        args,
        smem,
        inbox: Inbox::new(smem.board()),
        next: None,
        tiles: Ring::new(),
        scales: Ring::new(),
        warp,
        lane,
        panels: super::wide::Panels::NONE,
    };
    if WIDE {
        // SAFETY: all warps of a warpgroup come here.
        return unsafe { math.wide_tiles::<O>() };
    }
    if FEW {
        // SAFETY: all warps of a warpgroup come here.
        return unsafe { math.few_tiles::<O>() };
    }
    let mut done = Done::NONE;
    loop {
        // SAFETY: all warps of a warpgroup take the same items, so they stay together.
        unsafe {
            math.look_ahead();
            let Some(work) = math.next.take() else { break };
            let is_half = HALVES && work.is_half();
            if span_of(work.rows) != TILE || is_half {
                // No form but the one for many rows carries sums along: so none has to find registers for them.
                math.store_done::<O>(&mut done);
                done = Done::NONE;
                if work.rows == 0 {
                    break;
                }
                if TALL && work.rows > TILE {
                    math.tall_tile::<O>(work);
                    continue;
                }
                if HALVES && span_of(work.rows) == TILE {
                    math.half_of_columns::<O>(work);
                    continue;
                }
                math.few_rows::<O>(work);
                continue;
            }
            math.tokens_on_rows::<O>(work, &mut done);
            if args.k_blocks < SCALE_CHUNK {
                // The next tile has no chunk under which this one could be stored.
                math.store_done::<O>(&mut done);
            }
        }
    }
}

/// One warp's view of the math role.
pub(super) struct Math<'a> {
    pub(super) args: &'a Args,
    pub(super) smem: Shared,
    pub(super) inbox: Inbox,
    /// The next item, if it was taken already.
    pub(super) next: Option<Work>,
    pub(super) tiles: Ring<STAGES>,
    pub(super) scales: Ring<SCALE_STAGES>,
    pub(super) warp: u32,
    pub(super) lane: u32,
    /// Wide tiles: where the panels of the last tile go that are still to be stored.
    pub(super) panels: super::wide::Panels,
}

impl Math<'_> {
    /// Executed by: warpgroup. Takes the next item, unless that was done.
    #[inline(always)]
    pub(super) unsafe fn look_ahead(&mut self) {
        if self.next.is_none() {
            // SAFETY: the warp is converged.
            self.next = Some(unsafe { self.inbox.take(self.lane) });
        }
    }

    #[inline(always)]
    pub(super) fn warpgroup(&self) -> u32 {
        self.warp / (WARPGROUP / 32)
    }

    /// Descriptors of weights and tokens in a slot, each some bytes on.
    #[inline(always)]
    pub(super) fn operands(&self, slot: u32, [weights, tokens]: [u32; 2]) -> [u64; 2] {
        let first = descriptor::k_major_128b(self.smem.weights(0).0);
        let here = slot * (SLOT_BYTES / descriptor::UNIT);
        [
            descriptor::moved_on(first, here + weights / descriptor::UNIT),
            descriptor::moved_on(first, here + (WEIGHT_BYTES + tokens) / descriptor::UNIT),
        ]
    }

    /// Executed by: warpgroup. Lets the slot be overwritten, once its multiplication is done.
    #[inline(always)]
    pub(super) unsafe fn release_tile(&self, slot: u32) {
        if self.lane < CLUSTER {
            // SAFETY: the barrier is initialised in every CTA of the cluster.
            unsafe { mbarrier::arrive_at(self.smem.tile_free(slot), self.lane) }
        }
    }

    /// Executed by: warpgroup. Waits for the next chunk of scales.
    #[inline(always)]
    pub(super) unsafe fn acquire_scales(&self) -> u32 {
        let chunk = self.scales.slot();
        // SAFETY: the barrier is initialised.
        unsafe { mbarrier::wait(self.smem.scales_full(chunk), self.scales.parity()) }
        chunk
    }

    /// Executed by: warpgroup. Lets the chunk be overwritten, once what it held is in registers.
    #[inline(always)]
    pub(super) unsafe fn release_scales(&mut self) {
        // SAFETY: the warp converges, so all its lanes have read; the barrier is initialised.
        unsafe {
            warp::sync();
            if self.lane == 0 {
                mbarrier::arrive(self.smem.scales_free(self.scales.slot()));
            }
        }
        self.scales.advance();
    }
}
