//! FP8 grouped GEMM with 1x128 activation scales and 128x128 weight scales, for Hopper (wgmma).
//!
//! `D[m, n] = cast(sum over kb of sa[m, kb] * sb[n / 128, kb] * (sum over k in kb of a[m, k] * b[n, k]))`
//!
//! | operand | type | shape, row-major | read or written by |
//! | --- | --- | --- | --- |
//! | tokens `a` | e4m3 | `[rows, K]`, packed by expert | TMA, boxes of 64 or 8 rows x 128 bytes |
//! | weights `b` | e4m3 | `[experts, N, K]` | TMA, boxes of 128 rows x 128 bytes |
//! | `sa` | f32 | `[rows, K / 128]` | 4-byte asynchronous copies |
//! | `sb` | f32 | `[experts, N / 128, K / 128]` | 4-byte asynchronous copies |
//! | output `D` | bf16, f16 | `[rows, N]` | 16-byte stores, only rows of the tile's expert |
//!
//! ```text
//! one warp    posts the CTA's tiles              (128 rows x 128 columns each, any expert)
//! one warp    for each tile, for each kb:        wait free; TMA tokens and weights -> slot
//! one warp    for each tile, for each kb:        wait free; copy sa, sb            -> slot
//! one warp    audits the group tables, if a status word was given
//! 8 warps     for each tile:
//!                 for each kb: wait full; block = tokens x weights (4 wgmma); free slot
//!                              sum = fma(block, sa * sb, sum)
//!                 D = cast(sum)
//! ```
//!
//! What differs from the pseudo-code:
//!
//! 1. **Two forms of a tile.** With more than 64 rows, tokens are the 64-row side of wgmma and weights the
//!    128-column side. With fewer, the sides are swapped: weights fill the 64 rows of each warpgroup and
//!    tokens take 8, 16, 32 or 64 columns, so that small experts are not padded to 64 rows. Both forms
//!    read the same slots and give the same bits: the tensor core's sum does not depend on the side, and
//!    the promotion is the same.
//! 2. **Two accumulators** in the first form: while one block is promoted the other one multiplies. The
//!    loop takes four blocks at a time and leaves none in flight over its back edge, where the assembler
//!    would otherwise serialise everything (its message C7514).
//! 3. **No padding, no per-expert descriptors.** A box may hold rows of the next expert, which are
//!    multiplied and never stored.
//! 4. **The output goes through shared memory** (stmatrix, then 16-byte stores), a warp at a time: a warp
//!    owns its rows, so no barrier is needed.

use crate::abi::{Fp8BlockParams, Problem, SCALE_BLOCK, fp8_block::*};
use crate::ptx::tma::{self, MapAddress};
use crate::ptx::wgmma::{self, M64N8, M64N16, M64N32, M64N64, M64N128, Mma};
use crate::ptx::{Smem, cp_async, ldst, mbarrier, sreg, sync, warp};
use crate::tile::output::Output;
use crate::tile::ring::Ring;
use crate::tile::schedule::{self, GroupTables};
use crate::tile::work::{self, Board, Inbox, Outbox, Work};
use crate::tile::{descriptor, fragment};
use core::mem::offset_of;

const _: () = assert!(TILE_K == SCALE_BLOCK && TILE == SCALE_BLOCK);
const _: () = assert!(TILE == 2 * TOKEN_BOX_ROWS && TOKEN_BOX_ROWS_SMALL * TILE_K == 1024);

/// Threads of a warpgroup.
const WARPGROUP: u32 = 128;
/// Warpgroups 0 and 1 multiply; the warps of warpgroup 2 serve them.
const MATH_WARPS: u32 = 8;
/// Registers per thread after the warpgroups have settled: 2 x 128 x 232 + 128 x 40 <= 65,536.
const MATH_REGISTERS: u32 = 232;
const SERVICE_REGISTERS: u32 = 40;
/// Warps that read the work ring: eight math warps, the tensor copies and the scale copies.
const READING_WARPS: u32 = MATH_WARPS + 2;
/// Tiles with at most this many rows are computed with swapped sides.
const SWAP_ROWS: u32 = 64;

