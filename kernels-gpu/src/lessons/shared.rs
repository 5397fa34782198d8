//! The shared memory of lessons 5, 6 and 7, and who is who in their CTAs: 8 math warps, then a warpgroup that serves them.

use crate::abi::fp8_block::SCALE_STAGES;
use crate::abi::lesson::{LESSONS, STAGES, TILE};
use crate::ptx::{Smem, ldst, mbarrier, sync};
use crate::tile::scale_chunk::ROW_BYTES;

/// Warps that multiply: two warpgroups, 64 rows each.
pub(super) const MATH_WARPS: u32 = 8;
/// The warp that copies tiles, and the one that copies scales.
pub(super) const TILE_WARP: u32 = MATH_WARPS;
pub(super) const SCALE_WARP: u32 = MATH_WARPS + 1;
/// Registers per thread once the warpgroups have settled: 2 x 128 x 232 + 128 x 40 <= 65,536.
pub(super) const MATH_REGISTERS: u32 = 232;
pub(super) const SERVICE_REGISTERS: u32 = 40;

/// Bytes of one operand in a slot: 128 rows of 128 bytes.
pub(super) const OPERAND_BYTES: u32 = TILE * TILE;

const SCALES_A: u32 = STAGES * 2 * OPERAND_BYTES;
const SCALES_B: u32 = SCALES_A + SCALE_STAGES * TILE * ROW_BYTES;
const FULL: u32 = SCALES_B + SCALE_STAGES * ROW_BYTES;
const FREE: u32 = FULL + STAGES * 8;
const SCALES_FULL: u32 = FREE + STAGES * 8;
const SCALES_FREE: u32 = SCALES_FULL + SCALE_STAGES * 8;
const END: u32 = SCALES_FREE + SCALE_STAGES * 8;
const _: () = assert!(END == LESSONS[4].smem_bytes && END == LESSONS[6].smem_bytes);

/// Shared memory by name. `slot` is below `STAGES`, `chunk` below `SCALE_STAGES`.
#[derive(Clone, Copy)]
pub(super) struct Shared(Smem);

impl Shared {
    #[inline(always)]
    pub(super) fn dynamic() -> Self {
        Self(ldst::dynamic_smem())
    }
    #[inline(always)]
    pub(super) fn tokens(self, slot: u32) -> Smem {
        self.0.at(slot * 2 * OPERAND_BYTES)
    }
    #[inline(always)]
    pub(super) fn weights(self, slot: u32) -> Smem {
        self.tokens(slot).at(OPERAND_BYTES)
    }
    /// One arrival by the tensor copies, with their bytes.
    #[inline(always)]
    pub(super) fn full(self, slot: u32) -> Smem {
        self.0.at(FULL + slot * 8)
    }
    /// One arrival by each math warp.
    #[inline(always)]
    pub(super) fn free(self, slot: u32) -> Smem {
        self.0.at(FREE + slot * 8)
    }
    #[inline(always)]
    pub(super) fn scales_a(self, chunk: u32) -> Smem {
        self.0.at(SCALES_A + chunk * TILE * ROW_BYTES)
    }
    #[inline(always)]
    pub(super) fn scales_b(self, chunk: u32) -> Smem {
        self.0.at(SCALES_B + chunk * ROW_BYTES)
    }
    /// One arrival by each lane of the scale copies.
    #[inline(always)]
    pub(super) fn scales_full(self, chunk: u32) -> Smem {
        self.0.at(SCALES_FULL + chunk * 8)
    }
    /// One arrival by each math warp.
    #[inline(always)]
    pub(super) fn scales_free(self, chunk: u32) -> Smem {
        self.0.at(SCALES_FREE + chunk * 8)
    }

    /// Executed by: every thread of the CTA. Makes the barriers.
    #[inline(always)]
    pub(super) unsafe fn init(self, thread: u32) {
        // SAFETY: nobody uses the barriers before the CTA's barrier.
        unsafe {
            if thread == 0 {
                for slot in 0..STAGES {
                    mbarrier::init(self.full(slot), 1);
                    mbarrier::init(self.free(slot), MATH_WARPS);
                }
                for chunk in 0..SCALE_STAGES {
                    mbarrier::init(self.scales_full(chunk), 32);
                    mbarrier::init(self.scales_free(chunk), MATH_WARPS);
                }
                sync::fence_mbarrier_init();
                sync::fence_proxy_async();
            }
            sync::cta_sync();
        }
    }
}
