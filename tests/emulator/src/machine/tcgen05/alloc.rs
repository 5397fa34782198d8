//! Allocation of tensor memory, and what must be over when a CTA leaves (PTX ISA 9.7.16.7).

use super::Seen;
use crate::ir::{Mem, Space, Src};
use crate::machine::cluster::{Cluster, Flow, Step};
use crate::machine::warp::Wait;
use crate::race::Epoch;
use crate::report::ReportKind;

impl Cluster<'_> {
    pub(super) fn alloc_columns(
        &mut self,
        w: usize,
        (space, m): (Space, Mem),
        columns: Src,
        line: u32,
    ) -> Step<Flow> {
        let columns = self.uniform(w, columns, line, ReportKind::Tcgen05, "number of columns")?;
        let to = self.uniform(w, m.base, line, ReportKind::Tcgen05, "address")?;
        let warp = &self.warps[w];
        let (cta, index) = (warp.cta, warp.index);
        let made = Epoch { actor: warp.actor, clock: warp.time[0].own, line, ..Epoch::default() };
        match self.ctas[cta].tensor.alloc(columns as u32, made, index) {
            Err(error) => self.fatal(ReportKind::Tcgen05, line, error.to_string()),
            Ok(None) => {
                self.warps[w].block(u32::MAX, Wait::TensorMemory(columns as u32));
                Ok(Flow::Advance(0))
            }
            Ok(Some(address)) => {
                let place = self.place(w, space, to.wrapping_add(m.offset as u64));
                self.store(w, 0, place, &address.to_le_bytes(), line)?;
                Ok(Flow::Advance(u32::MAX))
            }
        }
    }

    pub(super) fn dealloc_columns(
        &mut self,
        w: usize,
        address: Src,
        columns: Src,
        line: u32,
    ) -> Step<()> {
        let columns = self.uniform(w, columns, line, ReportKind::Tcgen05, "number of columns")?;
        let address = self.uniform(w, address, line, ReportKind::Tcgen05, "address")?;
        let (cta, index) = (self.warps[w].cta, self.warps[w].index);
        let gone = match self.ctas[cta].tensor.dealloc(address as u32, columns as u32) {
            Ok(gone) => gone,
            Err(error) => return self.fatal(ReportKind::Tcgen05, line, error.to_string()),
        };
        // PTX ISA 9.7.16.7.1: "one warp from the CTA must perform the allocation and de-allocation".
        if gone.warp != index {
            let message = format!("warp {index} gives back what warp {} allocated", gone.warp);
            self.report(ReportKind::Tcgen05, vec![line, gone.made.line], message)?;
        }
        // Not an asynchronous instruction itself, so it needs no fence::after_thread_sync.
        let mut base = self.warps[w].time[0].base.clone();
        base.join(&self.warps[w].tensor.known(0));
        let seen = Seen::new(base.clone(), base);
        let found = self.ctas[cta].tensor.clear(&gone, &seen.view);
        self.tensor_conflict(found, &seen, line, "deallocation")
    }

    /// What a warp has not waited for when its last thread leaves.
    pub(crate) fn warp_leaves(&mut self, w: usize, line: u32) -> Step<()> {
        let Some(what) = self.warps[w].tensor.outstanding() else { return Ok(()) };
        let message = format!("a warp leaves with tcgen05.{what} that it has not waited for");
        self.report(ReportKind::ExitOutstanding, vec![line], message)
    }

    /// What must be over when the last thread of a CTA leaves.
    pub(crate) fn tensor_leaves(&mut self, cta: usize, line: u32) -> Step<()> {
        if let Err(error) = self.ctas[cta].tensor.exit() {
            self.report(ReportKind::Tcgen05, vec![line], error.to_string())?;
        }
        let clock = &self.ctas[cta].exit_clock;
        let late = self.ctas[cta].tensor.users.values().find(|e| clock.get(e.actor) < e.clock);
        if let Some(&late) = late {
            let message = format!(
                "CTA {cta} leaves while a tcgen05 instruction may still use its memory or its mbarriers"
            );
            self.report(ReportKind::ExitOutstanding, vec![line, late.line], message)?;
        }
        Ok(())
    }
}
