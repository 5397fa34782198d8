//! MXFP8 grouped quantiser: bf16 or f16 rows to e4m3 codes, with E8M0 scales in the layout of the GEMM.
//!
//! `codes[m, k] = e4m3(x[m, k] / 2^(s - 127))`, one scale byte `s` for 32 elements of a row
//!
//! | operand | type | shape, row-major | read or written by |
//! | --- | --- | --- | --- |
//! | input `x` | bf16, f16 | `[rows, K]`, packed by expert | 16-byte loads |
//! | codes | e4m3 | `[rows, K]` | 8-byte stores, only rows of an expert |
//! | scales | e8m0 | `[scale rows, K / 32]` in atoms of 128 x 4 | whole 16-byte lines, padding as 0 |
//!
//! ```text
//! for 256 experts at a time:
//!     each thread reads the tables of one expert; a scan over the CTA numbers the items of all
//!     each warp, for every warps-th (item, block of 128 columns):
//!         for each run of 8 rows: load; largest magnitude of 32; scale; codes
//!         write the lines of the scale atom
//! ```
//!
//! What differs from the pseudo-code:
//!
//! 1. **An item is at most 32 rows** of one atom ([`crate::tile::atoms`]), so that groups of 8 rows and of 8192
//!    rows both spread over all warps, and a warp stores whole lines of the atom. No pass over the scales follows.
//! 2. **A half warp owns a row**: 16 lanes x 8 elements are the 128 columns of an atom, 4 lanes a block of 32. The
//!    magnitudes of two rows share a register, so that two shuffles serve both.
//! 3. **Magnitudes are compared as integers**: NaN is larger than Inf and Inf larger than any number, so one
//!    comparison finds the blocks that need care.
//! 4. **The next run is loaded while one is quantised**, over the end of an item too, so that small groups keep
//!    memory as busy as large ones.
//! 5. **Consecutive warps take consecutive column blocks** of the same rows, whose bytes are neighbours in memory.

use crate::abi::{Problem, ScaleRule, ScaledProblem, mxfp8_quant::*, scale_atoms};
use crate::ptx::{Smem, ldst, sreg, sync, warp};
use crate::tile::atoms::{LINE_BYTES, LINES, RUN};
use crate::tile::scaled_tables::{self, ScaledTables};
pub(crate) use block::{Bf16, F16};
use block::{Input, Rule};

mod block;
mod items;

/// Warps of a CTA.
const WARPS: u32 = THREADS / 32;
/// Lanes that share a row: 8 elements each.
const ROW_LANES: u32 = 16;
/// Bytes of a lane's elements.
const LANE_BYTES: u32 = 16;
/// Bytes that a prefetch brings.
const LINE: u32 = 128;
/// Bytes of the largest input that is prefetched.
const SMALL: u64 = 4 << 20;
const _: () = assert!(ROW_LANES * LANE_BYTES / 2 == TILE_K && LINES == 32);

// The shared memory of a CTA.
const STAGING: u32 = 0;
const TABLE: u32 = STAGING + WARPS * scale_atoms::BYTES;
const TOTALS: u32 = TABLE + THREADS * items::ENTRY_BYTES;
const END: u32 = TOTALS + WARPS * 4;
const _: () = assert!(END == SMEM_BYTES);

/// The kernel's parameter in registers.
#[derive(Clone, Copy)]
pub(crate) struct Args {
    input: u64,
    codes: u64,
    scales: u64,
    status: u64,
    k_blocks: u32,
    rule: Rule,
    tables: ScaledTables,
}

impl Args {
    #[inline(always)]
    pub(crate) fn new(p: &crate::abi::Mxfp8QuantParams) -> Self {
        // N is not read, so any value of the launch's matches.
        let problem = Problem { rows: p.rows, n: 0, k: p.k };
        Self {
            input: p.input,
            codes: p.codes,
            scales: p.scales,
            status: p.status,
            k_blocks: p.k / TILE_K,
            rule: Rule {
                loud: p.rule != ScaleRule::Sgl as u32,
                round_up: p.rule != ScaleRule::OcpFloor as u32,
            },
            tables: ScaledTables {
                problem_sizes: p.problem_sizes,
                expert_offsets: p.expert_offsets,
                blockscale_offsets: p.blockscale_offsets,
                experts: p.experts,
                reads_n: false,
                problem: ScaledProblem { problem, scale_rows: p.scale_rows },
            },
        }
    }
}

