//! `tcgen05`: the tensor core with a memory of its own (PTX ISA 9.7.16).
//!
//! No machine of this generation was at hand. Layouts are those of the ISA and of public kernels, the arithmetic
//! is a published model; see [`facts`] for what is least certain.
//!
//! # Order
//!
//! Every asynchronous instruction is an actor's doing: loads and stores of a warp, copies of a thread, products
//! of a thread into one accumulator. A thread has two clocks for them. Its ordinary one learns of what is
//! complete: by a commit and the wait for its mbarrier, or by `wait::ld` and `wait::st` followed by
//! `fence::before_thread_sync`. What its own asynchronous instructions may rely on is a second clock, which takes
//! over the first at `fence::after_thread_sync`. A missing fence on either side is a hole between the two.

mod alloc;
pub(crate) mod facts;
mod issue;
mod multiply;
mod pipe;
mod transfer;

use super::cluster::{Cluster, Flow, Step};
use super::warp::each;
use crate::ir::{Inst, Mem, Tcgen05};
use crate::race::{Clock, Conflict, Time, View};
use crate::report::ReportKind;
use crate::semantics::tmem::{COLUMNS, LANES, place};
pub(crate) use pipe::Engine;
pub(crate) use transfer::WarpState;

/// What an asynchronous instruction was issued with.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Earlier uses of tensor memory that it comes after.
    view: View,
    /// What its thread knew, fences or not: for the wording of a report.
    base: Clock,
}

/// A rectangle of tensor memory.
#[derive(Clone, Copy, Debug)]
struct Area {
    cta: usize,
    column: u32,
    columns: u32,
}

impl Seen {
    fn new(known: Clock, base: Clock) -> Self {
        let time = Time { base: known, proxy: Clock::default(), own: 0 };
        Self { view: View { issuer: u32::MAX, time, asynchronous: true }, base }
    }
}

