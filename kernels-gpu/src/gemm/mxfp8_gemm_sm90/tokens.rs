//! The warpgroup that turns tokens into 16-bit floats, in the layout and order that wgmma reads.
//!
//! A thread takes the 32 codes of one scale at a time: row `r`, scale column `t`. Their words `i = 0..8` of four codes
//! go to K step `i` of 16 elements: codes 0 and 1 to elements `2 t` and `2 t + 1`, codes 2 and 3 to `2 t + 8` and
//! `2 t + 9`. So the pairs of a warp's eight rows and four lanes a row are two matrices of `stmatrix` a word.

use super::scales::Verdict;
use super::*;
use crate::ptx::stmatrix;
use crate::tile::e4m3_half::{scaled_bf16, scaled_f16};
use crate::tile::e8m0;
use crate::tile::f16_frame;
use crate::tile::ring::Ring;
use crate::tile::work::Inbox;

/// Executed by: the warps that convert.
#[inline(always)]
pub(super) unsafe fn convert_tiles<T: Tiles>(args: &Args, smem: Shared, warp: u32, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut rings = Rings { scales: Ring::new(), tokens: Ring::new() };
    let thread = warp * 32 + lane;
    loop {
        // SAFETY: the warps take the same items.
        unsafe {
            let work = ScaledWork::take(&mut inbox, lane);
            if work.rows == 0 {
                break;
            }
            match token_span::<T>(&work) {
                128 => convert::<T, 4, 1>(args, smem, &mut rings, work, thread),
                64 => convert::<T, 2, 2>(args, smem, &mut rings, work, thread),
                _ => convert::<T, 1, 4>(args, smem, &mut rings, work, thread),
            }
        }
    }
}

struct Rings {
    scales: Ring<SCALE_STAGES>,
    tokens: Ring<BUFFERS>,
}

/// Executed by: the warps that convert. One tile; a thread has `UNITS` rows that are 32 apart, and loads them `AHEAD`
/// blocks before they are needed.
#[inline(always)]
unsafe fn convert<T: Tiles, const UNITS: usize, const AHEAD: usize>(
    args: &Args,
    smem: Shared,
    rings: &mut Rings,
    work: ScaledWork,
    thread: u32,
) {
    let (row, t) = (thread / 4, thread % 4);
    let row_bytes = u64::from(args.k_blocks) * u64::from(TILE_K);
    let first = args.a + u64::from(work.row + row) * row_bytes + u64::from(t * 32);
    let mut source = Source { next: first, row_bytes, left: args.k_blocks, row, rows: work.rows };
    let block = Block {
        smem,
        line: TOKEN_ATOM + scale_atoms::offset_in_atom(work.scale_row + row, t),
        inside: UNITS > 1 || row < token_span::<T>(&work),
        target: Target::new(thread),
        lane: thread % 32,
    };
    let mut units = [[Unit::ZERO; UNITS]; AHEAD];
    // SAFETY: rows below `work.rows` lie inside the tensors.
    unsafe {
        let mut ahead = 0;
        while ahead < AHEAD {
            let mut u = 0;
            while u < UNITS {
                source.load(&mut units[ahead][u], u as u32);
                u += 1;
            }
            source.advance();
            ahead += 1;
        }
        let mut left = args.k_blocks;
        while left > 0 {
            let mut ahead = 0;
            while ahead < AHEAD {
                if left > 0 {
                    block.convert(rings, &mut units[ahead], &mut source);
                    left -= 1;
                }
                ahead += 1;
            }
        }
    }
}

/// Where a thread's codes come from.
struct Source {
    /// Those of the next block.
    next: u64,
    row_bytes: u64,
    /// Blocks that were not loaded yet.
    left: u32,
    row: u32,
    rows: u32,
}

impl Source {
    /// Executed by: any thread. A unit of the next block, if there is one; rows that the tile does not have keep their
    /// zeros.
    #[inline(always)]
    unsafe fn load(&self, unit: &mut Unit, number: u32) {
        let wanted = self.left > 0 && self.row + number * 32 < self.rows;
        let address = self.next + u64::from(number * 32) * self.row_bytes;
        // SAFETY: the tile's rows lie inside the tensors, by contract.
        unsafe {
            ldst::load_global_u32x4_if(&mut unit.0[0], address, wanted);
            ldst::load_global_u32x4_if(&mut unit.0[1], address + 16, wanted);
        }
    }

