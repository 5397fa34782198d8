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
//!         for each 4 rows x 2: load; largest magnitude of 32; scale; codes
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
//! 4. **Consecutive warps take consecutive column blocks** of the same rows, whose bytes are neighbours in memory.

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
const _: () = assert!(ROW_LANES * LANE_BYTES / 2 == TILE_K && LINES == 32);

// The shared memory of a CTA.
const STAGING: u32 = 0;
const TABLE: u32 = STAGING + WARPS * scale_atoms::BYTES;
const TOTALS: u32 = TABLE + THREADS * items::ENTRY_BYTES;
const END: u32 = TOTALS + WARPS * 8;
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
        let mut walk = items::Walk::new(args.k_blocks, sreg::cta() * WARPS + warp);
        let mut first = 0;
        while first < args.tables.experts {
            let group = args.tables.group(first + thread);
            let chunk = items::Chunk::number(smem, group, thread);
            while let Some(work) = walk.next(&chunk, lane) {
                quantise::<I>(args, work, staging, lane);
            }
            walk.leave(&chunk);
            first += THREADS;
            if first < args.tables.experts {
                // Nobody overwrites the table while another warp still looks something up.
                sync::cta_sync();
            }
        }
        if args.status != 0 && warp == 0 {
            scaled_tables::audit(&args.tables, args.status, true, lane);
        }
    }
}

/// Executed by: warp, converged. One item of one group, in one block of 128 columns.
#[inline(always)]
unsafe fn quantise<I: Input>(args: &Args, work: items::Work, staging: Smem, lane: u32) {
    let items::Work { item, first_row, rows, first_scale_row, k_block } = work;
    let half = lane / ROW_LANES;
    let row_bytes = u64::from(args.k_blocks) * u64::from(TILE_K * 2);
    let column = u64::from(k_block * TILE_K + lane % ROW_LANES * 8);
    let first = item.first_row(0) + half;
    let mut run = Run {
        left: rows.saturating_sub(first),
        address: args.input + u64::from(first_row + first) * row_bytes + column * 2,
        scales: staging.at(item.scale_offset(0, half) + lane % ROW_LANES / 4),
    };
    let way = Run {
        left: item.stride,
        address: u64::from(item.stride) * row_bytes,
        scales: Smem(item.scale_offset(1, 0)),
    };
    let atom_row = u64::from(first_scale_row / scale_atoms::ROWS) + u64::from(item.block);
    let atom = atom_row * u64::from(args.k_blocks) + u64::from(k_block);
    let line = args.scales
        + atom * u64::from(scale_atoms::BYTES)
        + u64::from((item.first_line + lane) * LINE_BYTES);
    let has_line = item.whole_atom() || lane < RUN;
    let mut runs = item.runs(rows);
    // SAFETY: rows below `rows` of the group lie inside the tensors; the staging buffer is the warp's own; the
    // number of runs is the same in all lanes.
    unsafe {
        // Rows that the group does not have get the scale 0.
        ldst::store_shared_u32x4(staging.at(lane * LINE_BYTES), [0; 4]);
        warp::sync();
        while runs > 0 {
            // Two runs of 8 rows are under way at once: 16 rows x 256 bytes a warp.
            let second = run.after(way);
            let elements = run.load(row_bytes);
            let seconds = second.load(row_bytes);
            run.quantise::<I>(args, row_bytes, &elements, lane);
            if runs == 1 {
                break;
            }
            second.quantise::<I>(args, row_bytes, &seconds, lane);
            run = second.after(way);
            runs -= 2;
        }
        warp::sync();
        if has_line {
            let scales = ldst::load_shared_u32x4(staging.at(lane * LINE_BYTES));
            ldst::store_global_u32x4(line, scales);
        }
        warp::sync();
    }
}

/// Every second row of a run: those that the lane's half warp owns. Or the way from one run to the next.
#[derive(Clone, Copy)]
struct Run {
    /// Rows of the group from the half warp's first row on.
    left: u32,
    /// The lane's elements in that row. Codes lie at half the distance from their tensor's begin.
    address: u64,
    /// Staged scale of these elements' block.
    scales: Smem,
}

/// Rows of a run that a half warp owns.
const OWN: usize = RUN as usize / 2;

impl Run {
    #[inline(always)]
    fn after(self, way: Self) -> Self {
        Self {
            left: self.left.saturating_sub(way.left),
            address: sreg::opaque(self.address + way.address),
            scales: self.scales.at(way.scales.0),
        }
    }

    /// Executed by: any thread. Rows that the group does not have read as zeros.
    #[inline(always)]
    unsafe fn load(self, row_bytes: u64) -> [[u32; 4]; OWN] {
        let mut elements = [[0; 4]; OWN];
        let mut address = self.address;
        let mut i = 0;
        while i < OWN {
            let own = 2 * i < self.left as usize;
            // SAFETY: the row, if wanted, is one of the group's.
            elements[i] = unsafe { ldst::stream_global_u32x4_or_zero(address, own) };
            address = sreg::opaque(address + 2 * row_bytes);
            i += 1;
        }
        elements
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
        let mut staged = self.scales;
        let mut i = 0;
        while i < OWN {
            // SAFETY: the warp is converged, by contract; the rows stored are the group's.
            unsafe {
                let scales = block::scales::<I>(&[elements[i], elements[i + 1]], args.rule);
                let mut next = 0;
                while next < 2 {
                    let own = 2 * (i + next) < self.left as usize;
                    let codes = block::codes::<I>(elements[i + next], scales[next]);
                    ldst::store_global_u32x2_if(address, codes, own);
                    ldst::store_shared_u8_if(staged, scales[next], own && first_of_block);
                    address = sreg::opaque(address + row_bytes);
                    staged = staged.at(2 * LINE_BYTES);
                    next += 1;
                }
            }
            i += 2;
        }
    }
}
