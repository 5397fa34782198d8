//! FP8 grouped GEMM with 1x128 activation scales and 128x128 weight scales, for Hopper (wgmma).
//!
//! `D[m, n] = cast(sum over kb of sa[m, kb] * sb[n / 128, kb] * (sum over k in kb of a[m, k] * b[n, k]))`
//!
//! | operand | type | shape, row-major | read or written by |
//! | --- | --- | --- | --- |
//! | tokens `a` | e4m3 | `[rows, K]`, packed by expert | TMA, boxes of 8, 16, 32 or 64 rows x 128 bytes |
//! | weights `b` | e4m3 | `[experts, N, K]` | TMA, boxes of 128 rows x 128 bytes, of 64 for half tiles |
//! | `sa` | f32 | `[rows, K / 128]` | asynchronous copies of 4 K blocks a row |
//! | `sb` | f32 | `[experts, N / 128, K / 128]` | the same |
//! | output `D` | bf16, f16 | `[rows, N]` | 16-byte stores; wide also TMA, boxes of 16 rows x 64 columns; only rows of the tile's expert |
//!
//! ```text
//! one warp    reads the group tables, posts the CTA's tiles
//!                                                (128 rows x 128 columns each, or fewer rows, or 192 of either)
//! one warp    for each tile, for each kb:        wait free; TMA tokens and weights -> slot
//! one warp    for each tile, for 4 kb at a time: wait free; copy sa, sb            -> chunk
//! one warp    audits the group tables, if a status word was given
//! 8 warps     for each tile:
//!                 for each kb: wait full; block = tokens x weights (4 wgmma); free slot
//!                              sum = fma(block, sa * sb, sum)
//!                 D = cast(sum)                  (many rows: under the next tile's first two blocks)
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
//! 4. **Clusters of two** CTAs compute neighbouring column blocks of the same rows. Each loads half of the
//!    tokens and multicasts it to both, which takes a quarter of the traffic off L2. Small experts do
//!    without: their tokens are few. A slot is free when the math warps of both CTAs have left it.
//! 5. **The output goes through shared memory** (stmatrix, then 16-byte stores). In the first form a warp at a time: it
//!    owns its rows, so no barrier is needed, and a tile is stored while the first blocks of the next
//!    one multiply, half of its columns under two of them. With few rows a warpgroup at a time, so that rows are written 128
//!    bytes at once: up to 2 % with 33 to 64 rows on an H200.
//! 6. **Scales travel apart from tiles**, four K blocks of a row in one copy. Copied with each tile, 4 bytes
//!    a row, they were the brake: 1728 us instead of 1484 for 8 experts x 4096 rows, 4096x7168, on an H200.
//! 7. **Weights that one tile multiplies are the first to leave L2**, and no copy fetches a neighbour's line: the tensor
//!    maps ask for no promotion. Together 4 to 9 % of decode.
//! 8. **The first weights are asked for before the group tables have arrived**, by a guess (see `ahead`), and the tables before
//!    those: behind them they were 1.5 us on their way, which is 1.5 to 6 % of small calls on an H200.
//! 9. **Tiles of an expert keep pace** where its weights are large (see [`schedule`]): a last tile of few rows is computed
//!    whole, or its cluster runs ahead and everyone reads the weights from memory again.
//! 10. **No memory barrier of the whole GPU**: the cluster meets without one, and nobody waits for it at the end. A CTA
//!    leaves when the other one is done with its slots, which the warp of the tensor copies awaits.
//! 11. **Little code.** It comes from memory, too: forms that lay beyond 64 KiB took 1 us more on an H200, 5 % of the smallest calls. So the
//!    loop of the first form takes four blocks at a time, not eight, which was 20 KiB of code and worth 1 % of prefill, now that
//!    wide tiles compute that.
//! 12. **Tiles follow one another closely** in the first form: the next item is taken early, and scales are read when the
//!    block that they are for is multiplying. With the halves of trick 5, 1 to 3 % of prefill.
//! 13. **Tall tiles** in a kernel of their own, `fp8_block_sm90_tall`, for about 128 to 192 rows an expert: the last tile
//!    of an expert takes up to 64 rows more, and its weights are multiplied once instead of twice (see `tall`).
//! 14. **Wide tiles** in a kernel of their own, `fp8_block_sm90_wide`, for many rows an expert: 192 columns for the tokens of
//!     128, weights shared by the cluster, stores that hardly wait, and half tiles that are dealt out apart (see `wide`).
//!     Up to 14 % of prefill on an H200, and 2 to 16 % where some experts have few rows, by
//!     Zipf with short K up to 6 % more.
//! 15. **Few rows** in a kernel of their own, `fp8_block_sm90_few`, for up to 8 rows an expert: no form but those for up to 64
//!     rows, 30 KiB of code instead of 65. 1 to 3 % of small calls on an H200.
//! 16. **Half tiles** in a last round that would leave half of the multiprocessors idle (see [`schedule`]): 64 columns of weights,
//!     each warpgroup with half of the tokens, or its 64 of more. 2 to 5 % of 8 experts with 33 to 64 rows on an H200.
//!
//! What was tried and lost, with its numbers, is in `docs/notes/fp8_block_sm90.md`.

