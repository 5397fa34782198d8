//! The math warps: weights to bf16 in registers, products, and the output.

use super::tokens::careful;
use super::*;
use crate::ptx::simd;
use crate::ptx::wgmma::{self, Bf16Mma, M64N8, M64N16, M64N32, M64N64, M64N128};
use crate::tile::descriptor;
use crate::tile::e4m3_bf16::{self, Scale};
use crate::tile::fragment;
use crate::tile::ring::Ring;
use crate::tile::token_store::{Staging, TokenStore};
use crate::tile::work::Inbox;

/// Executed by: the math warps.
#[inline(always)]
pub(super) unsafe fn multiply_tiles<O: Output>(args: &Args, smem: Shared, warp: u32, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut math = Math { args, smem, weights: Ring::new(), tokens: Ring::new(), warp, lane };
    loop {
        // SAFETY: all warps of a warpgroup take the same items, so they stay together.
        unsafe {
            let work = ScaledWork::take(&mut inbox, lane);
            if work.rows == 0 {
                break;
            }
            match token_span(work.rows) {
                128 => math.tile::<O, M64N128, 64>(work),
                64 => math.tile::<O, M64N64, 32>(work),
                32 => math.tile::<O, M64N32, 16>(work),
                16 => math.tile::<O, M64N16, 8>(work),
                _ => math.tile::<O, M64N8, 4>(work),
            }
        }
    }
}

/// One warp's view of the math role.
struct Math<'a> {
    args: &'a Args,
    smem: Shared,
    weights: Ring<STAGES>,
    tokens: Ring<BUFFERS>,
    warp: u32,
    lane: u32,
}

/// The weights of four K steps: registers 0 and 2 of a step are of the upper row, 1 and 3 of the one 8 below.
type Steps = [[u32; 4]; 4];

