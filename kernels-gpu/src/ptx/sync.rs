//! Barriers of the whole CTA and cluster, and fences (PTX ISA, "Parallel Synchronization and Communication").

use core::arch::asm;

unsafe extern "C" {
    #[link_name = "llvm.nvvm.barrier.cluster.arrive.aligned"]
    fn barrier_cluster_arrive_aligned();
    #[link_name = "llvm.nvvm.barrier.cluster.arrive.relaxed.aligned"]
    fn barrier_cluster_arrive_relaxed_aligned();
    #[link_name = "llvm.nvvm.barrier.cluster.wait.aligned"]
    fn barrier_cluster_wait_aligned();
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.count"]
    fn barrier_cta_sync_aligned_count(barrier: u32, threads: u32);
    #[link_name = "llvm.nvvm.fence.proxy.async"]
    fn fence_proxy_async_all();
}

/// Executed by: every thread of the CTA, each warp converged.
#[inline(always)]
pub(crate) unsafe fn cta_sync() {
    // SAFETY: every thread of the CTA calls it, by contract.
    unsafe { core::arch::nvptx::_syncthreads() }
}

/// Executed by: every thread of a warpgroup, each warp converged. The CTA's barrier 0 is [`cta_sync`]'s.
#[inline(always)]
pub(crate) unsafe fn warpgroup_sync(warpgroup: u32) {
    // SAFETY: the 128 threads of the warpgroup call it with the same barrier, by contract.
    unsafe { barrier_cta_sync_aligned_count(warpgroup + 1, 128) }
}

/// Executed by: every thread of the cluster, each warp converged.
#[inline(always)]
pub(crate) unsafe fn cluster_sync() {
    // SAFETY: every thread of the cluster calls it, by contract.
    unsafe {
        barrier_cluster_arrive_aligned();
        barrier_cluster_wait_aligned();
    }
}

/// Executed by: every thread of the cluster, each warp converged. As [`cluster_sync`], but of what threads did before it
/// orders only what they published by [`fence_mbarrier_init`].
///
/// NOTE(measured): the ordering of [`cluster_sync`] compiles to a memory barrier of the whole GPU.
#[inline(always)]
pub(crate) unsafe fn cluster_meet() {
    // SAFETY: every thread of the cluster calls it, by contract.
    unsafe {
        barrier_cluster_arrive_relaxed_aligned();
        barrier_cluster_wait_aligned();
    }
}

/// Executed by: the thread that initialised barriers. Makes the initialisation visible to the cluster.
#[inline(always)]
pub(crate) unsafe fn fence_mbarrier_init() {
    // SAFETY: a fence has no operands.
    unsafe { asm!("fence.mbarrier_init.release.cluster;", options(nostack)) }
}

/// Executed by: any thread. Orders its generic accesses, and those that come before by a barrier, before its later ones of the
/// async proxy (TMA, wgmma).
#[inline(always)]
pub(crate) unsafe fn fence_proxy_async() {
    // SAFETY: a fence has no operands.
    unsafe { fence_proxy_async_all() }
}

/// Executed by: any thread. As [`fence_proxy_async`], for accesses to its CTA's shared memory only.
///
/// NOTE(measured): the wider form compiles to a memory barrier of the whole GPU and waits for loads under way.
#[inline(always)]
pub(crate) unsafe fn fence_proxy_async_shared() {
    // SAFETY: a fence has no operands.
    unsafe { asm!("fence.proxy.async.shared::cta;", options(nostack)) }
}