impl Cluster<'_> {
    pub(crate) fn tcgen05_op(
        &mut self,
        w: usize,
        inst: &Inst,
        op: &Tcgen05,
        lanes: u32,
    ) -> Step<Flow> {
        let line = inst.line;
        if let Some(group) = group_of(op) {
            self.same_group(w, group, line)?;
        }
        match op {
            Tcgen05::FenceBefore => self.warps[w].fence_before(lanes),
            Tcgen05::FenceAfter => self.warps[w].fence_after(lanes),
            Tcgen05::Cp { .. } | Tcgen05::Mma { .. } | Tcgen05::Commit { .. } => {
                // PTX ISA 9.7.16.5: one thread starts the operation; each of several would start it again.
                if lanes.count_ones() > 1 {
                    let message = format!("{} threads issue it, one should", lanes.count_ones());
                    self.report(ReportKind::Tcgen05, vec![line], message)?;
                }
                for lane in each(lanes) {
                    self.issue_tensor(w, lane, op, line)?;
                }
            }
            _ => {
                let live = self.warps[w].live;
                let Some(here) = self.gather(w, inst, lanes, live) else {
                    return Ok(Flow::Advance(0));
                };
                if here != u32::MAX {
                    let message = "a warp that is not whole".to_owned();
                    return self.fatal(ReportKind::Tcgen05, line, message);
                }
                return self.of_warp(w, op, line);
            }
        }
        Ok(Flow::Advance(lanes))
    }

    /// What a whole warp does together.
    fn of_warp(&mut self, w: usize, op: &Tcgen05, line: u32) -> Step<Flow> {
        match op {
            Tcgen05::Alloc { space, m, columns, .. } => {
                return self.alloc_columns(w, (*space, *m), *columns, line);
            }
            Tcgen05::Dealloc { address, columns, .. } => {
                self.dealloc_columns(w, *address, *columns, line)?;
            }
            Tcgen05::Relinquish { .. } => {
                let cta = self.warps[w].cta;
                self.ctas[cta].tensor.relinquish();
            }
            Tcgen05::Ld { shape, d, m } => self.issue_load(w, (*shape, d, *m), line)?,
            Tcgen05::St { shape, a, m } => self.issue_store(w, (*shape, a, *m), line)?,
            Tcgen05::WaitLd => self.wait_loads(w)?,
            Tcgen05::WaitSt => self.wait_stores(w),
            _ => {}
        }
        Ok(Flow::Advance(u32::MAX))
    }

    /// All instructions of a kernel are for as many CTAs (PTX ISA 9.7.16.3), and pairs need their peers.
    fn same_group(&mut self, w: usize, group: u32, line: u32) -> Step<()> {
        let (first, at) = *self.tensor.group.get_or_insert((group, line));
        if first != group {
            let message = format!("cta_group::{group} after cta_group::{first}");
            return self.fatal(ReportKind::Tcgen05, line, format!("{message} at line {at}"));
        }
        if group == 2 && self.warps[w].cta ^ 1 >= self.ctas.len() {
            let message = "cta_group::2 in a CTA without a peer".to_owned();
            return self.fatal(ReportKind::Tcgen05, line, message);
        }
        Ok(())
    }

    /// The CTAs that an instruction of a group works for: itself, or the two whose ranks differ in the last bit
    /// (PTX ISA 9.7.16.3, "CTA pair").
    fn members(&self, w: usize, group: u32) -> Vec<usize> {
        let cta = self.warps[w].cta;
        if group == 1 { vec![cta] } else { vec![cta & !1, cta | 1] }
    }

    /// What an asynchronous instruction of a lane may rely on.
    fn seen(&mut self, w: usize, lane: usize) -> Seen {
        let warp = &self.warps[w];
        let known = warp.tensor.known(lane);
        Seen::new(known, warp.time[lane].base.clone())
    }

    /// Lane and column of a tensor-memory operand, for one lane of a warp.
    fn tensor_place(&self, w: usize, lane: usize, m: Mem) -> (u32, u32) {
        place(self.addresses(w, m)[lane] as u32)
    }

    /// Checks that columns are allocated, and that their allocation comes first.
    fn in_tensor(&mut self, area: Area, seen: &Seen, line: u32, what: &str) -> Step<()> {
        let Area { cta, column, columns } = area;
        if self.ctas[cta].live == 0 {
            let message = format!("{what} in tensor memory of CTA {cta}, which has exited");
            return self.fatal(ReportKind::PeerExited, line, message);
        }
        for at in column..column + columns {
            let Some(holder) = self.ctas[cta].tensor.holder(at).copied() else {
                let message = format!(
                    "{what} in columns {column} to {} of CTA {cta}'s tensor memory of {LANES} lanes and {COLUMNS} \
                     columns: column {at} is not allocated",
                    column + columns - 1
                );
                return self.fatal(ReportKind::OutOfBounds, line, message);
            };
            let made = holder.made;
            // The allocation was its whole warp's.
            let own = made.actor / 32 == seen.view.issuer / 32;
            if self.env.options.check_races && !own && seen.base.get(made.actor) < made.clock {
                let message = format!("{what} in tensor memory that may not be allocated yet");
                return self.report(ReportKind::Race, vec![line, made.line], message);
            }
        }
        Ok(())
    }

    /// Reports a conflict in tensor memory.
    fn tensor_conflict(
        &mut self,
        found: Option<Conflict>,
        seen: &Seen,
        line: u32,
        what: &str,
    ) -> Step<()> {
        let Some(Conflict { earlier, wrote, .. }) = found.filter(|_| self.env.options.check_races)
        else {
            return Ok(());
        };
        let lines = vec![line, earlier.line];
        let before = if wrote { "write" } else { "read" };
        if seen.base.get(earlier.actor) >= earlier.clock {
            let message = format!(
                "{what} of tensor memory may come before the {before} that its thread waited for: \
                 tcgen05.fence::after_thread_sync is missing"
            );
            return self.report(ReportKind::TensorFence, lines, message);
        }
        let message = format!(
            "{what} of tensor memory is not ordered after the {before}: neither a commit, nor a tcgen05.wait and \
             tcgen05.fence::before_thread_sync, nor a pipeline orders them"
        );
        self.report(ReportKind::Race, lines, message)
    }
}

const fn group_of(op: &Tcgen05) -> Option<u32> {
    match op {
        Tcgen05::Alloc { group, .. }
        | Tcgen05::Dealloc { group, .. }
        | Tcgen05::Relinquish { group }
        | Tcgen05::Cp { group, .. }
        | Tcgen05::Mma { group, .. }
        | Tcgen05::Commit { group, .. } => Some(*group),
        _ => None,
    }
}
