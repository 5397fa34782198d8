//! MXFP8 grouped GEMM for Hopper, which has no block-scaled tensor core: exact in 16-bit floats.
//!
//! `D[m, n] = cast(sum over k of a[m, k] * 2^(sfa[m, k / 32] - 127) * b[n, k] * 2^(sfb[n, k / 32] - 127))`
//!
//! | operand | type | shape, row-major | read or written by |
//! | --- | --- | --- | --- |
//! | tokens `a` | e4m3 | `[rows, K]`, packed by expert | 16-byte loads |
//! | weights `b` | e4m3 | `[experts, N, K]` | TMA, boxes of 256 rows x 128 bytes |
//! | `sfa` | e8m0 | `[scale rows, K / 32]` in atoms of 128 x 4 | 16-byte loads |
//! | `sfb` | e8m0 | `[experts, N, K / 32]` in atoms of 128 x 4 | 16-byte loads |
//! | output `D` | bf16, f16 | `[rows, N]` | 16-byte stores, only rows of the tile's expert |
//!
//! ```text
//! one warp    posts the CTA's tiles   (up to 128 tokens x 256 columns each, any expert)
//! one warp    for each tile, for each kb: wait free; copy weights -> slot
//! one warp    for each tile, for each kb: load scales; choose the frame; both -> slot
//! 4 warps     for each tile, for each kb: load tokens; code times scale -> buffer
//! one warp    audits the group tables, if a status word was given
//! 8 warps     for each tile:
//!                 for each kb: if the frame changes: move the sums to it
//!                              wait full; code times scale -> registers; free slot
//!                              sums += weights x tokens (32 wgmma, of f16 or of bf16)
//!                 ask for the next tile; D = cast(sums, out of the frame)
//! ```
//!
//! What differs from the pseudo-code:
//!
//! 1. **A code times a power of two is a 16-bit float.** In bf16 for all scale bytes from 3 to 246 (beyond, the product
//!    is rounded, once), and in f16 where the scales of a block are within 13 binary orders
//!    ([`crate::tile::f16_frame`]). Both multiply alike, so the form does not show in the result: one accumulator
//!    runs through all of K, as exact as the tensor core's 25 fraction bits.
//! 2. **f16 is what the hardware converts to**: one instruction and one multiplication for two codes, while bf16 takes
//!    six. So f16 is the form of all blocks but those with extreme scales. One warp decides, long before.
//! 3. **Weights stay 8 bits wide** from memory to registers. One math warpgroup converts its rows while the tensor core
//!    multiplies those of the other.
//! 4. **The order of K inside a block is free**, if both operands agree. A thread takes the 32 codes of one scale: its
//!    row's elements `32 t ..` for lane `t` of four; wgmma `i` of a block then multiplies elements `32 t + 4 i + {0, 1}`
//!    and `{2, 3}`. The tokens are stored in that order.
//! 5. **A warp owns 32 neighbouring weights** in two wgmma of 16 rows each: rows of the register operand can be any.
//! 6. **Tokens are few**: 8, 16, 32, 64 or 128 columns a tile, so that small experts are not padded. Tiles of an expert with
//!    large weights keep pace (see [`crate::tile::schedule`]): its last one takes 128, unless the last wave is cut. Large
//!    experts come before small ones, at least among the last 32.
//! 7. **Two kernels** of this one source ([`tiles`]): all forms are more code than a launch finds close by, and cost a short
//!    call 2 us. For up to 8 rows an expert, on average, there is one with the forms of 8 and 32 columns only, 59 KiB.
//!
//! What was tried and lost, with its numbers, is in `docs/notes/mxfp8_gemm_sm90.md`.

mod load;
mod math;
mod scales;
mod tiles;
mod tokens;

#[cfg(gpu_module = "mxfp8_gemm_sm90_few")]
pub(crate) use tiles::Few;
#[cfg(gpu_module = "mxfp8_gemm_sm90")]
pub(crate) use tiles::Large;
use tiles::Tiles;

use crate::abi::{
    Mxfp8GemmParams,
    mxfp8_gemm::TILE_K,
    mxfp8_gemm_sm90::{SMEM_BYTES, STAGES, THREADS, TILE_COLUMNS, TILE_TOKENS},
    scale_atoms,
};
use crate::ptx::tma::{self, MapAddress};
use crate::ptx::{Smem, ldst, mbarrier, sreg, sync, warp};
use crate::tile::output::Output;
use crate::tile::scaled_schedule::{self, ScaledWork};
use crate::tile::scaled_tables::{self, ScaledTables};
use crate::tile::token_store::{STAGING_BYTES, WARP_COLUMNS};
use crate::tile::work::{self, Board, Outbox};
use core::mem::offset_of;

