//! The math role of lessons 6 and 7: where a warp stands in the rings, and how it leaves their slots.

use super::Args;
use super::shared::Shared;
use crate::abi::fp8_block::SCALE_STAGES;
use crate::abi::lesson::STAGES;
use crate::ptx::{mbarrier, warp};
use crate::tile::ring::Ring;

/// One warp's view of the math role.
pub(super) struct Math<'a> {
    pub(super) args: &'a Args,
    pub(super) smem: Shared,
    pub(super) tiles: Ring<STAGES>,
    pub(super) scales: Ring<SCALE_STAGES>,
    pub(super) warp: u32,
    pub(super) lane: u32,
}

impl<'a> Math<'a> {
    #[inline(always)]
    pub(super) fn new(args: &'a Args, smem: Shared, warp: u32, lane: u32) -> Self {
        Self { args, smem, tiles: Ring::new(), scales: Ring::new(), warp, lane }
    }

    /// Executed by: warpgroup. Lets the slot be overwritten, once its multiplication is done.
    #[inline(always)]
    pub(super) unsafe fn release_tile(&self, slot: u32) {
        if self.lane == 0 {
            // SAFETY: the barrier is initialised.
            unsafe { mbarrier::arrive(self.smem.free(slot)) }
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
