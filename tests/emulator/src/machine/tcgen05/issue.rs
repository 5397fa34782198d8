//! What one thread starts: copies of scale factors, products, commits.

use super::facts::LEADER;
use super::multiply::{Product, ScaleCopy, Scales};
use super::pipe::Work;
use crate::ir::{Mem, Src, Tcgen05};
use crate::machine::access::Place;
use crate::machine::cluster::{Cluster, Step};
use crate::race::Epoch;
use crate::report::ReportKind;
use crate::semantics::descriptor::{
    DescriptorError, InstructionDescriptor, Layout, Tcgen05Descriptor,
};
use crate::semantics::swizzle::Swizzle;
use std::fmt::Display;

impl Cluster<'_> {
    pub(super) fn issue_tensor(
        &mut self,
        w: usize,
        lane: usize,
        op: &Tcgen05,
        line: u32,
    ) -> Step<()> {
        if let Tcgen05::Cp { group: 2, .. }
        | Tcgen05::Mma { group: 2, .. }
        | Tcgen05::Commit { group: 2, .. } = op
            && self.warps[w].cta % 2 != LEADER
        {
            let message = "the odd CTA of a pair issues for it".to_owned();
            self.report(ReportKind::Tcgen05, vec![line], message)?;
        }
        match op {
            Tcgen05::Cp { group, m, source } => {
                self.issue_copy(w, lane, (*group, *m, *source), line)
            }
            Tcgen05::Mma { .. } => self.issue_product(w, lane, op, line),
            Tcgen05::Commit { group: _, m, multicast } => {
                self.issue_commit(w, lane, (*m, *multicast), line)
            }
            _ => Ok(()),
        }
    }

    fn refuse<T>(&mut self, bits: u64, error: &dyn Display, line: u32) -> Step<T> {
        self.fatal(ReportKind::Descriptor, line, format!("{bits:#x}: {error}"))
    }

    fn layout(&mut self, w: usize, lane: usize, source: Src, line: u32) -> Step<Layout> {
        let bits = self.row(w, source)[lane];
        match Tcgen05Descriptor::decode(bits) {
            Ok(descriptor) => Ok(descriptor.0),
            Err(error) => self.refuse(bits, &error, line),
        }
    }

    /// The column of an operand that has all lanes.
    fn column(&mut self, w: usize, lane: usize, m: Mem, line: u32, what: &str) -> Step<u32> {
        let (row, column) = self.tensor_place(w, lane, m);
        if row == 0 {
            return Ok(column);
        }
        let message = format!("the address of {what} says lane {row}; it has all lanes");
        self.fatal(ReportKind::Tcgen05, line, message)
    }

    /// Remembers who uses a CTA's memory, for the moment when it leaves.
    fn note_user(&mut self, cta: usize, now: Epoch) {
        self.ctas[cta].tensor.users.insert(now.actor, now);
    }

    fn issue_copy(
        &mut self,
        w: usize,
        lane: usize,
        (group, m, source): (u32, Mem, Src),
        line: u32,
    ) -> Step<()> {
        let layout = self.layout(w, lane, source, line)?;
        if layout.swizzle != Swizzle::None {
            let error = DescriptorError::Unsupported("a copy of scale factors with a swizzle");
            let bits = self.row(w, source)[lane];
            return self.refuse(bits, &error, line);
        }
        let column = self.column(w, lane, m, line, "the copy")?;
        let mut seen = self.seen(w, lane);
        let mut view = self.warps[w].issue(lane);
        view.asynchronous = true;
        seen.view.issuer = view.issuer;
        let now = self.number_copy(&view, &mut seen, line);
        let ctas = self.members(w, group);
        for &cta in &ctas {
            self.note_user(cta, now);
        }
        let issuer = view.issuer;
        self.give(issuer, Work::Copy(Box::new(ScaleCopy { ctas, column, layout, view, seen, now })))
    }

    fn issue_product(&mut self, w: usize, lane: usize, op: &Tcgen05, line: u32) -> Step<()> {
        let Tcgen05::Mma { group, d, a, b, descriptor, scales, accumulate } = op else {
            return Ok(());
        };
        let (a, b) = (self.layout(w, lane, *a, line)?, self.layout(w, lane, *b, line)?);
        let bits = self.row(w, *descriptor)[lane] as u32;
        let shape = match scales {
            Some(_) => InstructionDescriptor::decode_block_scaled(bits, *group),
            None => InstructionDescriptor::decode_unscaled(bits, *group),
        };
        let shape = match shape {
            Ok(shape) => shape,
            Err(error) => return self.refuse(bits.into(), &error, line),
        };
        if *group == 2 && shape.m != 256 {
            let message = format!("M {} over a pair: its layout has no source", shape.m);
            return self.fatal(ReportKind::Unsupported, line, message);
        }
        let d = self.column(w, lane, *d, line, "D")?;
        let scales = match scales {
            Some([a, b]) => Some(Scales {
                a: self.column(w, lane, *a, line, "the scales of A")?,
                b: self.column(w, lane, *b, line, "the scales of B")?,
            }),
            None => None,
        };
        let accumulate = self.warps[w].predicate(*accumulate) >> lane & 1 == 1;
        let mut seen = self.seen(w, lane);
        let mut view = self.warps[w].issue(lane);
        view.asynchronous = true;
        seen.view.issuer = view.issuer;
        let signature = (*group, (d, u32::from(scales.is_some())), shape.m, shape.n);
        let now = self.number_product(&view, &mut seen, signature, line);
        let ctas = self.members(w, *group);
        for &cta in &ctas {
            self.note_user(cta, now);
        }
        let issuer = view.issuer;
        let product = Product { ctas, d, a, b, shape, scales, accumulate, view, seen, now };
        self.give(issuer, Work::Product(Box::new(product)))
    }

    fn issue_commit(
        &mut self,
        w: usize,
        lane: usize,
        (m, multicast): (Mem, Option<Src>),
        line: u32,
    ) -> Step<()> {
        let address = self.addresses(w, m)[lane];
        let Place::Shared(owner, at) = self.shared_place(w, address) else { return Ok(()) };
        if !at.is_multiple_of(8) {
            let message = format!("the mbarrier at {at:#x} is not 8-aligned");
            return self.fatal(ReportKind::Misaligned, line, message);
        }
        let ctas: Vec<usize> = match multicast {
            None => vec![owner],
            Some(mask) => self.cta_mask(w, lane, mask),
        };
        for &cta in &ctas {
            self.in_shared(cta, at, 8, line, "commit")?;
            self.touch(w, lane, cta, line);
            self.check_commit(w, lane, (cta, at as u32), line)?;
        }
        let (issuer, home) = (self.warps[w].issue(lane).issuer, self.warps[w].cta);
        let commit = self.commit((issuer, home), (ctas, at as u32), line);
        self.give(issuer, Work::Commit(commit))
    }

    /// Checks that the mbarrier of a commit is there, and known to be.
    fn check_commit(
        &mut self,
        w: usize,
        lane: usize,
        (cta, at): (usize, u32),
        line: u32,
    ) -> Step<()> {
        let Some(barrier) = self.ctas[cta].barriers.get(&at) else {
            let message = format!("no mbarrier was initialised at {at:#x} of rank {cta}");
            return self.fatal(ReportKind::Barrier, line, message);
        };
        if !self.env.options.check_races {
            return Ok(());
        }
        let (init, published) = (barrier.init, barrier.published);
        let warp = &self.warps[w];
        if !warp.sees(lane, barrier) {
            let message = format!("the mbarrier at {at:#x} may not be initialised yet");
            self.report(ReportKind::Race, vec![line, init.line], message)?;
        } else if warp.cta != cta && !published {
            let message = format!(
                "a peer's commit uses the mbarrier at {at:#x}, whose initialisation no fence.mbarrier_init follows"
            );
            self.report(ReportKind::Barrier, vec![line, init.line], message)?;
        }
        Ok(())
    }
}