/// Warps of a warpgroup.
const GROUP_WARPS: u32 = 4;
/// Warpgroups 0 and 1 multiply, 2 converts tokens, and the warps of 3 serve.
const MATH_WARPS: u32 = 8;
const TOKEN_WARPS: u32 = GROUP_WARPS;
const _: () = assert!(THREADS == (MATH_WARPS + TOKEN_WARPS + GROUP_WARPS) * 32);
/// Registers per thread after the warpgroups have settled: 128 x (2 x 192 + 72 + 56) = 65,536.
const MATH_REGISTERS: u32 = 192;
const TOKEN_REGISTERS: u32 = 72;
const SERVICE_REGISTERS: u32 = 56;
/// Warps that read the work ring: math, tokens, and those that bring weights and scales.
const READING_WARPS: u32 = MATH_WARPS + TOKEN_WARPS + 2;

/// Weights of a math warpgroup.
const GROUP_COLUMNS: u32 = TILE_COLUMNS / 2;
const _: () = assert!(GROUP_COLUMNS == scale_atoms::ROWS && TILE_TOKENS == scale_atoms::ROWS);
// A math warp has 32 weights, in two halves of 16.
const _: () = assert!(GROUP_WARPS * WARP_COLUMNS == GROUP_COLUMNS);
/// Bytes of a slot's weights.
const WEIGHT_BYTES: u32 = TILE_COLUMNS * TILE_K;
/// Slots of the ring of scales.
const SCALE_STAGES: u32 = 8;
/// A slot's scales: an atom for each math warpgroup, one for the tokens, and how the block is multiplied.
const TOKEN_ATOM: u32 = 2 * scale_atoms::BYTES;
const VERDICT: u32 = 3 * scale_atoms::BYTES;
const SCALE_BYTES: u32 = VERDICT + 16;
/// Buffers of converted tokens.
const BUFFERS: u32 = 2;
/// Bytes of half a buffer: 128 tokens x 64 elements.
const HALF_BUFFER_BYTES: u32 = TILE_TOKENS * 128;

// The shared memory of a CTA.
const WEIGHTS: u32 = 0;
const TOKENS: u32 = WEIGHTS + STAGES * WEIGHT_BYTES;
const SCALES: u32 = TOKENS + BUFFERS * 2 * HALF_BUFFER_BYTES;
const STAGING: u32 = SCALES + SCALE_STAGES * SCALE_BYTES;
const WORK: u32 = STAGING + MATH_WARPS * STAGING_BYTES;
const WEIGHTS_FULL: u32 = WORK + work::DEPTH * work::SLOT_BYTES;
const WEIGHTS_FREE: u32 = WEIGHTS_FULL + STAGES * 8;
const TOKENS_FULL: u32 = WEIGHTS_FREE + STAGES * 8;
const TOKENS_FREE: u32 = TOKENS_FULL + BUFFERS * 8;
const SCALES_FULL: u32 = TOKENS_FREE + BUFFERS * 8;
const SCALES_FREE: u32 = SCALES_FULL + SCALE_STAGES * 8;
const WORK_POSTED: u32 = SCALES_FREE + SCALE_STAGES * 8;
const WORK_TAKEN: u32 = WORK_POSTED + work::DEPTH * 8;
const END: u32 = WORK_TAKEN + work::DEPTH * 8;
const _: () = assert!(END == SMEM_BYTES && WORK.is_multiple_of(16));

/// The kernel's parameter in registers, with the address of its tensor map.
#[derive(Clone, Copy)]
pub(crate) struct Args {
    weights: MapAddress,
    a: u64,
    scales_a: u64,
    scales_b: u64,
    output: u64,
    status: u64,
    k_blocks: u32,
    tables: ScaledTables,
}

impl Args {
    /// `base` is the generic address of `p` in parameter space.
    #[inline(always)]
    pub(crate) fn new(p: &Mxfp8GemmParams, base: u64) -> Self {
        Self {
            weights: MapAddress(base + offset_of!(Mxfp8GemmParams, weights) as u64),
            a: p.a,
            scales_a: p.scales_a,
            scales_b: p.scales_b,
            output: p.output,
            status: p.status,
            k_blocks: p.k / TILE_K,
            tables: ScaledTables::of_product(p),
        }
    }

    #[inline(always)]
    fn n(&self) -> u32 {
        self.tables.problem.problem.n
    }
}

/// Shared memory by name. `slot` is below `STAGES`, of scales below `SCALE_STAGES`; `buffer` below `BUFFERS`.
#[derive(Clone, Copy)]
struct Shared(Smem);