mod ahead;
mod columns;
mod half_rows;
mod load;
mod math;
mod rows;
mod store;
mod tall;
mod wide;

use self::ahead::Ahead;
use crate::abi::fp8_block::{
    self, CLUSTER, HALF_COLUMNS, SCALE_CHUNK, THREADS, TILE, TILE_K, TOKEN_BOX_ROWS,
    few as few_rows, tall as tall_tiles, wide as wide_tiles,
};
use crate::abi::{Fp8BlockParams, Problem, SCALE_BLOCK};
use crate::ptx::tma::{self, MapAddress};
use crate::ptx::{Smem, ldst, mbarrier, sreg, sync, warp};
use crate::tile::fragment;
use crate::tile::output::Output;
use crate::tile::pair_schedule;
use crate::tile::scale_chunk::ROW_BYTES as CHUNK_BYTES;
use crate::tile::schedule::{self, Entry, GroupTables};
use crate::tile::token_boxes::{TokenMaps, token_span};
use crate::tile::work::{self, Board, Outbox};
use core::mem::offset_of;

const _: () = assert!(TILE_K == SCALE_BLOCK && TILE == SCALE_BLOCK);
const _: () = assert!(TILE == CLUSTER * TOKEN_BOX_ROWS[3]);
const _: () = assert!(SWAP_ROWS == TOKEN_BOX_ROWS[3] && SWAP_ROWS == few_rows::TILE_TOKENS);

/// Whether this is `fp8_block_sm90_few`: all tiles have at most 64 rows.
const FEW: bool = cfg!(gpu_module = "fp8_block_sm90_few");
/// Whether this is `fp8_block_sm90_tall`: an expert's last tile takes up to 64 rows more.
const TALL: bool = cfg!(gpu_module = "fp8_block_sm90_tall");
/// Whether this is `fp8_block_sm90_wide`: tiles have 192 columns.
const WIDE: bool = cfg!(gpu_module = "fp8_block_sm90_wide");
/// Whether the tiles of a last round that is at most half full are computed as halves.
const HALVES: bool = !FEW && !TALL && !WIDE;
/// Rows of a tile at most, but for a tall one.
const TILE_ROWS: u32 = if FEW { few_rows::TILE_TOKENS } else { TILE };
/// Rows of a tile at most.
const TILE_TOKENS: u32 = if TALL { tall_tiles::TILE_TOKENS } else { TILE_ROWS };
/// Columns of a tile.
const TILE_COLUMNS: u32 = if WIDE { wide_tiles::TILE_COLUMNS } else { TILE };
/// Slots of the ring of tiles.
const STAGES: u32 =
    of_kernel([few_rows::STAGES, fp8_block::STAGES, tall_tiles::STAGES, wide_tiles::STAGES]);
/// Chunks of the ring of scales.
const SCALE_STAGES: u32 = of_kernel([
    fp8_block::SCALE_STAGES,
    fp8_block::SCALE_STAGES,
    tall_tiles::SCALE_STAGES,
    wide_tiles::SCALE_STAGES,
]);
/// Dynamic shared memory of a CTA.
const SMEM_BYTES: u32 = of_kernel([
    few_rows::SMEM_BYTES,
    fp8_block::SMEM_BYTES,
    tall_tiles::SMEM_BYTES,
    wide_tiles::SMEM_BYTES,
]);

/// What this kernel has of a number that each of the four has its own of.
const fn of_kernel([few, flat, tall, wide]: [u32; 4]) -> u32 {
    if FEW {
        few
    } else if TALL {
        tall
    } else if WIDE {
        wide
    } else {
        flat
    }
}