impl Args {
    /// Bytes of a row of the input.
    #[inline(always)]
    fn row_bytes(&self) -> u64 {
        u64::from(self.k_blocks) * u64::from(TILE_K * 2)
    }
}

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel<I: Input>(args: &Args) {
    let smem = ldst::dynamic_smem();
    let thread = sreg::thread();
    // SAFETY: all threads of the CTA come here, and loops around collectives are uniform.
    unsafe {
        let warp = warp::broadcast(thread / 32, 0);
        let lane = thread % 32;
        let staging = smem.at(STAGING + warp * scale_atoms::BYTES);
        ldst::store_shared_u32x4(staging.at(lane * LINE_BYTES), [0; 4]);
        let mut walk = items::Walk::new(args.k_blocks, sreg::cta() * WARPS + warp);
        let mut entry = args.tables.read(thread);
        prefetch(args);
        let mut first = 0;
        loop {
            let chunk = items::Chunk::number(smem, args.tables.judge(entry), thread);
            quantise_chunk::<I>(args, &mut walk, &chunk, staging, lane);
            walk.leave(&chunk);
            first += THREADS;
            if first >= args.tables.experts {
                break;
            }
            entry = args.tables.read(first + thread);
            // Nobody overwrites the table while another warp still looks something up.
            sync::cta_sync();
        }
        if args.status != 0 && warp == 0 {
            scaled_tables::audit(&args.tables, args.status, true, lane);
        }
    }
}

/// Executed by: warp, converged. Its share of a chunk of groups, a run of 8 rows at a time; the next run, of the
/// same item or of the next one, is on its way while one is quantised.
#[inline(always)]
unsafe fn quantise_chunk<I: Input>(
    args: &Args,
    walk: &mut items::Walk,
    chunk: &items::Chunk,
    staging: Smem,
    lane: u32,
) {
    let row_bytes = args.row_bytes();
    // SAFETY: the runs of the chunk's items lie inside the tensors; the warp is converged, by contract.
    unsafe {
        // Elements of rows that do not exist are never stored, whatever is left in their registers.
        let mut elements = [[0; 4]; OWN];
        let mut next = Run::first(args, walk.next(chunk, lane), staging, lane);
        next.load(&mut elements, row_bytes);
        while next.runs > 0 {
            let (run, now) = (next, elements);
            next = if run.runs > 1 {
                run.following(row_bytes)
            } else {
                Run::first(args, walk.next(chunk, lane), staging, lane)
            };
            next.load(&mut elements, row_bytes);
            run.quantise::<I>(args, row_bytes, &now, lane);
            if run.runs == 1 {
                run.store_scales(staging, lane);
            }
        }
    }
}

/// Executed by: any thread. Asks for a small input, a line a thread, while the tables are on their way.
///
/// NOTE(measured): on an H100, 32 experts x 8 rows of 7168: 6.7 us instead of 7.1. Of larger inputs the tables would
/// have to wait behind the lines: 128 x 8 rows of 4096 take 10.5 us instead of 9.3.
#[inline(always)]
unsafe fn prefetch(args: &Args) {
    let bytes = u64::from(args.tables.problem.problem.rows) * args.row_bytes();
    let thread = sreg::cta() * THREADS + sreg::thread();
    let at = u64::from(thread) * u64::from(LINE);
    if bytes <= SMALL && at < bytes {
        // SAFETY: the byte is one of the input's.
        unsafe { ldst::prefetch_global(args.input + at) }
    }
}

/// Rows of a run that a half warp owns.
const OWN: usize = RUN as usize / 2;

/// Every second row of a run of 8: those that the lane's half warp owns.
#[derive(Clone, Copy)]
struct Run {
    /// Runs of the item from this one on; 0 for nothing.
    runs: u32,
    /// Rows of the group from the half warp's first row on.
    left: u32,
    /// Rows from one run of the item to the next.
    stride: u32,
    /// The lane's elements in its first row. Codes lie at half the distance from their tensor's begin.
    address: u64,
    /// Staged scale of these elements' block.
    staged: Smem,
    /// The lane's line of the atom.
    line: u64,
}