impl Shared {
    #[inline(always)]
    fn weights(self, slot: u32) -> Smem {
        self.0.at(WEIGHTS + slot * WEIGHT_BYTES)
    }
    #[inline(always)]
    fn scales(self, slot: u32) -> Smem {
        self.0.at(SCALES + slot * SCALE_BYTES)
    }
    /// Tokens of 64 elements in each half.
    #[inline(always)]
    fn tokens(self, buffer: u32, half: u32) -> Smem {
        self.0.at(TOKENS + (buffer * 2 + half) * HALF_BUFFER_BYTES)
    }
    #[inline(always)]
    fn staging(self, math_warp: u32) -> Smem {
        self.0.at(STAGING + math_warp * STAGING_BYTES)
    }
    /// One arrival by the copies of weights, with their bytes.
    #[inline(always)]
    fn weights_full(self, slot: u32) -> Smem {
        self.0.at(WEIGHTS_FULL + slot * 8)
    }
    /// One arrival by each math warp.
    #[inline(always)]
    fn weights_free(self, slot: u32) -> Smem {
        self.0.at(WEIGHTS_FREE + slot * 8)
    }
    /// One arrival by each thread of the warp that brings scales.
    #[inline(always)]
    fn scales_full(self, slot: u32) -> Smem {
        self.0.at(SCALES_FULL + slot * 8)
    }
    /// One arrival by each warp that converts.
    #[inline(always)]
    fn scales_free(self, slot: u32) -> Smem {
        self.0.at(SCALES_FREE + slot * 8)
    }
    /// One arrival by each thread that converts tokens.
    #[inline(always)]
    fn tokens_full(self, buffer: u32) -> Smem {
        self.0.at(TOKENS_FULL + buffer * 8)
    }
    /// One arrival by each math warp.
    #[inline(always)]
    fn tokens_free(self, buffer: u32) -> Smem {
        self.0.at(TOKENS_FREE + buffer * 8)
    }
    #[inline(always)]
    fn board(self) -> Board {
        Board {
            slots: self.0.at(WORK),
            posted: self.0.at(WORK_POSTED),
            taken: self.0.at(WORK_TAKEN),
        }
    }
}

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel<O: Output, T: Tiles>(args: &Args) {
    let smem = Shared(ldst::dynamic_smem());
    let thread = sreg::thread();
    // SAFETY: the barriers are initialised once, before the CTA's barrier and so before any use; every branch below is
    // uniform for the warps that take it, and the register budgets for the warpgroups.
    unsafe {
        if thread == 0 {
            tma::prefetch_map(args.weights);
            init_barriers(smem);
        }
        sync::cta_sync();

        let warp = warp::broadcast(thread / 32, 0);
        let lane = thread % 32;
        if warp < MATH_WARPS {
            warp::raise_registers::<MATH_REGISTERS>();
            math::multiply_tiles::<O, T>(args, smem, warp, lane);
        } else if warp < MATH_WARPS + TOKEN_WARPS {
            warp::lower_registers::<TOKEN_REGISTERS>();
            tokens::convert_tiles::<T>(args, smem, warp - MATH_WARPS, lane);
        } else {
            warp::lower_registers::<SERVICE_REGISTERS>();
            match warp - MATH_WARPS - TOKEN_WARPS {
                0 => load::weights(args, smem, lane),
                1 => {
                    let mut outbox = Outbox::new(smem.board());
                    scaled_schedule::post_tiles::<_, TILE_COLUMNS, 1>(
                        &args.tables,
                        T::of(args),
                        &mut outbox,
                        lane,
                    );
                }
                2 => {
                    if args.status != 0 {
                        scaled_tables::audit(&args.tables, args.status, lane);
                    }
                }
                _ => scales::bring(args, smem, lane),
            }
        }
    }
}

/// Executed by: one thread.
#[inline(always)]
unsafe fn init_barriers(smem: Shared) {
    // SAFETY: nobody uses the barriers before the CTA's barrier that follows.
    unsafe {
        for slot in 0..STAGES {
            mbarrier::init(smem.weights_full(slot), 1);
            mbarrier::init(smem.weights_free(slot), MATH_WARPS);
        }
        for buffer in 0..BUFFERS {
            mbarrier::init(smem.tokens_full(buffer), TOKEN_WARPS * 32);
            mbarrier::init(smem.tokens_free(buffer), MATH_WARPS);
        }
        for slot in 0..SCALE_STAGES {
            mbarrier::init(smem.scales_full(slot), 32);
            mbarrier::init(smem.scales_free(slot), MATH_WARPS + TOKEN_WARPS);
        }
        smem.board().init(READING_WARPS);
        sync::fence_mbarrier_init();
        sync::fence_proxy_async();
    }
}

/// Executed by: warp, converged. Lets what the barrier guards be overwritten.
#[inline(always)]
unsafe fn release(barrier: Smem, lane: u32) {
    // SAFETY: the warp converges, so all its lanes have read; the barrier is initialised.
    unsafe {
        warp::sync();
        if lane == 0 {
            mbarrier::arrive(barrier);
        }
    }
}

/// Columns that the tokens of a tile take.
#[inline(always)]
fn token_span<T: Tiles>(work: &ScaledWork) -> u32 {
    let rows = if work.in_step { TILE_TOKENS } else { work.rows };
    T::form(if rows > 64 {
        128
    } else if rows > 32 {
        64
    } else if rows > 16 {
        32
    } else if rows > 8 {
        16
    } else {
        8
    })
}