/// Threads of a warpgroup.
const WARPGROUP: u32 = 128;
/// Warpgroups 0 and 1 multiply; the warps of warpgroup 2 serve them.
const MATH_WARPS: u32 = 8;
/// The warp of the tensor copies.
const LOADING_WARP: u32 = MATH_WARPS;
/// The warp that posts the CTA's tiles.
const POSTING_WARP: u32 = MATH_WARPS + 2;
/// Registers per thread at launch, at most.
const LAUNCH_REGISTERS: u32 = 65_536 / THREADS / 8 * 8;
/// Registers per thread after the warpgroups have settled. What one gives back is all that the others can take: if they
/// wanted more, they would wait for ever.
const MATH_REGISTERS: u32 = 240;
const SERVICE_REGISTERS: u32 = 24;
const _: () = assert!(2 * MATH_REGISTERS + SERVICE_REGISTERS <= 3 * LAUNCH_REGISTERS);
/// Warps that read the work ring: eight math warps, the tensor copies and the scale copies.
const READING_WARPS: u32 = MATH_WARPS + 2;
/// All CTAs of a cluster, a bit each.
const ALL_CTAS: u16 = (1 << CLUSTER) - 1;
/// Tiles with at most this many rows are computed with swapped sides.
const SWAP_ROWS: u32 = 64;

/// Bytes of one operand in a slot: 128 rows of 128 bytes.
const OPERAND_BYTES: u32 = TILE * TILE_K;
/// Bytes that one slot holds of the weights.
const WEIGHT_BYTES: u32 = TILE_COLUMNS * TILE_K;
/// The same, and at most of the tokens.
const SLOT_BYTES: u32 = WEIGHT_BYTES + TILE_TOKENS * TILE_K;
/// Blocks of weights, of one scale each, that a tile meets at most.
const SCALES_OF_WEIGHTS: u32 = TILE_COLUMNS.div_ceil(SCALE_BLOCK);
/// Bytes between rows of a warp's staging buffer: 64 outputs and 16 bytes that spread rows over banks.
const STAGING_PITCH: u32 = 64 * 2 + 16;
/// Bytes of a warp's staging buffer: its 16 rows of half a tile. The four of a warpgroup are one when the sides are swapped: 64
/// tokens x 64 columns.
const STAGING_BYTES: u32 = fragment::WARP_ROWS * STAGING_PITCH;
const _: () = assert!(SWAP_ROWS * STAGING_PITCH <= WARPGROUP / 32 * STAGING_BYTES);

// The shared memory of a CTA.
const SLOTS: u32 = 0;
const PANELS: u32 = SLOTS + STAGES * SLOT_BYTES;
const SCALES_A: u32 = PANELS + if WIDE { MATH_WARPS * wide::PANEL_BYTES } else { 0 };
const SCALES_B: u32 = SCALES_A + SCALE_STAGES * TILE_TOKENS * CHUNK_BYTES;
const STAGING: u32 = SCALES_B + SCALE_STAGES * SCALES_OF_WEIGHTS * CHUNK_BYTES;
const WORK: u32 = STAGING + if WIDE { 0 } else { MATH_WARPS * STAGING_BYTES };
const TILE_FULL: u32 = WORK + work::DEPTH * work::SLOT_BYTES;
const TILE_FREE: u32 = TILE_FULL + STAGES * 8;
const SCALES_FULL: u32 = TILE_FREE + STAGES * 8;
const SCALES_FREE: u32 = SCALES_FULL + SCALE_STAGES * 8;
const WORK_POSTED: u32 = SCALES_FREE + SCALE_STAGES * 8;
const WORK_TAKEN: u32 = WORK_POSTED + work::DEPTH * 8;
const AHEAD: u32 = WORK_TAKEN + work::DEPTH * 8;
const END: u32 = AHEAD + if WIDE { 0 } else { ahead::BLOCKS * 8 };
const _: () = assert!(END == SMEM_BYTES && WORK.is_multiple_of(16));

/// Rows that the tokens of a tile take in its form: of [`TOKEN_BOX_ROWS`], a tile's, or a tall one's.
#[inline(always)]
const fn span_of(rows: u32) -> u32 {
    if TALL && rows > TILE { TILE_TOKENS } else { token_span(rows) }
}

/// The kernel's parameter in registers, with the addresses of its tensor maps.
#[derive(Clone, Copy)]
pub(crate) struct Args {
    tokens: TokenMaps,
    weights: MapAddress,
    half_weights: MapAddress,
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
            tokens: TokenMaps(base + offset_of!(Fp8BlockParams, tokens) as u64),
            weights: MapAddress(base + offset_of!(Fp8BlockParams, weights) as u64),
            half_weights: MapAddress(base + offset_of!(Fp8BlockParams, half_weights) as u64),
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

