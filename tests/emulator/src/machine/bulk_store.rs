//! Bulk copies out of shared memory (PTX ISA 9.7.9.25): they read, and later write, until a wait for their group.
//!
//! Two actors for each thread, since `wait_group.read` ends only the first half: one reads shared memory, one writes
//! global memory. Copies have no order among themselves.

use super::access::Place;
use super::boxes::Piece;
use super::cluster::{Cluster, Flow, Step};
use super::warp::each;
use crate::ir::{BulkStore, Inst, Mem};
use crate::options::Timing;
use crate::race::{Epoch, View};
use crate::report::ReportKind;

/// A copy that is not complete.
#[derive(Debug)]
struct Copy {
    issuer: u32,
    number: u32,
    line: u32,
    cta: usize,
    view: View,
    pieces: Vec<Piece>,
    /// What was read, once it is.
    data: Option<Vec<u8>>,
}

/// The copies of a thread, which are numbered.
#[derive(Debug)]
struct Thread {
    issuer: u32,
    reader: u32,
    writer: u32,
    issued: u32,
    /// The last number of each group.
    groups: Vec<u32>,
    /// Up to which number the sources are known to be read.
    read: u32,
}

/// All of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    threads: Vec<Thread>,
    queue: Vec<Copy>,
}

impl Cluster<'_> {
    pub(crate) fn bulk_store_op(
        &mut self,
        w: usize,
        inst: &Inst,
        op: &BulkStore,
        lanes: u32,
    ) -> Step<Flow> {
        let line = inst.line;
        for lane in each(lanes) {
            match op {
                BulkStore::Flat { to, from, bytes } => {
                    let bytes = self.row(w, *bytes)[lane] & 0xFFFF_FFFF;
                    let to = self.addresses(w, *to)[lane];
                    if !to.is_multiple_of(16) || !bytes.is_multiple_of(16) || bytes == 0 {
                        let message =
                            format!("{bytes} bytes to {to:#x}: multiples of 16 are needed");
                        return self.fatal(ReportKind::Misaligned, line, message);
                    }
                    let (cta, at) = self.source(w, lane, *from, (bytes, 16), line)?;
                    let piece = Piece { shared: at, global: to, bytes: bytes as usize };
                    self.issue_bulk_store(w, lane, (cta, vec![piece]), line)?;
                }
                BulkStore::Tile { rank, map, coordinates, from } => {
                    let (map, coordinates) =
                        self.tile(w, lane, (*rank, *map, coordinates), line)?;
                    let (cta, at) = self.source(w, lane, *from, (map.box_bytes(), 128), line)?;
                    let pieces = self.store_box(&map, &coordinates, at, line)?;
                    self.issue_bulk_store(w, lane, (cta, pieces), line)?;
                }
                BulkStore::Commit => {
                    let at = self.bulk_thread(w, lane);
                    let thread = &mut self.stores.threads[at];
                    thread.groups.push(thread.issued);
                }
                BulkStore::Wait { left, read } => self.wait_bulk(w, lane, *left, *read)?,
            }
        }
        Ok(Flow::Advance(lanes))
    }

    /// The source of a copy, checked: its CTA and address.
    fn source(
        &mut self,
        w: usize,
        lane: usize,
        from: Mem,
        (bytes, alignment): (u64, u64),
        line: u32,
    ) -> Step<(usize, u64)> {
        let own = self.warps[w].cta;
        let Place::Shared(cta, at) = self.shared_place(w, self.addresses(w, from)[lane]) else {
            return Ok((own, 0));
        };
        if cta != own {
            let message = "the source is the shared memory of a peer".to_owned();
            return self.fatal(ReportKind::OutOfBounds, line, message);
        }
        if !at.is_multiple_of(alignment) {
            let message = format!("the source {at:#x} is not {alignment}-aligned");
            return self.fatal(ReportKind::Misaligned, line, message);
        }
        self.in_shared(cta, at, bytes, line, "copy")?;
        Ok((cta, at))
    }

    fn bulk_thread(&mut self, w: usize, lane: usize) -> usize {
        let issuer = self.warps[w].actor + lane as u32;
        if let Some(at) = self.stores.threads.iter().position(|t| t.issuer == issuer) {
            return at;
        }
        let (reader, writer) = (self.actors, self.actors + 1);
        self.actors += 2;
        let groups = Vec::new();
        self.stores.threads.push(Thread { issuer, reader, writer, issued: 0, groups, read: 0 });
        self.stores.threads.len() - 1
    }

    fn issue_bulk_store(
        &mut self,
        w: usize,
        lane: usize,
        (cta, pieces): (usize, Vec<Piece>),
        line: u32,
    ) -> Step<()> {
        // A swizzle may reach beyond the end of a box that is no multiple of its pattern.
        for piece in &pieces {
            self.in_shared(cta, piece.shared, piece.bytes as u64, line, "copy")?;
        }
        let at = self.bulk_thread(w, lane);
        let thread = &mut self.stores.threads[at];
        thread.issued += 1;
        let (number, writer) = (thread.issued, thread.writer);
        let mut view = self.warps[w].issue(lane);
        view.asynchronous = true;
        let issuer = view.issuer;
        // The place in the order is the same whenever it happens.
        let now = Epoch { actor: writer, clock: number, line, asynchronous: true, atomic: false };
        let mut base = view.time.base.clone();
        base.raise(issuer, view.time.own);
        for piece in &pieces {
            self.note_global_write(piece.global, piece.bytes as u64, now, &base)?;
        }
        let mut copy = Copy { issuer, number, line, cta, view, pieces, data: None };
        let dice = match self.env.options.timing {
            Timing::Early => 3,
            Timing::Late => 0,
            Timing::Random(_) => self.dice() & 3,
        };
        if dice & 1 == 1 {
            self.read_source(&mut copy)?;
        }
        if dice == 3 {
            return self.write_global(&copy);
        }
        self.stores.queue.push(copy);
        Ok(())
    }

    /// Reads the source, if that did not happen before.
    fn read_source(&mut self, copy: &mut Copy) -> Step<()> {
        if copy.data.is_some() {
            return Ok(());
        }
        let at = self.stores.threads.iter().position(|t| t.issuer == copy.issuer);
        let actor = at.map_or(u32::MAX, |at| self.stores.threads[at].reader);
        let (line, clock) = (copy.line, copy.number);
        let now = Epoch { actor, clock, line, asynchronous: true, atomic: false };
        let (mut data, mut known, mut conflict) = (Vec::new(), true, None);
        let shared = &mut self.ctas[copy.cta].shared;
        for piece in &copy.pieces {
            data.extend_from_slice(shared.get(piece.shared, piece.bytes));
            known &= shared.known(piece.shared, piece.bytes);
            if self.env.options.check_races && conflict.is_none() {
                let found = shared.shadow.read(piece.shared, piece.bytes as u64, &copy.view, now);
                conflict = found.map(|found| (found, piece.shared));
            }
        }
        copy.data = Some(data);
        if !known {
            let message = "a copy reads shared memory that nothing has written".to_owned();
            self.report(ReportKind::Uninitialised, vec![line], message)?;
        }
        match conflict {
            Some((found, at)) => self.conflict(Some(found), line, "asynchronous copy's read", at),
            None => Ok(()),
        }
    }

    /// Writes what was read.
    fn write_global(&mut self, copy: &Copy) -> Step<()> {
        let mut data = copy.data.as_deref().unwrap_or_default();
        for piece in &copy.pieces {
            let (part, rest) = data.split_at(piece.bytes.min(data.len()));
            data = rest;
            if let Err(fault) = self.env.memory.write(piece.global, part) {
                return self.fatal(fault.kind, copy.line, fault.message);
            }
        }
        Ok(())
    }

    /// Performs the copies of a thread up to a number: their reads, or both halves.
    fn flush_bulk(&mut self, issuer: u32, target: u32, read: bool) -> Step<()> {
        let mut kept = Vec::new();
        for mut copy in std::mem::take(&mut self.stores.queue) {
            if copy.issuer == issuer && copy.number <= target {
                self.read_source(&mut copy)?;
                if !read {
                    self.write_global(&copy)?;
                    continue;
                }
            }
            kept.push(copy);
        }
        self.stores.queue = kept;
        Ok(())
    }

    fn wait_bulk(&mut self, w: usize, lane: usize, left: u32, read: bool) -> Step<()> {
        let at = self.bulk_thread(w, lane);
        let thread = &mut self.stores.threads[at];
        let done = thread.groups.len().checked_sub(left as usize + 1);
        let target = done.map_or(0, |index| thread.groups[index]);
        thread.read = thread.read.max(target);
        let (issuer, reader, writer) = (thread.issuer, thread.reader, thread.writer);
        self.flush_bulk(issuer, target, read)?;
        if target > 0 {
            let base = &mut self.warps[w].time[lane].base;
            base.raise(reader, target);
            if !read {
                base.raise(writer, target);
            }
        }
        Ok(())
    }

    /// A thread leaves: its sources must be read, since its shared memory goes. Its writes may come later.
    pub(crate) fn bulk_leaves(&mut self, w: usize, lane: usize, line: u32) -> Step<()> {
        let issuer = self.warps[w].actor + lane as u32;
        let late = self.stores.threads.iter().any(|t| t.issuer == issuer && t.read < t.issued);
        if !late {
            return Ok(());
        }
        self.flush_bulk(issuer, u32::MAX, true)?;
        let message =
            "a thread leaves with bulk copies whose sources it has not waited for".to_owned();
        self.report(ReportKind::ExitOutstanding, vec![line], message)
    }

    /// The end of the cluster: what was read is written.
    pub(crate) fn bulk_rest(&mut self) -> Step<()> {
        for copy in std::mem::take(&mut self.stores.queue) {
            self.write_global(&copy)?;
        }
        Ok(())
    }
}
