//! The math warps: weights to 16-bit floats in registers, products, and the output.

use super::scales::Verdict;
use super::*;
use crate::ptx::wgmma::{self, HalfMma, M64N8, M64N16, M64N32, M64N64, M64N128, Steps};
use crate::tile::descriptor;
use crate::tile::e4m3_half::{scaled_bf16, scaled_f16};
use crate::tile::e8m0;
use crate::tile::f16_frame;
use crate::tile::fragment;
use crate::tile::ring::Ring;
use crate::tile::token_store::{Staging, TokenStore};
use crate::tile::work::Inbox;

/// Executed by: the math warps.
#[inline(always)]
pub(super) unsafe fn multiply_tiles<O: Output, T: Tiles>(
    args: &Args,
    smem: Shared,
    warp: u32,
    lane: u32,
) {
    let mut inbox = Inbox::new(smem.board());
    let rings = Rings { scales: Ring::new(), weights: Ring::new(), tokens: Ring::new() };
    let mut math = Math { args, smem, rings, warp, lane };
    // SAFETY: all warps of a warpgroup take the same items, so they stay together.
    let mut work = unsafe { ScaledWork::take(&mut inbox, lane) };
    while work.rows != 0 {
        // SAFETY: as above.
        unsafe {
            work = match token_span::<T>(&work) {
                128 => math.tile::<O, T, M64N128, 64>(work, &mut inbox),
                64 => math.tile::<O, T, M64N64, 32>(work, &mut inbox),
                32 => math.tile::<O, T, M64N32, 16>(work, &mut inbox),
                16 => math.tile::<O, T, M64N16, 8>(work, &mut inbox),
                _ => math.tile::<O, T, M64N8, 4>(work, &mut inbox),
            }
        }
    }
}

struct Rings {
    scales: Ring<SCALE_STAGES>,
    weights: Ring<STAGES>,
    tokens: Ring<BUFFERS>,
}

/// One warp's view of the math role.
struct Math<'a> {
    args: &'a Args,
    smem: Shared,
    rings: Rings,
    warp: u32,
    lane: u32,
}