    /// Number of column blocks of the output, of one scale each.
    #[inline(always)]
    fn col_blocks(&self) -> u32 {
        self.tables.problem.n / TILE
    }
}

/// Shared memory by name. `slot` is below `STAGES`, `chunk` below `SCALE_STAGES`.
#[derive(Clone, Copy)]
struct Shared(Smem);

impl Shared {
    #[inline(always)]
    fn weights(self, slot: u32) -> Smem {
        self.0.at(SLOTS + slot * SLOT_BYTES)
    }
    #[inline(always)]
    fn tokens(self, slot: u32) -> Smem {
        self.0.at(SLOTS + slot * SLOT_BYTES + WEIGHT_BYTES)
    }
    #[inline(always)]
    fn scales_a(self, chunk: u32) -> Smem {
        self.0.at(SCALES_A + chunk * TILE_TOKENS * CHUNK_BYTES)
    }
    #[inline(always)]
    fn scales_b(self, chunk: u32) -> Smem {
        self.0.at(SCALES_B + chunk * SCALES_OF_WEIGHTS * CHUNK_BYTES)
    }
    #[inline(always)]
    fn staging(self, math_warp: u32) -> Smem {
        self.0.at(STAGING + math_warp * STAGING_BYTES)
    }
    #[inline(always)]
    fn panel(self, math_warp: u32) -> Smem {
        self.0.at(PANELS + math_warp * wide::PANEL_BYTES)
    }
    /// One arrival by the tensor copies, with their bytes.
    #[inline(always)]
    fn tile_full(self, slot: u32) -> Smem {
        self.0.at(TILE_FULL + slot * 8)
    }
    /// One arrival by each math warp of each CTA of the cluster.
    #[inline(always)]
    fn tile_free(self, slot: u32) -> Smem {
        self.0.at(TILE_FREE + slot * 8)
    }
    /// One arrival by the copies ahead, with their bytes.
    #[inline(always)]
    fn ahead(self, slot: u32) -> Smem {
        self.0.at(AHEAD + slot * 8)
    }
    /// One arrival by each lane of the scale copies.
    #[inline(always)]
    fn scales_full(self, chunk: u32) -> Smem {
        self.0.at(SCALES_FULL + chunk * 8)
    }
    /// One arrival by each math warp.
    #[inline(always)]
    fn scales_free(self, chunk: u32) -> Smem {
        self.0.at(SCALES_FREE + chunk * 8)
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
        let warp = warp::broadcast(thread / 32, 0);
        let lane = thread % 32;
        // Ahead of the first weights, which would keep it waiting for a microsecond.
        let entry = if warp == POSTING_WARP { args.tables.entry(lane) } else { Entry::NONE };
        if warp == LOADING_WARP && warp::elect() {
            if WIDE {
                wide::prefetch_maps(args);
            } else {
                Ahead::guess(args).start(args, smem);
                for span in TOKEN_BOX_ROWS {
                    tma::prefetch_map(args.tokens.in_boxes_of(span));
                }
            }
            init_barriers(smem);
        }
        sync::cluster_meet();

        if warp < MATH_WARPS {
            warp::raise_registers::<MATH_REGISTERS>();
            math::multiply_tiles::<O>(args, smem, warp, lane);
        } else {
            warp::lower_registers::<SERVICE_REGISTERS>();
            match warp - MATH_WARPS {
                0 if WIDE => wide::copy_tiles(args, smem, lane),
                0 => load::tiles(args, smem, lane),
                1 => load::scales(args, smem, lane),
                2 => {
                    let mut outbox = Outbox::new(smem.board());
                    if WIDE {
                        pair_schedule::post_tiles(&args.tables, entry, &mut outbox, lane);
                    } else {
                        schedule::post_tiles::<TILE_ROWS, CLUSTER, TALL, HALVES>(
                            &args.tables,
                            entry,
                            &mut outbox,
                            lane,
                        );
                    }
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
            mbarrier::init(smem.tile_full(slot), 1);
            mbarrier::init(smem.tile_free(slot), CLUSTER * MATH_WARPS);
        }
        for chunk in 0..SCALE_STAGES {
            mbarrier::init(smem.scales_full(chunk), 32);
            mbarrier::init(smem.scales_free(chunk), MATH_WARPS);
        }
        smem.board().init(READING_WARPS);
        sync::fence_mbarrier_init();
        sync::fence_proxy_async_shared();
    }
}