/// Bytes of one operand in a slot: 128 rows of 128 bytes.
const OPERAND_BYTES: u32 = TILE * TILE_K;
/// Bytes that one slot holds of the weights, and at most of the tokens.
const SLOT_BYTES: u32 = 2 * OPERAND_BYTES;
/// Bytes between rows of a warp's staging buffer: 64 outputs and 16 bytes that spread rows over banks.
const STAGING_PITCH: u32 = 64 * 2 + 16;
/// Bytes of a warp's staging buffer: its 16 rows of half a tile, or 64 tokens x 16 columns.
const STAGING_BYTES: u32 = fragment::WARP_ROWS * STAGING_PITCH;
/// Bytes between tokens of a warp's staging buffer when the sides are swapped: its 16 columns.
const SWAPPED_PITCH: u32 = fragment::WARP_ROWS * 2;
const _: () = assert!(SWAP_ROWS * SWAPPED_PITCH <= STAGING_BYTES);

// The shared memory of a CTA.
const SLOTS: u32 = 0;
const SCALES_A: u32 = SLOTS + STAGES * SLOT_BYTES;
const STAGING: u32 = SCALES_A + STAGES * TILE * 4;
const SCALES_B: u32 = STAGING + MATH_WARPS * STAGING_BYTES;
const WORK: u32 = (SCALES_B + STAGES * 4).next_multiple_of(16);
const TILE_FULL: u32 = WORK + work::DEPTH * work::SLOT_BYTES;
const TILE_FREE: u32 = TILE_FULL + STAGES * 8;
const WORK_POSTED: u32 = TILE_FREE + STAGES * 8;
const WORK_TAKEN: u32 = WORK_POSTED + work::DEPTH * 8;
const END: u32 = WORK_TAKEN + work::DEPTH * 8;
const _: () = assert!(END == SMEM_BYTES && TILE_FULL.is_multiple_of(8));

/// The kernel's parameter in registers, with the addresses of its tensor maps.
#[derive(Clone, Copy)]
pub(crate) struct Args {
    tokens: MapAddress,
    tokens_small: MapAddress,
    weights: MapAddress,
    scales_a: u64,
    scales_b: u64,
    output: u64,
    status: u64,
    k_blocks: u32,
    tables: GroupTables,
}

impl Args {
    /// `base` is the generic address of `p` in parameter space.
    #[inline(always)]
    pub(crate) fn new(p: &Fp8BlockParams, base: u64) -> Self {
        Self {
            tokens: MapAddress(base + offset_of!(Fp8BlockParams, tokens) as u64),
            tokens_small: MapAddress(base + offset_of!(Fp8BlockParams, tokens_small) as u64),
            weights: MapAddress(base + offset_of!(Fp8BlockParams, weights) as u64),
            scales_a: p.scales_a,
            scales_b: p.scales_b,
            output: p.output,
            status: p.status,
            k_blocks: p.k / TILE_K,
            tables: GroupTables {
                problem_sizes: p.problem_sizes,
                expert_offsets: p.expert_offsets,
                experts: p.experts,
                problem: Problem { rows: p.rows, n: p.n, k: p.k },
            },
        }
    }

    /// Number of column blocks of the output.
    #[inline(always)]
    fn col_blocks(&self) -> u32 {
        self.tables.problem.n / TILE
    }
}

/// Shared memory by name. `slot` is below `STAGES`.
#[derive(Clone, Copy)]
struct Shared(Smem);

