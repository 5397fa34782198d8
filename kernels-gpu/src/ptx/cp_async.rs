//! Small asynchronous copies by threads (PTX ISA, "cp.async").

use super::Smem;
use core::arch::asm;

/// Executed by: any thread. Copies one 4-byte word from global memory, or writes 0 when not `valid`.
#[inline(always)]
pub(crate) unsafe fn copy_word_or_zero(target: Smem, source: u64, valid: bool) {
    let bytes: u32 = if valid { 4 } else { 0 };
    // SAFETY: `target` is 4-aligned shared memory, and `source` readable when `valid`, by contract.
    unsafe {
        asm!("cp.async.ca.shared.global [{target}], [{source}], 4, {bytes};",
            target = in(reg32) target.0, source = in(reg64) source, bytes = in(reg32) bytes,
            options(nostack));
    }
}

/// Executed by: any thread. Copies 16 bytes from global memory, or writes 0 when not `valid`.
#[inline(always)]
pub(crate) unsafe fn copy_16_bytes_or_zero(target: Smem, source: u64, valid: bool) {
    let bytes: u32 = if valid { 16 } else { 0 };
    // SAFETY: both are 16-aligned, `target` shared memory and `source` readable when `valid`, by contract.
    unsafe {
        asm!("cp.async.ca.shared.global [{target}], [{source}], 16, {bytes};",
            target = in(reg32) target.0, source = in(reg64) source, bytes = in(reg32) bytes,
            options(nostack));
    }
}

/// Executed by: any thread. Returns when all earlier copies of this thread have landed.
///
/// NOTE(measured): `cp.async.mbarrier.arrive` would spare the wait, and gained nothing on an H200 (1479 against
/// 1484 us, 225 against 224, see `docs/notes/fp8_block_sm90.md`); compute-sanitizer's racecheck does not know
/// it and reports a race at every reader.
#[inline(always)]
pub(crate) unsafe fn wait_all() {
    // SAFETY: waits for the thread's own copies.
    unsafe { asm!("cp.async.wait_all;", options(nostack)) }
}

/// Executed by: any thread. Closes the group of its uncommitted copies, none among them.
#[inline(always)]
pub(crate) unsafe fn commit() {
    // SAFETY: concerns the thread's own copies.
    unsafe { asm!("cp.async.commit_group;", options(nostack)) }
}

/// Executed by: any thread. Returns when all but its `PENDING` latest groups have landed.
#[inline(always)]
pub(crate) unsafe fn wait<const PENDING: u32>() {
    // SAFETY: waits for the thread's own copies.
    unsafe { asm!("cp.async.wait_group {pending};", pending = const PENDING, options(nostack)) }
}