impl Math<'_> {
    /// Executed by: warpgroup. One tile of `2 R` token columns; a thread holds `R` sums of each half of its warp's
    /// weights. Returns the next one, which is asked for before this one is stored.
    #[inline(always)]
    unsafe fn tile<O: Output, T: Tiles, M: HalfMma<R>, const R: usize>(
        &mut self,
        work: ScaledWork,
        inbox: &mut Inbox,
    ) -> ScaledWork {
        let mut sums = [[0.0; R]; 2];
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged, and its warps see the same verdicts.
        unsafe {
            // Sums of nothing are in any frame.
            let mut unit = Verdict::await_next(self.smem, &self.rings.scales).unit;
            while left > 0 {
                let verdict = Verdict::await_next(self.smem, &self.rings.scales);
                if verdict.unit != unit {
                    scale(&mut sums, f16_frame::ratio(unit, verdict.unit));
                    unit = verdict.unit;
                }
                if verdict.f16 != 0 {
                    left = self.run::<M, R>(&mut sums, verdict, left);
                } else {
                    self.careful_block::<T, M, R>(&mut sums);
                    left -= 1;
                }
            }
            scale(&mut sums, unit);
            let next = ScaledWork::take(inbox, self.lane);
            self.store::<O, R>(work, &sums);
            next
        }
    }

    /// Executed by: warpgroup. Blocks in f16, as long as the verdict stays. Returns how many are left.
    #[inline(always)]
    unsafe fn run<M: HalfMma<R>, const R: usize>(
        &mut self,
        sums: &mut [[f32; R]; 2],
        verdict: Verdict,
        mut left: u32,
    ) -> u32 {
        // SAFETY: slots and buffers are waited for; the warpgroup is converged; loops are uniform.
        unsafe {
            let mut factors = self.scales().map(|rows| rows.map(f16_frame::factor));
            let mut slot = self.next_weights();
            let mut codes = self.codes(slot, 0, 0);
            loop {
                let buffer = self.rings.tokens.slot();
                let mut more = false;
                let mut next_factors = factors;
                let mut part = 0;
                while part < 4 {
                    let (half, quarter) = (part / 2, part as u32 % 2);
                    let steps = convert(codes, |row, word| scaled_f16(word, factors[half][row]));
                    if part == 0 {
                        let parity = self.rings.tokens.parity();
                        mbarrier::wait(self.smem.tokens_full(buffer), parity);
                    }
                    if part == 3 {
                        release(self.smem.weights_free(slot), self.lane);
                    }
                    let tokens = descriptors(self.smem.tokens(buffer, quarter));
                    wgmma::fence();
                    M::add_f16(&mut sums[half], &steps, &tokens);
                    wgmma::commit();
                    // What is next is fetched meanwhile, a piece at a time, for each waits for shared memory.
                    match part {
                        0 => codes = self.codes(slot, 0, 1),
                        1 => {
                            codes = self.codes(slot, 1, 0);
                            left -= 1;
                            more = left > 0
                                && Verdict::await_next(self.smem, &self.rings.scales) == verdict;
                        }
                        2 => {
                            codes = self.codes(slot, 1, 1);
                            if more {
                                next_factors =
                                    self.scales().map(|rows| rows.map(f16_frame::factor));
                            }
                        }
                        _ => {
                            if more {
                                slot = self.next_weights();
                                codes = self.codes(slot, 0, 0);
                            }
                        }
                    }
                    // The other warpgroup multiplies while this one converts.
                    wgmma::wait::<0>();
                    M::landed(&mut sums[half]);
                    part += 1;
                }
                release(self.smem.tokens_free(buffer), self.lane);
                self.rings.tokens.advance();
                factors = next_factors;
                if !more {
                    break;
                }
            }
        }
        left
    }

    /// Executed by: any thread. Waits for the next block of weights.
    #[inline(always)]
    unsafe fn next_weights(&mut self) -> u32 {
        let slot = self.rings.weights.slot();
        // SAFETY: the barrier is initialised.
        unsafe { mbarrier::wait(self.smem.weights_full(slot), self.rings.weights.parity()) }
        self.rings.weights.advance();
        slot
    }

    /// Executed by: warpgroup. One block in bf16, for scales of any size.
    #[inline(always)]
    unsafe fn careful_block<T: Tiles, M: HalfMma<R>, const R: usize>(
        &mut self,
        sums: &mut [[f32; R]; 2],
    ) {
        // SAFETY: slots and buffers are waited for; the warpgroup is converged; loops are uniform.
        unsafe {
            let scales = self.scales().map(|rows| rows.map(e8m0::value));
            let (slot, buffer) = (self.rings.weights.slot(), self.rings.tokens.slot());
            mbarrier::wait(self.smem.weights_full(slot), self.rings.weights.parity());
            mbarrier::wait(self.smem.tokens_full(buffer), self.rings.tokens.parity());
            let mut quarter = 0;
            while quarter < T::trips(2) {
                let tokens = descriptors(self.smem.tokens(buffer, quarter));
                let mut half = 0;
                while half < 2 {
                    let codes = self.codes(slot, half as u32, quarter);
                    let steps = convert(codes, |row, word| scaled_bf16(word, scales[half][row]));
                    wgmma::fence();
                    M::add_bf16(&mut sums[half], &steps, &tokens);
                    wgmma::commit();
                    wgmma::wait::<0>();
                    M::landed(&mut sums[half]);
                    half += 1;
                }
                quarter += 1;
            }
            release(self.smem.weights_free(slot), self.lane);
            release(self.smem.tokens_free(buffer), self.lane);
        }
        self.rings.weights.advance();
        self.rings.tokens.advance();
    }

    /// The thread's upper row inside the warpgroup's weights, in a half. The lower one is 8 further on.
    #[inline(always)]
    fn row(&self, half: u32) -> u32 {
        self.warp % GROUP_WARPS * WARP_COLUMNS
            + half * fragment::WARP_ROWS
            + fragment::row(self.lane)
    }

    /// Executed by: warp, converged. The scales of the thread's upper and lower row, for each half, and on to the next
    /// block's. They are there: its verdict was awaited.
    #[inline(always)]
    unsafe fn scales(&mut self) -> [[u32; 2]; 2] {
        let slot = self.rings.scales.slot();
        let atom = self.smem.scales(slot).at(self.warp / GROUP_WARPS * scale_atoms::BYTES);
        let scale = |row: u32| {
            let offset = scale_atoms::offset_in_atom(row, self.lane % 4);
            // SAFETY: the slot is written.
            unsafe { ldst::load_shared_u8(atom.at(offset)) }
        };
        let rows = |half: u32| [scale(self.row(half)), scale(self.row(half) + 8)];
        let scales = [rows(0), rows(1)];
        // SAFETY: the warp is converged, by contract.
        unsafe { release(self.smem.scales_free(slot), self.lane) }
        self.rings.scales.advance();
        scales
    }

    /// Executed by: any thread. 16 codes of its upper and of its lower row: a quarter of a half's block.
    #[inline(always)]
    unsafe fn codes(&self, slot: u32, half: u32, quarter: u32) -> [[u32; 4]; 2] {
        let row = self
            .smem
            .weights(slot)
            .at(self.warp / GROUP_WARPS * (GROUP_COLUMNS * TILE_K))
            .at(self.row(half) * TILE_K);
        let chunk = (self.lane % 4 * 2 + quarter) ^ fragment::row(self.lane);
        // SAFETY: the slot has landed; rows are 128 bytes long and 128-byte swizzled.
        unsafe {
            let upper = ldst::load_shared_u32x4(row.at(chunk * 16));
            [upper, ldst::load_shared_u32x4(row.at(8 * TILE_K + chunk * 16))]
        }
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

/// Of the four K steps of tokens in half a buffer: 32 bytes along K are two units of a descriptor.
#[inline(always)]
fn descriptors(tokens: Smem) -> [u64; 4] {
    let first = descriptor::k_major_128b(tokens.0);
    [0, 2, 4, 6].map(|step| descriptor::moved_on(first, step))
}

/// Four K steps of the codes of two rows; `scaled` makes pairs of a row's word.
#[inline(always)]
fn convert(codes: [[u32; 4]; 2], scaled: impl Fn(usize, u32) -> [u32; 2]) -> Steps {
    let mut steps = [[0; 4]; 4];
    let mut i = 0;
    while i < 4 {
        let (upper, lower) = (scaled(0, codes[0][i]), scaled(1, codes[1][i]));
        steps[i] = [upper[0], lower[0], upper[1], lower[1]];
        i += 1;
    }
    steps
}

/// Multiplies all sums by the binary32 number with these bits.
#[inline(always)]
fn scale<const R: usize>(sums: &mut [[f32; R]; 2], bits: u32) {
    let factor = f32::from_bits(bits);
    let mut i = 0;
    while i < R {
        sums[0][i] *= factor;
        sums[1][i] *= factor;
        i += 1;
    }
}
