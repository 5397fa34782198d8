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
        let scales = Scales::of(args, work);
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
                    scales.load(smem, slot, kb, blocks, form.atoms);
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

/// Rows that are copied for N columns: whole small boxes.
#[inline(always)]
fn copied_rows(columns: u32) -> u32 {
    raster::blocks(columns, TOKEN_BOX_ROWS_SMALL) * TOKEN_BOX_ROWS_SMALL
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

/// Where a tile's scales lie.
#[derive(Clone, Copy)]
struct Scales {
    /// The first atom of the weights.
    weights: u64,
    /// The first atom of the tokens.
    tokens: u64,
    /// Bytes from an atom of the tokens to the one of the next 128 rows.
    next_rows: u64,
}

impl Scales {
    #[inline(always)]
    fn of(args: &Args, work: ScaledWork) -> Self {
        let next_rows = u64::from(args.k_blocks) * u64::from(scale_atoms::BYTES);
        let col_blocks = u64::from(args.n() / TILE_N);
        let weight_block = u64::from(work.expert) * col_blocks + u64::from(work.col_block);
        Self {
            weights: args.scales_b + weight_block * next_rows,
            tokens: args.scales_a + u64::from(work.scale_row / scale_atoms::ROWS) * next_rows,
            next_rows,
        }
    }

    /// Executed by: one thread. Copies the atoms of K blocks `kb..kb + blocks`, which follow each other.
    #[inline(always)]
    unsafe fn load(self, smem: Shared, slot: u32, kb: u32, blocks: u32, atoms: u32) {
        let full = smem.full(slot);
        let inside = u64::from(kb * scale_atoms::BYTES);
        let bytes = blocks * scale_atoms::BYTES;
        // SAFETY: the slot holds the atoms, and the group checks keep them inside the tensors.
        unsafe {
            tma::load_bulk(smem.scales(slot, 0), self.weights + inside, bytes, full);
            let mut source = self.tokens + inside;
            for atom in 0..atoms {
                tma::load_bulk(smem.scales(slot, blocks + atom), source, bytes, full);
                source += self.next_rows;
            }
        }
    }
}
