//! The warpgroup that turns tokens into bf16, in the layout and order that wgmma reads.
//!
//! A thread takes the 32 codes of one scale at a time: row `r`, scale column `t`. Their words `i = 0..8` of four codes
//! go to K step `i` of 16 elements: codes 0 and 2 to elements `2 t` and `2 t + 1`, codes 1 and 3 to `2 t + 8` and
//! `2 t + 9`. So the four lanes of a row write 16 neighbouring bytes, and the eight rows of a warp all banks.

use super::*;
use crate::ptx::simd;
use crate::tile::e4m3_bf16::{self, ORDERS, Scale};
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// Executed by: the warps that convert.
#[inline(always)]
pub(super) unsafe fn convert_tiles(args: &Args, smem: Shared, warp: u32, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<BUFFERS>::new();
    let thread = warp * 32 + lane;
    loop {
        // SAFETY: the warps take the same items.
        unsafe {
            let work = ScaledWork::take(&mut inbox, lane);
            if work.rows == 0 {
                break;
            }
            match token_span(work.rows) {
                128 => convert::<4>(args, smem, &mut ring, work, thread),
                64 => convert::<2>(args, smem, &mut ring, work, thread),
                _ => convert::<1>(args, smem, &mut ring, work, thread),
            }
        }
    }
}

/// Executed by: the warps that convert. One tile; a thread has `UNITS` rows that are 32 apart.
#[inline(always)]
unsafe fn convert<const UNITS: u32>(
    args: &Args,
    smem: Shared,
    ring: &mut Ring<BUFFERS>,
    work: ScaledWork,
    thread: u32,
) {
    let (row, t) = (thread / 4, thread % 4);
    let row_bytes = u64::from(args.k_blocks) * u64::from(TILE_K);
    let mut source = args.a + u64::from(work.row + row) * row_bytes + u64::from(t * 32);
    // Rows `row + 32 u` of the tile's atom lie in the line of `row`, at word `u`.
    let atom = u64::from(work.scale_row / scale_atoms::ROWS) * u64::from(args.k_blocks);
    let offset = scale_atoms::offset_in_atom(row, t);
    let mut scales = args.scales_a + atom * u64::from(scale_atoms::BYTES) + u64::from(offset);
    let inside = row < token_span(work.rows);
    let target = Target { at: row * 128 + t * 4, swizzle: row % 8 };
    for _ in 0..args.k_blocks {
        let buffer = ring.slot();
        // SAFETY: rows below `work.rows` lie inside the tensors, and their atom too; the buffer is free once the
        // barrier says so.
        unsafe {
            let mut waiting = true;
            let mut u = 0;
            while u < UNITS {
                // Two units are under way at once.
                let first = Unit::load(source, scales, row_bytes, u, row, work.rows);
                let second = if UNITS > 1 {
                    Unit::load(source, scales, row_bytes, u + 1, row, work.rows)
                } else {
                    first
                };
                if waiting {
                    mbarrier::wait(smem.tokens_free(buffer), ring.free_parity());
                    waiting = false;
                }
                if inside {
                    first.store(smem, buffer, target.unit(u));
                    if UNITS > 1 {
                        second.store(smem, buffer, target.unit(u + 1));
                    }
                }
                u += 2;
            }
            sync::fence_proxy_async();
            mbarrier::arrive(smem.tokens_full(buffer));
        }
        source += u64::from(TILE_K);
        scales += u64::from(scale_atoms::BYTES);
        ring.advance();
    }
}

/// Where a thread stores.
#[derive(Clone, Copy)]
struct Target {
    /// Bytes to the thread's word of chunk 0 in half a buffer.
    at: u32,
    /// What chunk numbers are exchanged by.
    swizzle: u32,
}

impl Target {
    #[inline(always)]
    const fn unit(self, unit: u32) -> Self {
        Self { at: self.at + unit * 32 * 128, ..self }
    }
}

/// The codes of one scale.
#[derive(Clone, Copy)]
struct Unit {
    codes: [[u32; 4]; 2],
    scale: Scale,
}

impl Unit {
    /// Executed by: any thread. Rows that the tile does not have read as zeros.
    #[inline(always)]
    unsafe fn load(
        source: u64,
        scales: u64,
        row_bytes: u64,
        unit: u32,
        row: u32,
        rows: u32,
    ) -> Self {
        let own = row + unit * 32 < rows;
        let address = source + u64::from(unit * 32) * row_bytes;
        let mut codes = [[0; 4]; 2];
        // SAFETY: an own row lies inside the tensors.
        unsafe {
            ldst::load_global_u32x4_if(&mut codes[0], address, own);
            ldst::load_global_u32x4_if(&mut codes[1], address + 16, own);
            let scale = ldst::load_global_u8_or_zero(scales + u64::from(unit * 4), own);
            Self { codes, scale: Scale(scale) }
        }
    }

    /// Executed by: any thread.
    #[inline(always)]
    unsafe fn store(&self, smem: Shared, buffer: u32, target: Target) {
        let mut noted = 0;
        let mut i = 0;
        while i < 8 {
            noted = e4m3_bf16::note_nan(noted, self.codes[i / 4][i % 4]);
            i += 1;
        }
        // SAFETY: the buffer is the caller's to write.
        unsafe {
            if self.scale.is_plain() && !e4m3_bf16::has_nan(noted) {
                let factor = self.scale.factor();
                self.store_words(smem, buffer, target, |codes| simd::mul_bf16x2(codes, factor));
            } else {
                self.store_words(smem, buffer, target, |codes| careful(codes, self.scale));
            }
        }
    }

    /// Executed by: any thread.
    #[inline(always)]
    unsafe fn store_words(
        &self,
        smem: Shared,
        buffer: u32,
        target: Target,
        scaled: impl Fn(u32) -> u32,
    ) {
        let mut i = 0;
        while i < 8 {
            let word = self.codes[i / 4][i % 4];
            let half = smem.tokens(buffer, i as u32 / 4).at(target.at);
            let chunk = i as u32 % 4 * 2;
            // SAFETY: the buffer is the caller's to write.
            unsafe {
                let even = scaled(e4m3_bf16::even(word));
                ldst::store_shared_u32(half.at((chunk ^ target.swizzle) * 16), even);
                let odd = scaled(e4m3_bf16::odd(word));
                ldst::store_shared_u32(half.at(((chunk + 1) ^ target.swizzle) * 16), odd);
            }
            i += 1;
        }
    }
}

/// Two codes times any scale, NaN among them or not.
#[inline(always)]
pub(super) fn careful(spread: u32, scale: Scale) -> u32 {
    let values = e4m3_bf16::with_nan(spread, simd::mul_bf16x2(spread, ORDERS));
    simd::mul_bf16x2(values, scale.value())
}