impl Run {
    /// The first run of an item, or nothing.
    #[inline(always)]
    fn first(args: &Args, work: Option<items::Work>, staging: Smem, lane: u32) -> Self {
        let Some(items::Work { item, first_row, rows, first_scale_row, k_block }) = work else {
            return Self { runs: 0, left: 0, stride: 0, address: 0, staged: staging, line: 0 };
        };
        let half = lane / ROW_LANES;
        let first = item.first_row(0) + half;
        let row = u64::from(first_row + first);
        let element = row * u64::from(args.k_blocks) * u64::from(TILE_K)
            + u64::from(k_block * TILE_K + lane % ROW_LANES * 8);
        let atom_row = u64::from(first_scale_row / scale_atoms::ROWS) + u64::from(item.block);
        let atom = atom_row * u64::from(args.k_blocks) + u64::from(k_block);
        Self {
            runs: item.runs(rows),
            left: rows.saturating_sub(first),
            stride: item.stride,
            address: args.input + element * 2,
            staged: staging.at(item.scale_offset(0, half) + lane % ROW_LANES / 4),
            line: args.scales
                + atom * u64::from(scale_atoms::BYTES)
                + u64::from((item.first_line + lane) * LINE_BYTES),
        }
    }

    #[inline(always)]
    fn is_whole_atom(self) -> bool {
        self.stride == RUN
    }

    /// The next run of the item.
    #[inline(always)]
    fn following(self, row_bytes: u64) -> Self {
        Self {
            runs: self.runs - 1,
            left: self.left.saturating_sub(self.stride),
            address: self.address + u64::from(self.stride) * row_bytes,
            staged: self.staged.at(if self.is_whole_atom() { RUN * LINE_BYTES } else { 4 }),
            ..self
        }
    }

    /// Executed by: any thread. Rows that the group does not have keep what is there.
    #[inline(always)]
    unsafe fn load(self, elements: &mut [[u32; 4]; OWN], row_bytes: u64) {
        let mut address = sreg::opaque(self.address);
        let mut i = 0;
        while i < OWN {
            let own = 2 * i < self.left as usize;
            // SAFETY: the row, if wanted, is one of the group's.
            unsafe { ldst::load_global_u32x4_if(&mut elements[i], address, own) };
            address = sreg::opaque(address + 2 * row_bytes);
            i += 1;
        }
    }

    /// Executed by: warp, converged. Stores the codes, and the scales into the staged lines.
    #[inline(always)]
    unsafe fn quantise<I: Input>(
        self,
        args: &Args,
        row_bytes: u64,
        elements: &[[u32; 4]; OWN],
        lane: u32,
    ) {
        let first_of_block = lane.is_multiple_of(4);
        let mut address = sreg::opaque(args.codes + (self.address - args.input) / 2);
        // SAFETY: the warp is converged, by contract; the rows stored are the group's.
        unsafe {
            let scales = block::scales::<I>(elements, args.rule);
            let mut i = 0;
            while i < OWN {
                let own = 2 * i < self.left as usize;
                let codes = block::codes::<I>(elements[i], scales[i]);
                ldst::store_global_u32x2_if(address, codes, own);
                let staged = self.staged.at(2 * i as u32 * LINE_BYTES);
                ldst::store_shared_u8_if(staged, scales[i].byte, own && first_of_block);
                address = sreg::opaque(address + row_bytes);
                i += 1;
            }
        }
    }

    /// Executed by: warp, converged. Stores the item's lines of the atom and leaves zeros in their place: rows that a
    /// group does not have get the scale 0.
    #[inline(always)]
    unsafe fn store_scales(self, staging: Smem, lane: u32) {
        let own = staging.at(lane * LINE_BYTES);
        // SAFETY: the staging buffer is the warp's own, and the lines are the item's.
        unsafe {
            warp::sync();
            if self.is_whole_atom() || lane < RUN {
                ldst::store_global_u32x4(self.line, ldst::load_shared_u32x4(own));
                ldst::store_shared_u32x4(own, [0; 4]);
            }
            warp::sync();
        }
    }
}