impl Shared {
    #[inline(always)]
    fn weights(self, slot: u32) -> Smem {
        self.0.at(SLOTS + slot * SLOT_BYTES)
    }
    #[inline(always)]
    fn tokens(self, slot: u32) -> Smem {
        self.0.at(SLOTS + slot * SLOT_BYTES + OPERAND_BYTES)
    }
    #[inline(always)]
    fn scales_a(self, slot: u32) -> Smem {
        self.0.at(SCALES_A + slot * TILE * 4)
    }
    #[inline(always)]
    fn scale_b(self, slot: u32) -> Smem {
        self.0.at(SCALES_B + slot * 4)
    }
    #[inline(always)]
    fn staging(self, math_warp: u32) -> Smem {
        self.0.at(STAGING + math_warp * STAGING_BYTES)
    }
    /// One arrival by the tensor copies with their bytes, one by each lane of the scale copies.
    #[inline(always)]
    fn tile_full(self, slot: u32) -> Smem {
        self.0.at(TILE_FULL + slot * 8)
    }
    /// One arrival by each math warp.
    #[inline(always)]
    fn tile_free(self, slot: u32) -> Smem {
        self.0.at(TILE_FREE + slot * 8)
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
pub(crate) unsafe fn kernel<O: Output>(args: &Args) {
    let smem = Shared(ldst::dynamic_smem());
    let thread = sreg::thread();
    // SAFETY: the barriers are initialised once, before the CTA's barrier and so before any use; every
    // branch below is uniform for the warps that take it, and the register budgets for the warpgroups.
    unsafe {
        if thread == 0 {
            tma::prefetch_map(args.tokens);
            tma::prefetch_map(args.tokens_small);
            tma::prefetch_map(args.weights);
            init_barriers(smem);
        }
        sync::cta_sync();

        let warp = warp::broadcast(thread / 32, 0);
        let lane = thread % 32;
        if warp < MATH_WARPS {
            warp::raise_registers::<MATH_REGISTERS>();
            math::<O>(args, smem, warp, lane);
        } else {
            warp::lower_registers::<SERVICE_REGISTERS>();
            match warp - MATH_WARPS {
                0 => load_tiles(args, smem, lane),
                1 => load_scales(args, smem, lane),
                2 => {
                    let mut outbox = Outbox::new(smem.board());
                    schedule::post_tiles::<TILE>(&args.tables, &mut outbox, lane);
                }
                _ => {
                    if args.status != 0 {
                        schedule::audit(&args.tables, args.status, lane);
                    }
                }
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
            mbarrier::init(smem.tile_full(slot), 1 + 32);
            mbarrier::init(smem.tile_free(slot), MATH_WARPS);
        }
        let board = smem.board();
        for slot in 0..work::DEPTH {
            mbarrier::init(board.posted.at(slot * 8), 1);
            mbarrier::init(board.taken.at(slot * 8), READING_WARPS);
        }
        sync::fence_mbarrier_init();
        sync::fence_proxy_async();
    }
}

/// Columns that the tokens of a tile take in its form: 8, 16, 32 or 64 when swapped, else all 128 rows.
#[inline(always)]
const fn token_span(rows: u32) -> u32 {
    if rows > 64 {
        128
    } else if rows > 32 {
        64
    } else if rows > 16 {
        32
    } else if rows > 8 {
        16
    } else {
        8
    }
}

/// Executed by: the warp of the tensor copies; its first lane issues them.
#[inline(always)]
unsafe fn load_tiles(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { inbox.take(lane) };
        if work.rows == 0 {
            break;
        }
        let span = token_span(work.rows);
        // Small experts load only the swizzle atoms that hold their columns.
        let large = span >= TOKEN_BOX_ROWS;
        let map = if large { args.tokens } else { args.tokens_small };
        let box_rows = if large { TOKEN_BOX_ROWS } else { TOKEN_BOX_ROWS_SMALL };
        for kb in 0..args.k_blocks {
            if lane == 0 {
                let (slot, k) = (ring.slot(), kb * TILE_K);
                let full = smem.tile_full(slot);
                // SAFETY: the slot is free and holds both boxes; `full` expects exactly their bytes.
                unsafe {
                    mbarrier::wait(smem.tile_free(slot), ring.free_parity());
                    mbarrier::arrive_expect(full, OPERAND_BYTES + span * TILE_K);
                    let column = [k, work.col_block * TILE, work.expert];
                    tma::load_3d(smem.weights(slot), args.weights, column, full);
                    let mut row = 0;
                    while row < span {
                        let target = smem.tokens(slot).at(row * TILE_K);
                        tma::load_2d(target, map, [k, work.row + row], full);
                        row += box_rows;
                    }
                }
            }
            ring.advance();
        }
        // SAFETY: the warp converges here.
        unsafe { warp::sync() }
    }
}

/// Executed by: the warp of the scale copies. Lane `l` copies rows `l`, `l + 32`, ... of the tile.
#[inline(always)]
unsafe fn load_scales(args: &Args, smem: Shared, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut ring = Ring::<STAGES>::new();
    let row_bytes = u64::from(args.k_blocks) * 4;
    loop {
        // SAFETY: the warp is converged here.
        let work = unsafe { inbox.take(lane) };
        if work.rows == 0 {
            break;
        }
        let span = token_span(work.rows);
        let mut source_a = args.scales_a + u64::from(work.row + lane) * row_bytes;
        let weight_block =
            u64::from(work.expert) * u64::from(args.col_blocks()) + u64::from(work.col_block);
        let mut source_b = args.scales_b + weight_block * row_bytes;
        for _ in 0..args.k_blocks {
            let slot = ring.slot();
            // SAFETY: the slot is free; rows past the expert's own are zeroed instead of read.
            unsafe {
                mbarrier::wait(smem.tile_free(slot), ring.free_parity());
                let mut row = lane;
                let mut source = source_a;
                while row < span {
                    let target = smem.scales_a(slot).at(row * 4);
                    cp_async::copy_word_or_zero(target, source, row < work.rows);
                    row += 32;
                    source += 32 * row_bytes;
                }
                if lane == 0 {
                    cp_async::copy_word_or_zero(smem.scale_b(slot), source_b, true);
                }
                cp_async::arrive_when_landed(smem.tile_full(slot));
            }
            source_a += 4;
            source_b += 4;
            ring.advance();
        }
    }
}

/// Executed by: the math warps.
#[inline(always)]
unsafe fn math<O: Output>(args: &Args, smem: Shared, warp: u32, lane: u32) {
    let mut inbox = Inbox::new(smem.board());
    let mut math = Math { args, smem, ring: Ring::new(), warp, lane };
    loop {
        // SAFETY: all warps of a warpgroup take the same items, so they stay together.
        unsafe {
            let work = inbox.take(lane);
            if work.rows == 0 {
                break;
            }
            match token_span(work.rows) {
                128 => math.tokens_on_rows::<O>(work),
                64 => math.tokens_on_columns::<O, M64N64, 32>(work),
                32 => math.tokens_on_columns::<O, M64N32, 16>(work),
                16 => math.tokens_on_columns::<O, M64N16, 8>(work),
                _ => math.tokens_on_columns::<O, M64N8, 4>(work),
            }
        }
    }
}

/// One warp's view of the math role.
struct Math<'a> {
    args: &'a Args,
    smem: Shared,
    ring: Ring<STAGES>,
    warp: u32,
    lane: u32,
}

/// What the promotion of a block needs.
struct Pending {
    /// `sa * sb` of the thread's upper and lower row.
    scales: [f32; 2],
    slot: u32,
}

impl Math<'_> {
    #[inline(always)]
    fn warpgroup(&self) -> u32 {
        self.warp / (WARPGROUP / 32)
    }

