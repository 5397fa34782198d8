//! Warp-wide operations: shuffles, votes, convergence, and the warpgroup's register budget.

unsafe extern "C" {
    #[link_name = "llvm.nvvm.bar.warp.sync"]
    fn bar_warp_sync(mask: u32);
    #[link_name = "llvm.nvvm.shfl.sync.idx.i32"]
    fn shfl_sync_idx(mask: u32, value: u32, lane: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.up.i32"]
    fn shfl_sync_up(mask: u32, value: u32, delta: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.bfly.i32"]
    fn shfl_sync_bfly(mask: u32, value: u32, lanes: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.vote.ballot.sync"]
    fn vote_ballot_sync(mask: u32, predicate: bool) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.umax"]
    fn redux_sync_umax(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.setmaxnreg.inc.sync.aligned.u32"]
    fn setmaxnreg_inc(registers: u32);
    #[link_name = "llvm.nvvm.setmaxnreg.dec.sync.aligned.u32"]
    fn setmaxnreg_dec(registers: u32);
}

const ALL: u32 = u32::MAX;

/// Executed by: warp, converged.
#[inline(always)]
pub(crate) unsafe fn sync() {
    // SAFETY: the whole warp calls it, by contract.
    unsafe { bar_warp_sync(ALL) }
}

/// Executed by: warp, converged. The value that `lane` holds.
#[inline(always)]
pub(crate) unsafe fn broadcast(value: u32, lane: u32) -> u32 {
    // SAFETY: the whole warp calls it, by contract.
    unsafe { shfl_sync_idx(ALL, value, lane, 31) }
}

/// Executed by: warp, converged. The value of the lane whose number differs by the bits of `lanes`.
#[inline(always)]
pub(crate) unsafe fn exchange(value: u32, lanes: u32) -> u32 {
    // SAFETY: the whole warp calls it, by contract.
    unsafe { shfl_sync_bfly(ALL, value, lanes, 31) }
}

/// Executed by: warp, converged. The 64-bit value that `lane` holds.
#[inline(always)]
pub(crate) unsafe fn broadcast_u64(value: u64, lane: u32) -> u64 {
    // SAFETY: the whole warp calls it, by contract.
    unsafe {
        let low = broadcast(value as u32, lane);
        let high = broadcast((value >> 32) as u32, lane);
        (u64::from(high) << 32) | u64::from(low)
    }
}

/// Executed by: warp, converged. Sum of the values of all lanes up to and including the caller's.
#[inline(always)]
pub(crate) unsafe fn inclusive_sum_u64(value: u64, lane: u32) -> u64 {
    let mut sum = value;
    let mut delta = 1;
    while delta < 32 {
        // SAFETY: the whole warp calls it, by contract.
        let (low, high) = unsafe {
            (
                shfl_sync_up(ALL, sum as u32, delta, 0),
                shfl_sync_up(ALL, (sum >> 32) as u32, delta, 0),
            )
        };
        if lane >= delta {
            sum += (u64::from(high) << 32) | u64::from(low);
        }
        delta *= 2;
    }
    sum
}

/// Executed by: warp, converged. Bit `i` is the predicate of lane `i`.
#[inline(always)]
pub(crate) unsafe fn ballot(predicate: bool) -> u32 {
    // SAFETY: the whole warp calls it, by contract.
    unsafe { vote_ballot_sync(ALL, predicate) }
}

/// Executed by: warp, converged. The largest value of all lanes.
#[inline(always)]
pub(crate) unsafe fn max(value: u32) -> u32 {
    // SAFETY: the whole warp calls it, by contract.
    unsafe { redux_sync_umax(value, ALL) }
}

/// Executed by: warpgroup, converged. Raises its registers per thread to `N`.
#[inline(always)]
pub(crate) unsafe fn raise_registers<const N: u32>() {
    const { assert!(N.is_multiple_of(8) && N >= 24 && N <= 256) }
    // SAFETY: the whole warpgroup calls it, by contract.
    unsafe { setmaxnreg_inc(N) }
}

/// Executed by: warpgroup, converged. Gives back all but `N` registers per thread.
#[inline(always)]
pub(crate) unsafe fn lower_registers<const N: u32>() {
    const { assert!(N.is_multiple_of(8) && N >= 24 && N <= 256) }
    // SAFETY: the whole warpgroup calls it, by contract.
    unsafe { setmaxnreg_dec(N) }
}

/// Executed by: warp, converged. Whether the caller is the thread that was chosen, always the same one.
///
/// The assembler knows that one thread at most is behind it, and issues what only one thread may do (tensor copies,
/// `tcgen05`) from uniform registers. Behind a comparison of lanes it puts a loop around each of them, 20
/// instructions long. LLVM's intrinsic returns a pair that Rust cannot declare, hence `asm!`.
#[inline(always)]
pub(crate) unsafe fn elect() -> bool {
    let chosen: u32;
    // SAFETY: the whole warp calls it, by contract.
    unsafe {
        core::arch::asm!(
            "{{",
            ".reg .b32 leader;",
            ".reg .pred chosen;",
            "elect.sync leader|chosen, 0xFFFFFFFF;",
            "selp.u32 {chosen}, 1, 0, chosen;",
            "}}",
            chosen = out(reg32) chosen,
            options(nostack)
        );
    }
    chosen != 0
}
