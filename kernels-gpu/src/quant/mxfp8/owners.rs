//! Which group owns a row.
//!
//! The threads of a CTA look at one group each, and those whose group has rows near the CTA's leave it in shared
//! memory: one group for rows in the middle of a large one, a few for small groups. Every lane then asks them.

use super::{ENTRIES, MASKS, THREADS, WARPS};
use crate::abi::ScaledGroup;
use crate::ptx::{Smem, ldst, sync, warp};
use crate::tile::scaled_tables::{Entry, ScaledTables};

/// Bytes of a group in shared memory: first row, rows, first scale row, nothing.
pub(super) const ENTRY_BYTES: u32 = 16;

/// The group that owns a lane's row.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    /// First packed row of the group.
    pub(super) first_row: u32,
    /// Rows of the group.
    pub(super) rows: u32,
    /// First scale row of the group.
    pub(super) first_scale_row: u32,
}

impl Owner {
    const NOBODY: Self = Self { first_row: 0, rows: 0, first_scale_row: 0 };

    /// Whether a row is one of the group's.
    #[inline(always)]
    pub(super) const fn has(self, row: u32) -> bool {
        row.wrapping_sub(self.first_row) < self.rows
    }

    /// Whether the group has a row of `first..past`.
    #[inline(always)]
    pub(super) const fn has_any(self, first: u32, past: u32) -> bool {
        // The lazy operator would be a branch.
        (self.first_row < past) & (self.first_row + self.rows > first)
    }
}

impl From<ScaledGroup> for Owner {
    #[inline(always)]
    fn from(ScaledGroup { group, first_scale_row }: ScaledGroup) -> Self {
        Self { first_row: group.first_row, rows: group.rows, first_scale_row }
    }
}

/// What the tables say of a row.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// One of its owners, if it has any.
    pub(super) owner: Owner,
    /// Number of its owners: more than one if the tables break the contract.
    pub(super) owners: u32,
}

/// Executed by: every thread of the CTA, each warp converged. Who owns the lane's `row`, which is one of the CTA's,
/// `first..past`. `entry` is the thread's own of the first [`THREADS`].
#[inline(always)]
pub(super) unsafe fn find(
    tables: &ScaledTables,
    smem: Smem,
    mut entry: Entry,
    [first, past]: [u32; 2],
    row: u32,
    thread: u32,
) -> Found {
    let (warp, lane) = (thread / 32, thread % 32);
    let mut found = Found { owner: Owner::NOBODY, owners: 0 };
    let mut expert = 0;
    // SAFETY: every thread writes its own entry, and all meet before anyone reads and before anyone writes again.
    unsafe {
        loop {
            let mut mask = 0;
            // Whole warps past the last expert have nothing to judge.
            if expert + warp * 32 < tables.experts {
                let own = Owner::from(tables.judge(entry));
                let near = own.has_any(first, past) & (own.rows != 0);
                mask = warp::ballot(near);
                if near {
                    let words = [own.first_row, own.rows, own.first_scale_row, 0];
                    ldst::store_shared_u32x4(smem.at(ENTRIES + thread * ENTRY_BYTES), words);
                }
            }
            // Behind a branch, LLVM would make a copy of the barrier for lane 0.
            ldst::store_shared_u32_if(smem.at(MASKS + warp * 4), mask, lane == 0);
            sync::cta_sync();
            ask(smem, row, lane, &mut found);
            expert += THREADS;
            if expert >= tables.experts {
                return found;
            }
            core::hint::cold_path();
            entry = tables.read(expert + thread);
            sync::cta_sync();
        }
    }
}

/// Executed by: warp, converged. Looks for the lane's row in the groups that lie in shared memory.
#[inline(always)]
unsafe fn ask(smem: Smem, row: u32, lane: u32, found: &mut Found) {
    // SAFETY: the groups of the masks are there; the warp is converged, by contract, and the loops are uniform.
    unsafe {
        let mask = ldst::load_shared_u32(smem.at(MASKS + lane % WARPS * 4));
        let mut warps = warp::ballot((mask != 0) & (lane < WARPS));
        while warps != 0 {
            let from = warps.trailing_zeros();
            warps &= warps - 1;
            let mut threads = warp::broadcast(mask, from);
            while threads != 0 {
                let thread = from * 32 + threads.trailing_zeros();
                threads &= threads - 1;
                let at = smem.at(ENTRIES + thread * ENTRY_BYTES);
                let [first_row, rows, first_scale_row, _] = ldst::load_shared_u32x4(at);
                let owner = Owner { first_row, rows, first_scale_row };
                if owner.has(row) {
                    found.owner = owner;
                    found.owners += 1;
                }
            }
        }
    }
}
