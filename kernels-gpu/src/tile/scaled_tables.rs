//! The group tables of the operations with block scales.

use crate::abi::{GroupStatus, Mxfp8GemmParams, Problem, ScaledGroup, ScaledProblem};
use crate::ptx::{ldst, sreg};

/// The three tables on the device.
#[derive(Clone, Copy)]
pub(crate) struct ScaledTables {
    /// `(M, N, K)` of each expert, `[experts, 3]` i32.
    pub(crate) problem_sizes: u64,
    /// First packed row of each expert, `[experts]` i32.
    pub(crate) expert_offsets: u64,
    /// First scale row of each expert, `[experts]` i32.
    pub(crate) blockscale_offsets: u64,
    /// Number of experts.
    pub(crate) experts: u32,
    /// Whether N of the table counts. The quantiser's callers may leave it open.
    pub(crate) reads_n: bool,
    /// What all groups share.
    pub(crate) problem: ScaledProblem,
}

/// An entry of the three tables, as it was read.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    size: [i32; 3],
    offset: i32,
    scale_offset: i32,
}

impl ScaledTables {
    /// Those of a product.
    #[inline(always)]
    pub(crate) const fn of_product(p: &Mxfp8GemmParams) -> Self {
        Self {
            problem_sizes: p.problem_sizes,
            expert_offsets: p.expert_offsets,
            blockscale_offsets: p.blockscale_offsets,
            experts: p.experts,
            reads_n: true,
            problem: ScaledProblem {
                problem: Problem { rows: p.rows, n: p.n, k: p.k },
                scale_rows: p.scale_rows,
            },
        }
    }

    /// Executed by: any thread. The entry of `expert`; one without rows past the last expert.
    #[inline(always)]
    pub(crate) unsafe fn read(&self, expert: u32) -> Entry {
        if expert >= self.experts {
            return Entry { size: [0; 3], offset: 0, scale_offset: 0 };
        }
        let entry = u64::from(expert);
        let size = self.problem_sizes + entry * 12;
        // SAFETY: the tables have `experts` entries, by contract of the launch.
        unsafe {
            let n = if self.reads_n {
                ldst::load_global_i32(size + 4)
            } else {
                self.problem.problem.n as i32
            };
            Entry {
                size: [ldst::load_global_i32(size), n, ldst::load_global_i32(size + 8)],
                offset: ldst::load_global_i32(self.expert_offsets + entry * 4),
                scale_offset: ldst::load_global_i32(self.blockscale_offsets + entry * 4),
            }
        }
    }

    /// The rows of an entry, if it is in order.
    #[inline(always)]
    pub(crate) fn judge(&self, entry: Entry) -> ScaledGroup {
        self.problem.group(entry.size, entry.offset, entry.scale_offset)
    }

    /// Executed by: any thread. The rows of `expert`; none past the last expert.
    #[inline(always)]
    pub(crate) unsafe fn group(&self, expert: u32) -> ScaledGroup {
        // SAFETY: by the caller's contract.
        self.judge(unsafe { self.read(expert) })
    }
}

/// Executed by: warp, converged. Judges every `ctas()`-th group of a product and ORs what it finds into `status`.
#[inline(always)]
pub(crate) unsafe fn audit(tables: &ScaledTables, status: u64, lane: u32) {
    // SAFETY: by the caller's contract.
    unsafe { audit_every(tables, status, false, lane, sreg::cta(), sreg::ctas()) }
}

/// Executed by: warp, converged. As [`audit`], of every `stride`-th group from `expert` on; whether scales overlap
/// counts only where they are written.
#[inline(always)]
pub(crate) unsafe fn audit_every(
    tables: &ScaledTables,
    status: u64,
    scales_are_written: bool,
    lane: u32,
    mut expert: u32,
    stride: u32,
) {
    while expert < tables.experts {
        // SAFETY: `expert` and `other` are inside the tables or yield no rows; `status` is writable.
        unsafe {
            let own = tables.group(expert);
            let mut found = own.group.status.0;
            let mut other = lane;
            while other < tables.experts {
                if other != expert {
                    let its = tables.group(other);
                    if own.group.overlaps(its.group) {
                        found |= GroupStatus::OVERLAP.0;
                    }
                    if scales_are_written && own.scales_overlap(its) {
                        found |= GroupStatus::SCALES_OVERLAP.0;
                    }
                }
                other += 32;
            }
            if found != 0 {
                ldst::or_global_u32(status, found);
            }
        }
        expert += stride;
    }
}
