//! Streams memory into shared memory by bulk copies and looks at none of it.
//!
//! ```text
//! each CTA: for every ctas()-th chunk: wait until the slot's last copy has landed; copy the chunk -> slot
//! ```

use crate::abi::bulk_read::*;
use crate::ptx::{ldst, mbarrier, sreg, sync, tma};
use crate::tile::ring::Ring;

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(p: BulkReadParams) {
    let smem = ldst::dynamic_smem();
    let barriers = smem.at(STAGES * CHUNK_BYTES);
    if sreg::thread() != 0 {
        return;
    }
    // SAFETY: one thread initialises and uses the barriers; every copy is waited for before the end.
    unsafe {
        for slot in 0..STAGES {
            mbarrier::init(barriers.at(slot * 8), 1);
        }
        sync::fence_mbarrier_init();
        sync::fence_proxy_async();
        let stride = u64::from(sreg::ctas());
        let mut ring = Ring::<STAGES>::new();
        let mut chunk = u64::from(sreg::cta());
        let mut started = 0u64;
        while chunk < p.chunks {
            let barrier = barriers.at(ring.slot() * 8);
            if started >= u64::from(STAGES) {
                mbarrier::wait(barrier, ring.free_parity());
            }
            mbarrier::arrive_expect(barrier, CHUNK_BYTES);
            let source = p.address + chunk * u64::from(CHUNK_BYTES);
            tma::load_bulk(smem.at(ring.slot() * CHUNK_BYTES), source, CHUNK_BYTES, barrier);
            ring.advance();
            started += 1;
            chunk += stride;
        }
        // The last copies, oldest first.
        let mut left = started.min(u64::from(STAGES));
        if started < u64::from(STAGES) {
            ring = Ring::new();
        }
        while left > 0 {
            let parity =
                if started < u64::from(STAGES) { ring.parity() } else { ring.free_parity() };
            mbarrier::wait(barriers.at(ring.slot() * 8), parity);
            ring.advance();
            left -= 1;
        }
    }
}
