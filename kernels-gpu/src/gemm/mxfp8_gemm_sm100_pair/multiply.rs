//! The warp that drives the tensor cores of the pair, and the one that has nothing to drive.

use super::*;
use crate::ptx::tcgen05::Scaled;
use crate::tile::ring::Ring;
use crate::tile::umma;
use crate::tile::work::Inbox;

/// Executed by: the leader's multiplying warp; one thread issues everything, because the tensor core keeps the order of
/// copies and products of one thread.
#[inline(always)]
pub(super) unsafe fn tiles(args: &Args, smem: Shared, tensor: Tensor, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    // The slot whose scales were in the set that comes next.
    let mut before = Ring::<STAGES>::behind::<SETS>();
    let mut sets = Ring::<SETS>::new();
    let mut sums = Ring::<SUMS>::new();
    let mut last_sums = Ring::<SUMS>::behind::<1>();
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { ScaledWork::take(&mut inbox, lane) };
        if work.rows == 0 {
            break;
        }
        let form = Form::of(work);
        let sum = sums.slot();
        // SAFETY: the warp is converged here; what the sum overwrites was read.
        unsafe {
            mbarrier::wait(smem.drained(last_sums.slot()), last_sums.parity());
            tcgen05::fence_after_thread_sync();
        }
        let mut kb = 0;
        while kb < args.k_blocks {
            let (slot, set) = (ring.slot(), sets.slot());
            // SAFETY: the warp is converged; both CTAs' slots have landed, and the set's columns were read.
            unsafe {
                mbarrier::wait(smem.full(slot), ring.parity());
                mbarrier::wait(smem.free(before.slot()), before.parity());
                tcgen05::fence_after_thread_sync();
                if warp::elect() {
                    copy_scales(smem, tensor, [slot, set], 0);
                    copy_scales(smem, tensor, [slot, set], 1);
                    if form.atoms > 1 {
                        copy_scales(smem, tensor, [slot, set], 2);
                    }
                    let operands = operands(smem, tensor, [slot, set, sum], form);
                    multiply::<PAIR>(operands, kb != 0);
                    tcgen05::commit_multicast::<PAIR>(smem.free(slot), BOTH);
                }
                warp::sync();
            }
            kb += 1;
            ring.advance();
            before.advance();
            sets.advance();
        }
        // SAFETY: the warp is converged.
        unsafe {
            if warp::elect() {
                tcgen05::commit_multicast::<PAIR>(smem.complete(sum), BOTH);
            }
            warp::sync();
        }
        sums.advance();
        last_sums.advance();
    }
}

/// Executed by: one thread. In both CTAs, an atom of the slot to the set.
#[inline(always)]
unsafe fn copy_scales(smem: Shared, tensor: Tensor, [slot, set]: [u32; 2], atom: u32) {
    let source = umma::scales(smem.scales(slot, atom).0);
    // SAFETY: the atom has landed and the set is free, by contract.
    unsafe { tcgen05::copy_32x128b::<PAIR>(tensor.scales(set, atom), source) }
}

/// Operands of a K block: weights are the M side.
#[inline(always)]
fn operands(smem: Shared, tensor: Tensor, [slot, set, sum]: [u32; 3], form: Form) -> Scaled {
    Scaled {
        d: tensor.sum(sum, form.columns),
        a: umma::operand(smem.weights(slot).0),
        b: umma::operand(smem.tokens(slot).0),
        instruction: umma::instruction(PAIR, form.columns),
        scales_a: tensor.scales(set, 0),
        scales_b: tensor.scales(set, 1).column(form.scale_shift),
    }
}

/// Executed by: the odd CTA's multiplying warp. Arrives at the leader's barrier for every slot that has landed.
///
/// A slot is not used again before the leader has multiplied it, so no arrival overtakes the phase that it is for.
#[inline(always)]
pub(super) unsafe fn tell_the_leader(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { ScaledWork::take(&mut inbox, lane) };
        if work.rows == 0 {
            break;
        }
        for _ in 0..args.k_blocks {
            let full = smem.full(ring.slot());
            // SAFETY: the barriers are initialised, and the leader waits for this CTA before it leaves.
            unsafe {
                mbarrier::wait(full, ring.parity());
                if lane == 0 {
                    mbarrier::arrive_at(full, LEADER);
                }
                warp::sync();
            }
            ring.advance();
        }
    }
}
