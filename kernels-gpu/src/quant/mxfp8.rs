//! MXFP8 grouped quantiser: bf16 or f16 rows to e4m3 codes, with E8M0 scales in the layout of the GEMM.
//!
//! `codes[m, k] = e4m3(x[m, k] / 2^(s - 127))`, one scale byte `s` for 32 elements of a row
//!
//! | operand | type | shape, row-major | read or written by |
//! | --- | --- | --- | --- |
//! | input `x` | bf16, f16 | `[rows, K]`, packed by expert | 16-byte loads |
//! | codes | e4m3 | `[rows, K]` | 8-byte stores, only rows of an expert |
//! | scales | e8m0 | `[scale rows, K / 32]` in atoms of 128 x 4 | 4-byte stores; padding as 0, lines of it in 16 bytes |
//!
//! ```text
//! a warp for each (8 rows that are neighbours, block of 128 columns):
//!     load; which group owns each row?
//!     largest magnitude of 32; scale; codes
//!     write the scales into the atoms of the owners
//! ```
//!
//! What differs from the pseudo-code:
//!
//! 1. **Work is numbered by packed rows, not by groups**, and a CTA takes eight pieces that follow each other: it knows
//!    what to load before it has read a table. CTAs start in the order of memory and end early, so that what is on
//!    its way at any time lies close together; a grid that stays on the multiprocessors drifts apart.
//! 2. **The first CTAs load at once**; those that find the chip busy first ask whose the rows are, so that rows
//!    of nobody cost no bandwidth.
//! 3. **A half warp owns a row**: 16 lanes x 8 elements are the 128 columns of an atom, 4 lanes a block of 32. The
//!    magnitudes of two rows share a register, so that two shuffles serve both.
//! 4. **Magnitudes are compared as integers**: NaN is larger than Inf and Inf larger than any number, so one
//!    comparison finds the blocks that need care.
//! 5. **The scales of eight rows are stored by one instruction**, a word of a row each ([`crate::tile::atoms`]). What
//!    completes the atoms is stored while the elements are on their way. No pass over the scales follows.
//! 6. **The tables are judged by CTAs of their own**, beside the others.

use crate::abi::{Problem, ScaleRule, ScaledProblem, mxfp8_quant::*};
use crate::ptx::{ldst, sreg, warp};
use crate::tile::atoms::RUN;
use crate::tile::scaled_tables::{self, ScaledTables};
pub(crate) use block::{Bf16, F16};
use block::{Input, Rule};
use owners::{Found, Owner};
use scales::Target;

mod block;
mod owners;
mod scales;

/// Lanes that share a row: 8 elements each.
const ROW_LANES: u32 = 16;
/// Bytes of a lane's elements.
const LANE_BYTES: u32 = 16;
/// Rows of a run that a half warp owns.
const OWN: usize = RUN as usize / 2;
const _: () = assert!(ROW_LANES * LANE_BYTES / 2 == TILE_K);

/// CTAs that load before they know whose the rows are: about as many as start at once.
const EAGER: u32 = 640;

// The shared memory of a CTA.
const MASKS: u32 = 0;
const ENTRIES: u32 = MASKS + WARPS * 4;
const END: u32 = ENTRIES + THREADS * owners::ENTRY_BYTES;
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
    let thread = sreg::thread();
    let lane = thread % 32;
    // SAFETY: all threads of the CTA come here, and branches around collectives are uniform.
    unsafe {
        let warp = warp::broadcast(thread / 32, 0);
        let tables = &args.tables;
        let auditors = auditors(tables.experts);
        if sreg::cta() < auditors {
            if args.status != 0 {
                let first = sreg::cta() * WARPS + warp;
                let stride = auditors * WARPS;
                scaled_tables::audit_every(tables, args.status, true, lane, first, stride);
            }
            return;
        }
        let entry = tables.read(thread);
        let tile = Tile::new(args, sreg::cta() - auditors);
        let run = tile.run(args, warp, lane);
        let mut elements = [[0; 4]; OWN];
        if tile.number < EAGER {
            run.load(args, run.existing(tables.problem.problem.rows), &mut elements);
        }
        let row = run.scale_row(lane);
        let smem = ldst::dynamic_smem();
        let found = owners::find(tables, smem, entry, tile.rows(args), row, thread);
        let owned = warp::ballot(found.owners != 0);
        if owned == 0 {
            return;
        }
        let own = run.owned(owned, lane);
        if tile.number >= EAGER {
            run.load(args, own, &mut elements);
        }
        let Found { owner, owners } = found;
        let target = Target::new(args, owner, row, run.k_block, lane, owners != 0);
        target.store_blank_lines();
        warp::sync();
        let scales = block::scales::<I>(&elements, args.rule);
        let word = block::transpose(scales.bytes(), lane);
        target.store(word);
        let mut address = sreg::opaque(args.codes + run.element);
        let mut i = 0;
        while i < OWN {
            let codes = block::codes::<I>(elements[i], &scales, i);
            ldst::store_global_u32x2_if(address, codes, own[i]);
            address = sreg::opaque(address + args.row_bytes());
            i += 1;
        }
        if warp::ballot(owners > 1) != 0 {
            core::hint::cold_path();
            store_for_every_owner(args, run, row, word, lane);
        }
    }
}