    /// On to the next block.
    #[inline(always)]
    const fn advance(&mut self) {
        self.next += TILE_K as u64;
        self.left = self.left.saturating_sub(1);
    }
}

/// What is the same for all blocks of a tile.
struct Block {
    smem: Shared,
    /// Byte of the scale of the thread's first row in a slot of scales. Rows 32 further on lie at the next words.
    line: u32,
    /// Whether the tile's columns reach that far: always those of several units.
    inside: bool,
    target: Target,
    lane: u32,
}

impl Block {
    /// Executed by: the warps that convert. Fills the next buffer, and the units anew.
    #[inline(always)]
    unsafe fn convert<const UNITS: usize>(
        &self,
        rings: &mut Rings,
        units: &mut [Unit; UNITS],
        source: &mut Source,
    ) {
        let smem = self.smem;
        let (slot, buffer) = (rings.scales.slot(), rings.tokens.slot());
        // SAFETY: the slot and the buffer are waited for; `inside` is the same for all lanes of a warp.
        unsafe {
            let verdict = Verdict::await_next(smem, &rings.scales);
            let line = smem.scales(slot).at(self.line);
            mbarrier::wait(smem.tokens_free(buffer), rings.tokens.free_parity());
            let mut u = 0;
            while u < UNITS {
                let scale = ldst::load_shared_u8(line.at(u as u32 * 4));
                let target = self.target.unit(smem, buffer, u as u32);
                if self.inside {
                    if verdict.f16 != 0 {
                        let factor = f16_frame::factor(scale);
                        units[u].store(target, |codes| scaled_f16(codes, factor));
                    } else {
                        let scale = e8m0::value(scale);
                        units[u].store(target, |codes| scaled_bf16(codes, scale));
                    }
                }
                source.load(&mut units[u], u as u32);
                u += 1;
            }
            source.advance();
            sync::fence_proxy_async_shared();
            mbarrier::arrive(smem.tokens_full(buffer));
            release(smem.scales_free(slot), self.lane);
        }
        rings.scales.advance();
        rings.tokens.advance();
    }
}

/// Which rows of `stmatrix` a lane addresses: row `lane % 8` of the warp's eight, in chunk `lane / 8` of four that are
/// neighbours before the swizzle.
#[derive(Clone, Copy)]
struct Target {
    /// Bytes into half a buffer, for chunks 0..4 of its eight, and for the others.
    chunks: [u32; 2],
}

impl Target {
    #[inline(always)]
    const fn new(thread: u32) -> Self {
        let (row, matrix) = (thread / 32 * 8 + thread % 8, thread % 32 / 8);
        let first = row * 128 + (matrix ^ (row % 8)) * 16;
        Self { chunks: [first, first ^ 64] }
    }

    /// The same rows of a unit.
    #[inline(always)]
    fn unit(self, smem: Shared, buffer: u32, unit: u32) -> [[Smem; 2]; 2] {
        [0, 1].map(|half| self.chunks.map(|at| smem.tokens(buffer, half).at(at + unit * 32 * 128)))
    }
}

/// The codes of one scale.
#[derive(Clone, Copy)]
struct Unit([[u32; 4]; 2]);

impl Unit {
    const ZERO: Self = Self([[0; 4]; 2]);

    /// Executed by: warp, converged. Two words of codes are four chunks.
    #[inline(always)]
    unsafe fn store(&self, target: [[Smem; 2]; 2], scaled: impl Fn(u32) -> [u32; 2]) {
        let mut half = 0;
        while half < 2 {
            let mut i = 0;
            while i < 2 {
                let [a, b] = scaled(self.0[half][i * 2]);
                let [c, d] = scaled(self.0[half][i * 2 + 1]);
                // SAFETY: the buffer is the caller's to write.
                unsafe { stmatrix::store_matrix_x4(target[half][i], [a, b, c, d]) }
                i += 1;
            }
            half += 1;
        }
    }
}
