//! The warp that drives the tensor core.

use super::*;
use crate::ptx::tcgen05::Scaled;
use crate::tile::ring::Ring;
use crate::tile::umma;
use crate::tile::work::Inbox;

/// Executed by: the multiplying warp; one thread issues everything, because the tensor core keeps the order of
/// copies and products of one thread.
#[inline(always)]
pub(super) unsafe fn tiles(args: &Args, smem: Shared, tensor: Tensor, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    let mut sums = Ring::<SUMS>::new();
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { ScaledWork::take(&mut inbox, lane) };
        if work.rows == 0 {
            break;
        }
        let form = Form::of(work);
        let sum = sums.slot();
        // SAFETY: the warp is converged here; the sum is read before it is overwritten.
        unsafe {
            mbarrier::wait(smem.drained(sum), sums.free_parity());
            tcgen05::fence_after_thread_sync();
        }
        let mut kb = 0;
        while kb < args.k_blocks {
            let blocks = form.next_blocks(args.k_blocks - kb);
            let slot = ring.slot();
            // SAFETY: the warp is converged; the slot has landed, and its columns were read before it was freed.
            unsafe {
                mbarrier::wait(smem.full(slot), ring.parity());
                tcgen05::fence_after_thread_sync();
                if warp::elect() {
                    for atom in 0..blocks * (1 + form.atoms) {
                        let source = umma::scales(smem.scales(slot, atom).0);
                        tcgen05::copy_32x128b::<ONE_CTA>(tensor.scales(slot, atom), source);
                    }
                    for block in 0..blocks {
                        let operands = operands(smem, tensor, slot, [block, blocks], form);
                        let operands = Scaled { d: tensor.sum(sum), ..operands };
                        multiply::<ONE_CTA>(operands, kb + block != 0);
                    }
                    tcgen05::commit_multicast::<ONE_CTA>(smem.free(slot), ALL_CTAS);
                }
                warp::sync();
            }
            kb += blocks;
            ring.advance();
        }
        // SAFETY: the warp is converged.
        unsafe {
            if warp::elect() {
                tcgen05::commit::<ONE_CTA>(smem.complete(sum));
            }
            warp::sync();
        }
        sums.advance();
    }
}

/// Operands of a K block of a slot, without an accumulator: weights are the M side.
#[inline(always)]
fn operands(
    smem: Shared,
    tensor: Tensor,
    slot: u32,
    [block, blocks]: [u32; 2],
    form: Form,
) -> Scaled {
    Scaled {
        d: Tmem(0),
        a: umma::operand(smem.weights(slot, block).0),
        b: umma::operand(smem.tokens(slot, block).0),
        instruction: umma::instruction(ONE_CTA, form.columns),
        scales_a: tensor.scales(slot, block),
        scales_b: tensor.scales(slot, blocks + block).column(form.scale_shift),
    }
}