    /// Executed by: warpgroup. Lets the slot be overwritten, once its multiplication is done and its
    /// scales are in registers.
    #[inline(always)]
    unsafe fn release(&self, slot: u32) {
        if self.lane == 0 {
            // SAFETY: the barrier is initialised.
            unsafe { mbarrier::arrive(self.smem.tile_free(slot)) }
        }
    }

    /// Executed by: warpgroup. The tile with tokens on the 64-row side of each warpgroup.
    #[inline(always)]
    unsafe fn tokens_on_rows<O: Output>(&mut self, work: Work) {
        let mut sum = [0.0; 64];
        let (mut even, mut odd) = ([0.0; 64], [0.0; 64]);
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            while left >= 4 {
                let k0 = self.start(&mut even);
                let k1 = self.start(&mut odd);
                wgmma::wait::<1>();
                self.promote(&mut sum, &mut even, k0);
                let k2 = self.start(&mut even);
                wgmma::wait::<1>();
                self.promote(&mut sum, &mut odd, k1);
                let k3 = self.start(&mut odd);
                wgmma::wait::<1>();
                self.promote(&mut sum, &mut even, k2);
                wgmma::wait::<0>();
                self.promote(&mut sum, &mut odd, k3);
                left -= 4;
            }
            while left > 0 {
                let k = self.start(&mut even);
                wgmma::wait::<0>();
                self.promote(&mut sum, &mut even, k);
                left -= 1;
            }
            self.store_rows::<O>(work, &sum);
        }
    }

    /// Executed by: warpgroup. Waits for the next slot and starts its multiplication.
    #[inline(always)]
    unsafe fn start(&mut self, block: &mut [f32; 64]) -> Pending {
        let (slot, parity) = (self.ring.slot(), self.ring.parity());
        let half = self.warpgroup() * (OPERAND_BYTES / 2);
        let tokens = descriptor::k_major_128b(self.smem.tokens(slot).at(half).0);
        let weights = descriptor::k_major_128b(self.smem.weights(slot).0);
        // SAFETY: the slot has landed; both operands are 128-byte swizzled tiles of 128-byte rows.
        unsafe {
            mbarrier::wait(self.smem.tile_full(slot), parity);
            let row = self.warp * fragment::WARP_ROWS + fragment::row(self.lane);
            let scale_b = ldst::load_shared_f32(self.smem.scale_b(slot));
            let scales_a = self.smem.scales_a(slot).at(row * 4);
            let scales = [
                ldst::load_shared_f32(scales_a) * scale_b,
                ldst::load_shared_f32(scales_a.at(8 * 4)) * scale_b,
            ];
            wgmma::fence();
            M64N128::start(block, tokens, weights);
            wgmma::commit();
            self.ring.advance();
            Pending { scales, slot }
        }
    }

    /// Executed by: warpgroup, after the wait for this block.
    #[inline(always)]
    unsafe fn promote(&self, sum: &mut [f32; 64], block: &mut [f32; 64], pending: Pending) {
        // SAFETY: the block's group is complete.
        unsafe {
            M64N128::landed(block);
            self.release(pending.slot);
        }
        let [upper, lower] = pending.scales;
        let mut i = 0;
        while i < 64 {
            sum[i] = fma(block[i], upper, sum[i]);
            sum[i + 1] = fma(block[i + 1], upper, sum[i + 1]);
            sum[i + 2] = fma(block[i + 2], lower, sum[i + 2]);
            sum[i + 3] = fma(block[i + 3], lower, sum[i + 3]);
            i += 4;
        }
    }

    /// Executed by: warp. Writes its 16 rows of 128 columns, 64 columns at a time.
    #[inline(always)]
    unsafe fn store_rows<O: Output>(&self, work: Work, sum: &[f32; 64]) {
        let staging = self.smem.staging(self.warp);
        let lane = self.lane;
        // Matrix `lane / 8` of four: upper and lower rows of one column group, then of the next.
        let matrix_row = staging
            .at((lane / 8 % 2 * 8 + lane % 8) * STAGING_PITCH)
            .at(lane / 16 * fragment::GROUP_COLS * 2);
        let first_row = self.warp * fragment::WARP_ROWS;
        let n = u64::from(self.args.tables.problem.n);
        let mut half = 0;
        while half < 2 {
            // SAFETY: the staging buffer is the warp's own; only rows of the expert are stored.
            unsafe {
                let mut group = 0;
                while group < 8 {
                    let i = (half * 8 + group) * 4;
                    let packed = [
                        O::pack(sum[i], sum[i + 1]),
                        O::pack(sum[i + 2], sum[i + 3]),
                        O::pack(sum[i + 4], sum[i + 5]),
                        O::pack(sum[i + 6], sum[i + 7]),
                    ];
                    let column = group as u32 * fragment::GROUP_COLS * 2;
                    ldst::store_matrix_x4(matrix_row.at(column), packed);
                    group += 2;
                }
                warp::sync();
                let column = work.col_block * TILE + half as u32 * 64 + lane % 8 * 8;
                let mut r = lane / 8;
                while r < fragment::WARP_ROWS {
                    let row = first_row + r;
                    let words =
                        ldst::load_shared_u32x4(staging.at(r * STAGING_PITCH + lane % 8 * 16));
                    if row < work.rows {
                        let element = u64::from(work.row + row) * n + u64::from(column);
                        ldst::store_global_u32x4(self.args.output + element * 2, words);
                    }
                    r += 4;
                }
                warp::sync();
            }
            half += 1;
        }
    }

    /// Executed by: warpgroup. The tile with weights on the rows and `2 R` token columns.
    #[inline(always)]
    unsafe fn tokens_on_columns<O: Output, M: Mma<R>, const R: usize>(&mut self, work: Work) {
        let mut sum = [0.0; R];
        let mut block = [0.0; R];
        let half = self.warpgroup() * (OPERAND_BYTES / 2);
        for _ in 0..self.args.k_blocks {
            let (slot, parity) = (self.ring.slot(), self.ring.parity());
            let weights = descriptor::k_major_128b(self.smem.weights(slot).at(half).0);
            let tokens = descriptor::k_major_128b(self.smem.tokens(slot).0);
            // SAFETY: the slot has landed; the warpgroup is converged; loops are uniform.
            unsafe {
                mbarrier::wait(self.smem.tile_full(slot), parity);
                wgmma::fence();
                M::start(&mut block, weights, tokens);
                wgmma::commit();
                let scale_b = ldst::load_shared_f32(self.smem.scale_b(slot));
                let scales_a = self.smem.scales_a(slot).at(fragment::col(self.lane) * 4);
                let mut scales = [[0.0; 2]; R];
                let mut group = 0;
                while group < R / 4 {
                    let [even, odd] = ldst::load_shared_f32x2(
                        scales_a.at(group as u32 * fragment::GROUP_COLS * 4),
                    );
                    scales[group] = [even * scale_b, odd * scale_b];
                    group += 1;
                }
                wgmma::wait::<0>();
                M::landed(&mut block);
                self.release(slot);
                let mut group = 0;
                while group < R / 4 {
                    let [even, odd] = scales[group];
                    let i = group * 4;
                    sum[i] = fma(block[i], even, sum[i]);
                    sum[i + 1] = fma(block[i + 1], odd, sum[i + 1]);
                    sum[i + 2] = fma(block[i + 2], even, sum[i + 2]);
                    sum[i + 3] = fma(block[i + 3], odd, sum[i + 3]);
                    group += 1;
                }
            }
            self.ring.advance();
        }
        // SAFETY: the warpgroup is converged.
        unsafe { self.store_columns::<O, R>(work, &sum) }
    }

    /// Executed by: warp. Writes its 16 columns of every token of the tile.
    #[inline(always)]
    unsafe fn store_columns<O: Output, const R: usize>(&self, work: Work, sum: &[f32; R]) {
        let staging = self.smem.staging(self.warp);
        let lane = self.lane;
        // Matrix `lane / 8` of two: upper and lower weight rows, which are columns of the output.
        let matrix_row = staging.at(lane % 8 * SWAPPED_PITCH + lane / 8 % 2 * 16);
        // SAFETY: the staging buffer is the warp's own; only rows of the expert are stored.
        unsafe {
            let mut group = 0;
            while group < R / 4 {
                let i = group * 4;
                let packed = [O::pack(sum[i], sum[i + 1]), O::pack(sum[i + 2], sum[i + 3])];
                let token = group as u32 * fragment::GROUP_COLS;
                ldst::store_matrix_x2_transposed(matrix_row.at(token * SWAPPED_PITCH), packed);
                group += 1;
            }
            warp::sync();
            let column = work.col_block * TILE + self.warp * fragment::WARP_ROWS + lane % 2 * 8;
            let mut token = lane / 2;
            while token < work.rows {
                let words =
                    ldst::load_shared_u32x4(staging.at(token * SWAPPED_PITCH + lane % 2 * 16));
                let row = u64::from(work.row + token);
                let element = row * u64::from(self.args.tables.problem.n) + u64::from(column);
                ldst::store_global_u32x4(self.args.output + element * 2, words);
                token += 16;
            }
            warp::sync();
        }
    }
}

/// `a * b + c`, rounded once.
#[inline(always)]
fn fma(a: f32, b: f32, c: f32) -> f32 {
    core::intrinsics::fmaf32(a, b, c)
}