impl Math<'_> {
    /// Executed by: warpgroup. One tile of `2 R` token columns; a thread holds `R` sums of each half of its warp's
    /// weights.
    #[inline(always)]
    unsafe fn tile<O: Output, M: Bf16Mma<R>, const R: usize>(&mut self, work: ScaledWork) {
        let mut sums = [[0.0; R]; 2];
        for _ in 0..self.args.k_blocks {
            let (slot, parity) = (self.weights.slot(), self.weights.parity());
            let buffer = self.tokens.slot();
            // SAFETY: the slot and the buffer have landed; the warpgroup is converged; loops are uniform.
            unsafe {
                mbarrier::wait(self.smem.weights_full(slot), parity);
                let scales = self.scales(slot);
                let mut part = 0;
                while part < 4 {
                    let (half, quarter) = (part / 2, part as u32 % 2);
                    let steps = self.convert(slot, half as u32, quarter, scales[half]);
                    if part == 0 {
                        mbarrier::wait(self.smem.tokens_full(buffer), self.tokens.parity());
                    }
                    if part == 3 {
                        self.release(self.smem.weights_free(slot));
                    }
                    let tokens = self.smem.tokens(buffer, quarter);
                    wgmma::fence();
                    M::add(&mut sums[half], &steps, descriptor::k_major_128b(tokens.0));
                    wgmma::commit();
                    // The other warpgroup multiplies while this one converts.
                    wgmma::wait::<0>();
                    M::landed(&mut sums[half]);
                    part += 1;
                }
                self.release(self.smem.tokens_free(buffer));
            }
            self.weights.advance();
            self.tokens.advance();
        }
        // SAFETY: the warp is converged.
        unsafe { self.store::<O, R>(work, &sums) }
    }

    /// Executed by: warp, converged. Lets a slot or buffer be overwritten.
    #[inline(always)]
    unsafe fn release(&self, barrier: Smem) {
        // SAFETY: the warp converges, so all its lanes have read; the barrier is initialised.
        unsafe {
            warp::sync();
            if self.lane == 0 {
                mbarrier::arrive(barrier);
            }
        }
    }

    /// The thread's upper row inside the warpgroup's weights, in a half. The lower one is 8 further on.
    #[inline(always)]
    fn row(&self, half: u32) -> u32 {
        self.warp % GROUP_WARPS * WARP_COLUMNS
            + half * fragment::WARP_ROWS
            + fragment::row(self.lane)
    }

    /// Executed by: any thread. The scales of its upper and lower row, for each half.
    #[inline(always)]
    unsafe fn scales(&self, slot: u32) -> [[Scale; 2]; 2] {
        let atom = self.smem.scales(slot).at(self.warp / GROUP_WARPS * scale_atoms::BYTES);
        let scale = |row: u32| {
            let offset = scale_atoms::offset_in_atom(row, self.lane % 4);
            // SAFETY: the slot has landed.
            Scale(unsafe { ldst::load_shared_u8(atom.at(offset)) })
        };
        let rows = |half: u32| [scale(self.row(half)), scale(self.row(half) + 8)];
        [rows(0), rows(1)]
    }

    /// Executed by: warp, converged. Four K steps of the thread's two rows: 16 codes of each.
    #[inline(always)]
    unsafe fn convert(&self, slot: u32, half: u32, quarter: u32, scales: [Scale; 2]) -> Steps {
        let row = self
            .smem
            .weights(slot)
            .at(self.warp / GROUP_WARPS * (GROUP_COLUMNS * TILE_K))
            .at(self.row(half) * TILE_K);
        let chunk = (self.lane % 4 * 2 + quarter) ^ fragment::row(self.lane);
        // SAFETY: the slot has landed; rows are 128 bytes long and 128-byte swizzled.
        let codes = unsafe {
            let upper = ldst::load_shared_u32x4(row.at(chunk * 16));
            [upper, ldst::load_shared_u32x4(row.at(8 * TILE_K + chunk * 16))]
        };
        let mut noted = 0;
        let mut i = 0;
        while i < 8 {
            noted = e4m3_bf16::note_nan(noted, codes[i / 4][i % 4]);
            i += 1;
        }
        let plain = scales[0].is_plain() && scales[1].is_plain() && !e4m3_bf16::has_nan(noted);
        let mut steps = [[0; 4]; 4];
        // SAFETY: the warp is converged, by contract.
        if unsafe { warp::ballot(!plain) } == 0 {
            let factors = [scales[0].factor(), scales[1].factor()];
            let mut i = 0;
            while i < 4 {
                steps[i] = [
                    simd::mul_bf16x2(e4m3_bf16::even(codes[0][i]), factors[0]),
                    simd::mul_bf16x2(e4m3_bf16::even(codes[1][i]), factors[1]),
                    simd::mul_bf16x2(e4m3_bf16::odd(codes[0][i]), factors[0]),
                    simd::mul_bf16x2(e4m3_bf16::odd(codes[1][i]), factors[1]),
                ];
                i += 1;
            }
        } else {
            let mut i = 0;
            while i < 4 {
                steps[i] = [
                    careful(e4m3_bf16::even(codes[0][i]), scales[0]),
                    careful(e4m3_bf16::even(codes[1][i]), scales[1]),
                    careful(e4m3_bf16::odd(codes[0][i]), scales[0]),
                    careful(e4m3_bf16::odd(codes[1][i]), scales[1]),
                ];
                i += 1;
            }
        }
        steps
    }

    /// Executed by: warp, converged. Writes its 32 columns of every token of the tile.
    #[inline(always)]
    unsafe fn store<O: Output, const R: usize>(&self, work: ScaledWork, sums: &[[f32; R]; 2]) {
        let block = work.col_block * 2 + self.warp / GROUP_WARPS;
        let inside = block * GROUP_COLUMNS < self.args.n();
        let rows = if work.stored && inside { work.rows } else { 0 };
        let column = block * GROUP_COLUMNS + self.warp % GROUP_WARPS * WARP_COLUMNS;
        let mut store =
            TokenStore::new(self.args.output, self.args.n(), work.row, rows, column, self.lane);
        let staging = Staging::new(self.smem.staging(self.warp), self.lane);
        let mut first = 0;
        while first < R {
            // SAFETY: the staging buffer is the warp's own; only rows of the expert are stored.
            unsafe {
                if R - first >= 16 {
                    staging.write::<O, R>(sums, first, 4);
                    store.rows::<4>(staging);
                } else {
                    staging.write::<O, R>(sums, first, R / 4);
                    if R == 8 {
                        store.rows::<2>(staging);
                    } else {
                        store.rows::<1>(staging);
                    }
                }
            }
            first += 16;
        }
    }
}
