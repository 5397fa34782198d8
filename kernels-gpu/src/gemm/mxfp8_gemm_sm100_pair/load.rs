//! The warp that fills a CTA's ring: its weights, its half of the tokens, all scales.

use super::*;
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// Executed by: the loading warp of each CTA; one thread issues the copies.
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
        let half = form.columns / PAIR;
        let first_row = work.row + sreg::cta_rank() * half;
        // Those beyond the half belong to the other one or to nobody.
        let rows = copied_rows(half);
        let bytes = WEIGHT_BYTES + rows * TILE_K + (1 + form.atoms) * scale_atoms::BYTES;
        let mut kb = 0;
        while kb < args.k_blocks {
            let (slot, full) = (ring.slot(), smem.full(ring.slot()));
            // SAFETY: the warp is converged; the slot is free and holds all copies, and `full` expects exactly
            // their bytes.
            unsafe {
                mbarrier::wait(smem.free(slot), ring.free_parity());
                if warp::elect() {
                    mbarrier::arrive_expect(full, bytes);
                    let k = kb * TILE_K;
                    let column = [k, work.col_block * TILE_N, work.expert];
                    tma::load_3d(smem.weights(slot), args.weights, column, full);
                    tokens(args, smem.tokens(slot), [k, first_row], rows, full);
                    scales.load(smem.scales(slot, 0), [kb, 1], form.atoms, full);
                }
                warp::sync();
            }
            kb += 1;
            ring.advance();
        }
    }
    // The tensor core reads shared memory and arrives on its barriers: the CTA must not leave before it is done.
    for _ in 0..STAGES {
        // SAFETY: the barrier is initialised.
        unsafe { mbarrier::wait(smem.free(ring.slot()), ring.free_parity()) }
        ring.advance();
    }
}

/// Executed by: one thread. Copies `rows` tokens from `[k, row]` on, in large boxes as far as they go.
#[inline(always)]
unsafe fn tokens(args: &Args, target: Smem, [k, row]: [u32; 2], rows: u32, full: Smem) {
    let mut done = 0;
    while done < rows {
        let large = rows - done >= TOKEN_BOX_ROWS;
        let map = if large { args.tokens } else { args.tokens_small };
        // SAFETY: the slot is free and holds the box.
        unsafe { tma::load_2d(target.at(done * TILE_K), map, [k, row + done], full) }
        done += if large { TOKEN_BOX_ROWS } else { TOKEN_BOX_ROWS_SMALL };
    }
}
