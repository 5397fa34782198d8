//! The warp that fills the ring.

use super::*;
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// Executed by: the loading warp; one thread issues the copies.
#[inline(always)]
pub(super) unsafe fn tiles(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { ScaledWork::take(&mut inbox, lane) };
        if work.rows == 0 {
            break;
        }
        let form = Form::of(work);
        let scales = ScaleSource::of(args, work);
        let mut kb = 0;
        while kb < args.k_blocks {
            let blocks = form.next_blocks(args.k_blocks - kb);
            let (slot, full) = (ring.slot(), smem.full(ring.slot()));
            // SAFETY: the warp is converged; the slot is free and holds all copies, and `full` expects exactly
            // their bytes.
            unsafe {
                mbarrier::wait(smem.free(slot), ring.free_parity());
                if warp::elect() {
                    mbarrier::arrive_expect(full, bytes(form, blocks));
                    for block in 0..blocks {
                        let k = (kb + block) * TILE_K;
                        let column = [k, work.col_block * TILE_N, work.expert];
                        tma::load_3d(smem.weights(slot, block), args.weights, column, full);
                        tokens(args, smem.tokens(slot, block), [k, work.row], form, full);
                    }
                    scales.load(smem.scales(slot, 0), [kb, blocks], form.atoms, full);
                }
                warp::sync();
            }
            kb += blocks;
            ring.advance();
        }
    }
    // The tensor core arrives on the barriers of shared memory: the CTA must not leave before its last arrival.
    for _ in 0..STAGES {
        // SAFETY: the barrier is initialised.
        unsafe { mbarrier::wait(smem.free(ring.slot()), ring.free_parity()) }
        ring.advance();
    }
}

/// Bytes that all copies of a slot bring.
#[inline(always)]
fn bytes(form: Form, blocks: u32) -> u32 {
    let operands = WEIGHT_BYTES + copied_rows(form.columns) * TILE_K;
    blocks * (operands + (1 + form.atoms) * scale_atoms::BYTES)
}

/// Executed by: one thread. Copies the tokens at `[k, row]`, in large boxes as far as they go. Where the cluster shares
/// them, its CTAs take turns.
#[inline(always)]
unsafe fn tokens(args: &Args, target: Smem, [k, row]: [u32; 2], form: Form, full: Smem) {
    let rows = copied_rows(form.columns);
    let (mut done, mut turn) = (0, 0);
    while done < rows {
        let large = rows - done >= TOKEN_BOX_ROWS;
        let map = if large { args.tokens } else { args.tokens_small };
        let (target, corner) = (target.at(done * TILE_K), [k, row + done]);
        // SAFETY: the slot holds the box, in every CTA: it is free when all have left it.
        unsafe {
            if !form.shared {
                tma::load_2d(target, map, corner, full);
            } else if turn == sreg::cta_rank() {
                tma::load_2d_multicast(target, map, corner, full, ALL_CTAS);
            }
        }
        turn = (turn + 1) % CLUSTER;
        done += if large { TOKEN_BOX_ROWS } else { TOKEN_BOX_ROWS_SMALL };
    }
}
