//! Barriers in shared memory that count arrivals and bytes (PTX ISA, "mbarrier").

use super::Smem;
use core::arch::asm;

/// Executed by: one thread, once per barrier. `arrivals` is the count of each phase.
#[inline(always)]
pub(crate) unsafe fn init(barrier: Smem, arrivals: u32) {
    // SAFETY: `barrier` is 8 bytes of shared memory that hold no barrier yet, by contract.
    unsafe {
        asm!("mbarrier.init.shared::cta.b64 [{barrier}], {arrivals};",
            barrier = in(reg32) barrier.0, arrivals = in(reg32) arrivals, options(nostack));
    }
}

/// Executed by: any thread. Releases its earlier accesses to whoever waits for the phase.
#[inline(always)]
pub(crate) unsafe fn arrive(barrier: Smem) {
    // SAFETY: `barrier` is initialised, by contract.
    unsafe {
        asm!("mbarrier.arrive.shared::cta.b64 _, [{barrier}];",
            barrier = in(reg32) barrier.0, options(nostack));
    }
}

/// Executed by: any thread. As [`arrive`], on the same barrier of the cluster's CTA `rank`.
///
/// NOTE(measured): spelled with `.release.cluster`, the arrival compiles to a GPU-wide memory barrier and
/// halved a GEMM's speed on an H200. The barriers of a pipeline need no more than the default: what they
/// hand over is read and written by the async proxy, and those accesses are complete.
#[inline(always)]
pub(crate) unsafe fn arrive_at(barrier: Smem, rank: u32) {
    // SAFETY: `barrier` is initialised in every CTA of the cluster, and none has exited, by contract.
    unsafe {
        asm!(
            "{{",
            ".reg .b32 remote;",
            "mapa.shared::cluster.u32 remote, {barrier}, {rank};",
            "mbarrier.arrive.shared::cluster.b64 _, [remote];",
            "}}",
            barrier = in(reg32) barrier.0,
            rank = in(reg32) rank,
            options(nostack)
        );
    }
}

/// Executed by: any thread. Arrives, and makes the phase wait for `bytes` of asynchronous copies.
#[inline(always)]
pub(crate) unsafe fn arrive_expect(barrier: Smem, bytes: u32) {
    // SAFETY: `barrier` is initialised, by contract.
    unsafe {
        asm!("mbarrier.arrive.expect_tx.shared::cta.b64 _, [{barrier}], {bytes};",
            barrier = in(reg32) barrier.0, bytes = in(reg32) bytes, options(nostack));
    }
}

/// Executed by: any thread. Makes the phase wait for `bytes` more of asynchronous copies; it still lacks an arrival.
#[inline(always)]
pub(crate) unsafe fn expect(barrier: Smem, bytes: u32) {
    // SAFETY: `barrier` is initialised, by contract.
    unsafe {
        asm!("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [{barrier}], {bytes};",
            barrier = in(reg32) barrier.0, bytes = in(reg32) bytes, options(nostack));
    }
}

/// Executed by: any thread. Returns when the phase of this parity is the one just completed.
///
/// A fresh barrier answers parity 1 at once: producers start there.
#[inline(always)]
pub(crate) unsafe fn wait(barrier: Smem, parity: u32) {
    // SAFETY: `barrier` is initialised, by contract.
    while !unsafe { try_wait(barrier, parity) } {}
}

#[inline(always)]
unsafe fn try_wait(barrier: Smem, parity: u32) -> bool {
    let done: u32;
    // SAFETY: `barrier` is initialised, by contract.
    unsafe {
        asm!(
            "{{",
            ".reg .pred done;",
            "mbarrier.try_wait.parity.shared::cta.b64 done, [{barrier}], {parity};",
            "selp.u32 {done}, 1, 0, done;",
            "}}",
            done = out(reg32) done,
            barrier = in(reg32) barrier.0,
            parity = in(reg32) parity,
            options(nostack)
        );
    }
    done != 0
}
