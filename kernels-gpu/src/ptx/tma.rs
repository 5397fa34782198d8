//! Tensor copies between global and shared memory (PTX ISA, "cp.async.bulk.tensor").

use super::Smem;
use core::arch::asm;

/// Address of a [`crate::abi::TensorMap`] in the kernel's parameter, as a generic address.
#[derive(Clone, Copy)]
pub(crate) struct MapAddress(pub(crate) u64);

/// Executed by: one thread. Fetches the descriptor before its first use.
#[inline(always)]
pub(crate) unsafe fn prefetch_map(map: MapAddress) {
    // SAFETY: `map` addresses a tensor map of the parameter, by contract.
    unsafe { asm!("prefetch.tensormap [{map}];", map = in(reg64) map.0, options(nostack)) }
}

/// Executed by: one thread. Copies the box at `(x, y)` to `target`; `barrier` receives its bytes.
#[inline(always)]
pub(crate) unsafe fn load_2d(target: Smem, map: MapAddress, [x, y]: [u32; 2], barrier: Smem) {
    // SAFETY: the box fits `target`, and `barrier` expects its bytes, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [{target}], [{map}, {{{x}, {y}}}], [{barrier}];",
            target = in(reg32) target.0, map = in(reg64) map.0, x = in(reg32) x, y = in(reg32) y,
            barrier = in(reg32) barrier.0, options(nostack)
        );
    }
}

/// Executed by: one thread. As [`load_2d`], to the same place in every CTA of the cluster whose bit is
/// set in `ctas`; each CTA's own `barrier` receives the bytes.
#[inline(always)]
pub(crate) unsafe fn load_2d_multicast(
    target: Smem,
    map: MapAddress,
    [x, y]: [u32; 2],
    barrier: Smem,
    ctas: u16,
) {
    // SAFETY: the box fits `target`, and every `barrier` expects its bytes, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [{target}], [{map}, {{{x}, {y}}}], [{barrier}], {ctas};",
            target = in(reg32) target.0, map = in(reg64) map.0, x = in(reg32) x, y = in(reg32) y,
            barrier = in(reg32) barrier.0, ctas = in(reg16) ctas, options(nostack)
        );
    }
}

/// Executed by: one thread. Copies the box at `(x, y, z)` to `target`; `barrier` receives its bytes.
#[inline(always)]
pub(crate) unsafe fn load_3d(target: Smem, map: MapAddress, [x, y, z]: [u32; 3], barrier: Smem) {
    // SAFETY: the box fits `target`, and `barrier` expects its bytes, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [{target}], [{map}, {{{x}, {y}, {z}}}], [{barrier}];",
            target = in(reg32) target.0, map = in(reg64) map.0, x = in(reg32) x, y = in(reg32) y,
            z = in(reg32) z, barrier = in(reg32) barrier.0, options(nostack)
        );
    }
}

/// Executed by: one thread. As [`load_3d`], of a tensor of five dimensions.
#[inline(always)]
pub(crate) unsafe fn load_5d(target: Smem, map: MapAddress, corner: [u32; 5], barrier: Smem) {
    let [x, y, z, v, w] = corner;
    // SAFETY: the box fits `target`, and `barrier` expects its bytes, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [{target}], [{map}, {{{x}, {y}, {z}, {v}, {w}}}], [{barrier}];",
            target = in(reg32) target.0, map = in(reg64) map.0, x = in(reg32) x, y = in(reg32) y,
            z = in(reg32) z, v = in(reg32) v, w = in(reg32) w, barrier = in(reg32) barrier.0,
            options(nostack)
        );
    }
}

/// Executed by: one thread. As [`load_5d`], to the CTAs of [`load_2d_multicast`].
#[inline(always)]
pub(crate) unsafe fn load_5d_multicast(
    target: Smem,
    map: MapAddress,
    corner: [u32; 5],
    barrier: Smem,
    ctas: u16,
) {
    let [x, y, z, v, w] = corner;
    // SAFETY: the box fits `target`, and every `barrier` expects its bytes, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [{target}], [{map}, {{{x}, {y}, {z}, {v}, {w}}}], [{barrier}], {ctas};",
            target = in(reg32) target.0, map = in(reg64) map.0, x = in(reg32) x, y = in(reg32) y,
            z = in(reg32) z, v = in(reg32) v, w = in(reg32) w, barrier = in(reg32) barrier.0,
            ctas = in(reg16) ctas, options(nostack)
        );
    }
}

/// Executed by: one thread. Copies `source` to the box at `(x, y)`, as far as that lies in the tensor. The copy belongs to the
/// thread's next group.
#[inline(always)]
pub(crate) unsafe fn store_2d(map: MapAddress, [x, y]: [u32; 2], source: Smem) {
    // SAFETY: the async proxy sees the box in `source`, which stays until its group is read, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [{map}, {{{x}, {y}}}], [{source}];",
            map = in(reg64) map.0, x = in(reg32) x, y = in(reg32) y, source = in(reg32) source.0, options(nostack)
        );
    }
}

/// Executed by: any thread. Makes a group of its stores that are in none.
#[inline(always)]
pub(crate) unsafe fn commit_stores() {
    // SAFETY: no operands.
    unsafe { asm!("cp.async.bulk.commit_group;", options(nostack)) }
}

/// Executed by: any thread. Waits until all its groups have read their sources.
#[inline(always)]
pub(crate) unsafe fn wait_stores_read() {
    // SAFETY: no operands.
    unsafe { asm!("cp.async.bulk.wait_group.read 0;", options(nostack)) }
}

/// What a copy asks of the second-level cache, made by [`evict_first`].
#[derive(Clone, Copy)]
pub(crate) struct CachePolicy(u64);

/// Executed by: any thread. The lines of a copy are the first to make room: nobody reads them again.
#[inline(always)]
pub(crate) fn evict_first() -> CachePolicy {
    let policy: u64;
    // SAFETY: writes a register.
    unsafe {
        asm!("createpolicy.fractional.L2::evict_first.b64 {policy};", policy = out(reg64) policy, options(pure, nomem, nostack));
    }
    CachePolicy(policy)
}

/// Executed by: one thread. As [`load_3d`], under a policy of the second-level cache.
#[inline(always)]
pub(crate) unsafe fn load_3d_by(
    policy: CachePolicy,
    target: Smem,
    map: MapAddress,
    [x, y, z]: [u32; 3],
    barrier: Smem,
) {
    // SAFETY: the box fits `target`, and `barrier` expects its bytes, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [{target}], [{map}, {{{x}, {y}, {z}}}], [{barrier}], {policy};",
            target = in(reg32) target.0, map = in(reg64) map.0, x = in(reg32) x, y = in(reg32) y,
            z = in(reg32) z, barrier = in(reg32) barrier.0, policy = in(reg64) policy.0, options(nostack)
        );
    }
}

/// Executed by: one thread. Copies `bytes` contiguous bytes to `target`; `barrier` receives them. Both
/// addresses and the size are multiples of 16.
#[inline(always)]
pub(crate) unsafe fn load_bulk(target: Smem, source: u64, bytes: u32, barrier: Smem) {
    // SAFETY: `target` holds the bytes, `source` has them, and `barrier` expects them, by contract.
    unsafe {
        asm!(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [{target}], [{source}], {bytes}, [{barrier}];",
            target = in(reg32) target.0, source = in(reg64) source, bytes = in(reg32) bytes,
            barrier = in(reg32) barrier.0, options(nostack)
        );
    }
}
