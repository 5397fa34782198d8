//! The service warp that copies weights and their scales.

use super::*;
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// Executed by: the warp of the copies; one lane issues them.
#[inline(always)]
pub(super) unsafe fn weights(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    let blocks = args.n() / scale_atoms::ROWS;
    let atom_row_bytes = u64::from(args.k_blocks) * u64::from(scale_atoms::BYTES);
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { ScaledWork::take(&mut inbox, lane) };
        if work.rows == 0 {
            break;
        }
        let column = work.col_block * TILE_COLUMNS;
        let block = column / scale_atoms::ROWS;
        let atom_row = u64::from(work.expert) * u64::from(blocks) + u64::from(block);
        let mut atom = args.scales_b + atom_row * atom_row_bytes;
        // The last tile may be half as wide. Its other half is filled with zeros, and multiplied with any scales.
        let atoms = if blocks - block < 2 { 1 } else { 2 };
        for kb in 0..args.k_blocks {
            let slot = ring.slot();
            // SAFETY: the slot is free and holds the box and the atoms; `full` expects exactly their bytes.
            unsafe {
                mbarrier::wait(smem.weights_free(slot), ring.free_parity());
                if warp::elect() {
                    let full = smem.weights_full(slot);
                    mbarrier::arrive_expect(full, WEIGHT_BYTES + atoms * scale_atoms::BYTES);
                    let corner = [kb * TILE_K, column, work.expert];
                    tma::load_3d(smem.weights(slot), args.weights, corner, full);
                    let scales = smem.scales(slot);
                    tma::load_bulk(scales, atom, scale_atoms::BYTES, full);
                    if atoms > 1 {
                        let second = scales.at(scale_atoms::BYTES);
                        tma::load_bulk(second, atom + atom_row_bytes, scale_atoms::BYTES, full);
                    }
                }
            }
            atom += u64::from(scale_atoms::BYTES);
            ring.advance();
        }
        // SAFETY: the warp converges here.
        unsafe { warp::sync() }
    }
}