/// Executed by: warp, converged. Stores the scales of rows that more than one group claims for each of them.
#[inline(always)]
unsafe fn store_for_every_owner(args: &Args, run: Run, row: u32, scales: u32, lane: u32) {
    let mut first = 0;
    while first < args.tables.experts {
        // SAFETY: the warp is converged, by contract; owners have the row.
        unsafe {
            let group = Owner::from(args.tables.group(first + lane));
            let near = group.has_any(run.first_row, run.first_row + RUN) & (group.rows != 0);
            let mut groups = warp::ballot(near);
            while groups != 0 {
                let from = groups.trailing_zeros();
                groups &= groups - 1;
                let owner = Owner {
                    first_row: warp::broadcast(group.first_row, from),
                    rows: warp::broadcast(group.rows, from),
                    first_scale_row: warp::broadcast(group.first_scale_row, from),
                };
                let wanted = owner.has(row);
                let target = Target::new(args, owner, row, run.k_block, lane, wanted);
                target.store_blank_lines();
                target.store(scales);
                warp::sync();
            }
        }
        first += 32;
    }
}

impl Args {
    /// Bytes of two rows of codes, or of one of the input.
    #[inline(always)]
    fn row_bytes(&self) -> u64 {
        u64::from(self.k_blocks) * u64::from(TILE_K * 2)
    }
}

/// What a CTA quantises: eight runs that follow each other, column blocks first.
#[derive(Clone, Copy)]
struct Tile {
    number: u32,
    /// 8 rows of the first run, counted in eights.
    stripe: u32,
    /// Column block of the first run.
    k_block: u32,
}

impl Tile {
    /// # Safety
    ///
    /// There are column blocks.
    #[inline(always)]
    unsafe fn new(args: &Args, number: u32) -> Self {
        let first = number * WARPS;
        // SAFETY: by the caller's promise.
        let stripe = unsafe { core::intrinsics::unchecked_div(first, args.k_blocks) };
        Self { number, stripe, k_block: first - stripe * args.k_blocks }
    }

    /// The rows of all warps, or more: the first, and the one after the last.
    #[inline(always)]
    fn rows(self, args: &Args) -> [u32; 2] {
        let more = if args.k_blocks < WARPS {
            WARPS
        } else {
            u32::from(self.k_block + WARPS > args.k_blocks)
        };
        [self.stripe * RUN, (self.stripe + more + 1) * RUN]
    }

    /// The run of a warp.
    #[inline(always)]
    fn run(self, args: &Args, warp: u32, lane: u32) -> Run {
        let (mut stripe, mut k_block) = (self.stripe, self.k_block + warp);
        // Once at most, unless rows are short.
        while k_block >= args.k_blocks {
            k_block -= args.k_blocks;
            stripe += 1;
        }
        let (first_row, half) = (stripe * RUN, lane / ROW_LANES);
        let atom = u64::from(first_row + half) * u64::from(args.k_blocks) + u64::from(k_block);
        let element = atom * u64::from(TILE_K) + u64::from(lane % ROW_LANES * 8);
        Run { first_row, k_block, element, half }
    }
}

/// What a warp quantises: 8 rows that are neighbours, of one column block.
#[derive(Clone, Copy)]
struct Run {
    first_row: u32,
    k_block: u32,
    /// Number of the lane's first element in the tensors.
    element: u64,
    /// 0 for the lower half warp, which owns rows 0, 2, 4 and 6, else 1.
    half: u32,
}

impl Run {
    /// The row whose scales the lane stores: of the lane's half warp, that of its quarter.
    #[inline(always)]
    fn scale_row(self, lane: u32) -> u32 {
        self.first_row + self.half + lane % ROW_LANES / 4 * 2
    }

    /// Which of the lane's rows are rows of the input.
    #[inline(always)]
    fn existing(self, rows: u32) -> [bool; OWN] {
        let left = rows.saturating_sub(self.first_row + self.half);
        [left > 0, left > 2, left > 4, left > 6]
    }

    /// Which of the lane's rows have an owner, by the lanes whose scale row has one.
    #[inline(always)]
    fn owned(self, lanes: u32, lane: u32) -> [bool; OWN] {
        let mine = lanes >> (lane & ROW_LANES);
        [mine & 1 != 0, mine & 0x10 != 0, mine & 0x100 != 0, mine & 0x1000 != 0]
    }

    /// Executed by: any thread. The elements of the wanted rows.
    #[inline(always)]
    unsafe fn load(self, args: &Args, wanted: [bool; OWN], elements: &mut [[u32; 4]; OWN]) {
        let mut address = sreg::opaque(args.input + self.element * 2);
        let mut i = 0;
        while i < OWN {
            // SAFETY: the row, if wanted, is one of the input's.
            unsafe { ldst::load_global_u32x4_if(&mut elements[i], address, wanted[i]) };
            address = sreg::opaque(address + 2 * args.row_bytes());
            i += 1;
        }
    }
}
