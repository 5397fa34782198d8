//! Asynchronous copies: queued at issue, performed at a moment that the timing chooses.

use super::access::Place;
use super::cluster::{Cluster, Flow, Step};
use super::timeline::Who;
use super::warp::{Wait, each};
use crate::ir::{Inst, Mem, Op, Space, Src};
use crate::options::Timing;
use crate::race::{Clock, Epoch, View};
use crate::report::ReportKind;
use crate::tensor_map::TensorMap;

/// A copy that has been issued.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) line: u32,
    view: View,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// `cp.async` of a lane: its number, destination, source, sizes.
    Lane { warp: usize, lane: usize, number: u32, to: u64, from: u64, bytes: u32, read: u32 },
    /// A copy that completes on an mbarrier at the same address for each destination.
    Bulk { targets: Vec<Target>, issuer: usize, to: u64, barrier: u32, what: Source },
}

/// A CTA that a copy goes to, and the one whose mbarrier it signals: itself or its peer.
#[derive(Clone, Copy, Debug)]
struct Target {
    cta: usize,
    signals: usize,
}

#[derive(Clone, Debug)]
enum Source {
    Flat { from: u64, bytes: u64 },
    Tile { map: Box<TensorMap>, coordinates: Vec<i32> },
}

impl Copy {
    pub(crate) fn is_of(&self, w: usize, l: usize) -> bool {
        matches!(self.kind, Kind::Lane { warp, lane, .. } if warp == w && lane == l)
    }

    pub(crate) fn writes(&self, cta: usize) -> bool {
        matches!(&self.kind, Kind::Bulk { targets, .. } if targets.iter().any(|to| to.cta == cta))
    }
}

impl Cluster<'_> {
    pub(crate) fn copy_op(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<Flow> {
        let line = inst.line;
        match &inst.op {
            Op::CpAsync { to, from, bytes, source_bytes } => {
                let (to, from) = (self.addresses(w, *to), self.addresses(w, *from));
                let read = source_bytes.map_or([u64::from(*bytes); 32], |s| self.row(w, s));
                for lane in each(lanes) {
                    self.issue_lane(
                        w,
                        lane,
                        (to[lane], from[lane]),
                        *bytes,
                        read[lane] as u32,
                        line,
                    )?;
                }
            }
            Op::CpAsyncCommit => {
                let warp = &mut self.warps[w];
                for lane in each(lanes) {
                    let count = warp.copied[lane];
                    warp.copy_groups[lane].push(count);
                }
            }
            Op::CpAsyncWait { left } => {
                for lane in each(lanes) {
                    let warp = &self.warps[w];
                    let target = match left {
                        None => warp.copied[lane],
                        Some(left) => {
                            let groups = &warp.copy_groups[lane];
                            let done = groups.len().checked_sub(*left as usize + 1);
                            done.map_or(0, |index| groups[index])
                        }
                    };
                    self.flush_lane(w, lane, target)?;
                }
            }
            Op::CpAsyncArrive { m, noinc } => {
                // The arrival is triggered by the completion of all earlier copies; here they complete now.
                let addresses = self.addresses(w, *m);
                for lane in each(lanes) {
                    let target = self.warps[w].copied[lane];
                    self.flush_queue(w, lane, target)?;
                    let address = addresses[lane] as u32;
                    let warp = &mut self.warps[w];
                    let (copies, cta) = (warp.copies[lane], warp.cta);
                    let Some(barrier) = self.ctas[cta].barriers.get_mut(&address) else {
                        let message = format!("no mbarrier was initialised at {address:#x}");
                        return self.fatal(ReportKind::Barrier, line, message);
                    };
                    if copies != u32::MAX {
                        barrier.gathering.raise(copies, target);
                    }
                    if *noinc {
                        let result = barrier.arrive(1);
                        barrier.complete();
                        if let Err(message) = result {
                            return self.fatal(ReportKind::Barrier, line, message);
                        }
                    }
                }
            }
            Op::Bulk { to, from, bytes, barrier, multicast } => {
                let (from, bytes) = (self.addresses(w, *from), self.row(w, *bytes));
                for lane in each(lanes) {
                    let (from, bytes) = (from[lane], bytes[lane] & 0xFFFF_FFFF);
                    if !from.is_multiple_of(16) || !bytes.is_multiple_of(16) || bytes == 0 {
                        let message =
                            format!("{bytes} bytes from {from:#x}: multiples of 16 are needed");
                        return self.fatal(ReportKind::Misaligned, line, message);
                    }
                    let what = Source::Flat { from, bytes };
                    let places = (*to, *barrier, *multicast, false);
                    self.issue_bulk(w, lane, places, (what, bytes, 16), line)?;
                }
            }
            Op::Tma { rank, to, map, coordinates, barrier, multicast, pair } => {
                for lane in each(lanes) {
                    let (map, coordinates) =
                        self.tile(w, lane, (*rank, *map, coordinates), line)?;
                    let bytes = map.box_bytes();
                    let what = Source::Tile { map: Box::new(map), coordinates };
                    let places = (*to, *barrier, *multicast, *pair);
                    self.issue_bulk(w, lane, places, (what, bytes, 128), line)?;
                }
            }
            _ => {}
        }
        Ok(Flow::Advance(lanes))
    }

    /// The map and the coordinates of a tensor copy.
    pub(crate) fn tile(
        &mut self,
        w: usize,
        lane: usize,
        (rank, map, coordinates): (u32, Mem, &[Src]),
        line: u32,
    ) -> Step<(TensorMap, Vec<i32>)> {
        let map = self.tensor_map(w, lane, self.addresses(w, map)[lane], line)?;
        if map.dims.len() != rank as usize {
            let message = format!("a map of rank {} used with rank {rank}", map.dims.len());
            return self.fatal(ReportKind::TensorMap, line, message);
        }
        let coordinates = coordinates.iter().map(|&c| self.row(w, c)[lane] as i32).collect();
        Ok((map, coordinates))
    }

    fn tensor_map(&mut self, w: usize, lane: usize, address: u64, line: u32) -> Step<TensorMap> {
        // PTX ISA 5.5.8: the object is 64-byte aligned.
        if !address.is_multiple_of(64) {
            let message = format!("the tensor map at {address:#x} is not 64-aligned");
            return self.fatal(ReportKind::TensorMap, line, message);
        }
        let mut bytes = [0; 128];
        let (low, high) = bytes.split_at_mut(64);
        for (part, at) in [(low, address), (high, address + 64)] {
            let place = self.place(w, Space::Generic, at);
            self.load(w, lane, place, part, line)?;
        }
        if let Some(map) = TensorMap::decode(&bytes) {
            return Ok(map);
        }
        let message = format!("no tensor map lies at {address:#x}");
        self.fatal(ReportKind::TensorMap, line, message)
    }

    fn issue_lane(
        &mut self,
        w: usize,
        lane: usize,
        (to, from): (u64, u64),
        bytes: u32,
        read: u32,
        line: u32,
    ) -> Step<()> {
        let Place::Shared(cta, at) = self.shared_place(w, to) else { return Ok(()) };
        let size = u64::from(bytes);
        if !at.is_multiple_of(size) || !from.is_multiple_of(size) && read > 0 {
            let message = format!("cp.async of {bytes} bytes from {from:#x} to {at:#x}");
            return self.fatal(ReportKind::Misaligned, line, message);
        }
        if read > bytes {
            let message = format!("cp.async reads {read} of {bytes} bytes");
            return self.fatal(ReportKind::OutOfBounds, line, message);
        }
        if cta != self.warps[w].cta {
            let message = "cp.async into a peer's shared memory".to_owned();
            return self.fatal(ReportKind::OutOfBounds, line, message);
        }
        self.in_shared(cta, at, size, line, "cp.async")?;
        let actor = self.actors;
        let warp = &mut self.warps[w];
        if warp.copies[lane] == u32::MAX {
            warp.copies[lane] = actor;
            self.actors += 1;
        }
        warp.copied[lane] += 1;
        let number = warp.copied[lane];
        let view = warp.issue(lane);
        let kind = Kind::Lane { warp: w, lane, number, to: at, from, bytes, read };
        self.queue(Copy { line, view, kind })
    }

    fn issue_bulk(
        &mut self,
        w: usize,
        lane: usize,
        (to, barrier, multicast, pair): (Mem, Mem, Option<Src>, bool),
        (what, bytes, alignment): (Source, u64, u64),
        line: u32,
    ) -> Step<()> {
        let to = self.addresses(w, to)[lane];
        let barrier = self.addresses(w, barrier)[lane];
        let (Place::Shared(cta, at), Place::Shared(other, barrier)) =
            (self.shared_place(w, to), self.shared_place(w, barrier))
        else {
            return Ok(());
        };
        if !at.is_multiple_of(alignment) {
            let message = format!("the destination {at:#x} is not {alignment}-aligned");
            return self.fatal(ReportKind::Misaligned, line, message);
        }
        // PTX ISA 9.7.9.25.5.2: with .cta_group::2 the mbarrier is the destination's or its peer's.
        let apart = if pair { cta / 2 != other / 2 } else { cta != other };
        if multicast.is_none() && apart {
            let message = "data and mbarrier lie in different CTAs".to_owned();
            return self.fatal(ReportKind::Barrier, line, message);
        }
        let ctas: Vec<usize> = match multicast {
            None => vec![cta],
            Some(mask) => self.cta_mask(w, lane, mask),
        };
        let signals = |cta: usize| if pair { cta & !1 | other & 1 } else { cta };
        let targets = ctas.into_iter().map(|cta| Target { cta, signals: signals(cta) });
        let targets: Vec<Target> = targets.collect();
        let mut view = self.warps[w].issue(lane);
        view.asynchronous = true;
        for &Target { cta, signals } in &targets {
            self.in_shared(cta, at, bytes, line, "copy")?;
            self.in_shared(signals, barrier, 8, line, "signal of a copy")?;
            self.check_target(w, lane, (signals, barrier as u32), line)?;
        }
        let kind = Kind::Bulk { targets, issuer: w, to: at, barrier: barrier as u32, what };
        self.queue(Copy { line, view, kind })
    }

    /// The ranks of a `.multicast::cluster`.
    pub(crate) fn cta_mask(&self, w: usize, lane: usize, mask: Src) -> Vec<usize> {
        let mask = self.row(w, mask)[lane] as u16;
        (0..16).filter(|rank| mask >> rank & 1 == 1).collect()
    }

    /// Checks that the asynchronous proxy sees the initialisation of the mbarrier.
    fn check_target(
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
        let (init, warp) = (barrier.init, &self.warps[w]);
        if !warp.sees(lane, barrier) {
            let message = format!("the mbarrier at {at:#x} may not be initialised yet");
            self.report(ReportKind::Race, vec![line, init.line], message)?;
        } else if !warp.sees_by_proxy(lane, barrier) || warp.cta != cta && !barrier.published {
            let message = format!(
                "no fence follows the initialisation of the mbarrier at {at:#x}, which a copy uses"
            );
            self.report(ReportKind::ProxyFence, vec![line, init.line], message)?;
        }
        Ok(())
    }

    fn queue(&mut self, copy: Copy) -> Step<()> {
        match self.env.options.timing {
            Timing::Early => self.perform(copy),
            Timing::Late => {
                self.queue.push(copy);
                Ok(())
            }
            Timing::Random(_) => {
                if self.dice().is_multiple_of(4) {
                    return self.perform(copy);
                }
                self.queue.push(copy);
                Ok(())
            }
        }
    }

    /// Performs the copies of a lane up to a number.
    fn flush_queue(&mut self, w: usize, lane: usize, target: u32) -> Step<()> {
        let due = |copy: &Copy| {
            matches!(copy.kind, Kind::Lane { warp, lane: l, number, .. }
                if warp == w && l == lane && number <= target)
        };
        while let Some(index) = self.queue.iter().position(due) {
            let copy = self.queue.remove(index);
            self.perform(copy)?;
        }
        Ok(())
    }

    fn flush_lane(&mut self, w: usize, lane: usize, target: u32) -> Step<()> {
        self.flush_queue(w, lane, target)?;
        let warp = &mut self.warps[w];
        let copies = warp.copies[lane];
        if copies != u32::MAX {
            warp.time[lane].base.raise(copies, target);
        }
        Ok(())
    }

    /// The mbarriers that somebody waits for.
    pub(crate) fn awaited_barriers(&self) -> Vec<(usize, u32)> {
        let mut awaited = Vec::new();
        for warp in &self.warps {
            for lane in each(warp.waiting & warp.live) {
                if let Wait::Mbarrier { cta, address, .. } = warp.wait[lane]
                    && !awaited.contains(&(cta as usize, address))
                {
                    awaited.push((cta as usize, address));
                }
            }
        }
        awaited
    }

    /// Performs one copy that somebody waits for; false if there is none.
    pub(crate) fn perform_awaited(&mut self) -> Step<bool> {
        let awaited = self.awaited_barriers();
        let due: Vec<usize> = (0..self.queue.len())
            .filter(|&index| match &self.queue[index].kind {
                Kind::Bulk { targets, barrier, .. } => {
                    targets.iter().any(|to| awaited.contains(&(to.signals, *barrier)))
                }
                Kind::Lane { .. } => false,
            })
            .collect();
        if due.is_empty() {
            return Ok(false);
        }
        let pick = if self.is_random() { self.dice() as usize % due.len() } else { 0 };
        let copy = self.queue.remove(due[pick]);
        self.perform(copy)?;
        Ok(true)
    }

    /// Lets a copy happen.
    pub(crate) fn perform(&mut self, copy: Copy) -> Step<()> {
        let Copy { line, view, kind } = copy;
        if let Some(tape) = &self.tape {
            tape.turn(self.stats.warp_instructions, Who::Asynchronous, line);
        }
        match kind {
            Kind::Lane { warp, lane, number, to, from, bytes, read } => {
                let mut data = [0; 16];
                let data = &mut data[..bytes as usize];
                self.global(from, &mut data[..read as usize], line)?;
                if read > 0 {
                    self.global_read(warp, lane, from, line)?;
                }
                let actor = self.warps[warp].copies[lane];
                let now = Epoch { actor, clock: number, line, ..Epoch::default() };
                let cta = self.warps[warp].cta;
                self.land(cta, to, data, &view, now)
            }
            Kind::Bulk { targets, issuer, to, barrier, what } => {
                let (pieces, bytes) = match &what {
                    Source::Flat { from, bytes } => {
                        let mut data = vec![0; *bytes as usize];
                        self.global(*from, &mut data, line)?;
                        (vec![(to, data)], *bytes)
                    }
                    Source::Tile { map, coordinates } => {
                        (self.load_box(map, coordinates, to, line)?, map.box_bytes())
                    }
                };
                let lane = (view.issuer % 32) as usize;
                if let Source::Flat { from, .. } = what {
                    self.global_read(issuer, lane, from, line)?;
                }
                for Target { cta, signals } in targets {
                    if self.ctas[cta].live == 0 || self.ctas[signals].live == 0 {
                        let message = format!("a copy lands in CTA {cta}, which has exited");
                        return self.fatal(ReportKind::PeerExited, line, message);
                    }
                    let Some(found) = self.ctas[signals].barriers.get(&barrier) else {
                        let message = format!("no mbarrier lives at {barrier:#x} any more");
                        return self.fatal(ReportKind::Barrier, line, message);
                    };
                    let (actor, clock) = (found.actor, found.phase + 1);
                    let now = Epoch { actor, clock, line, asynchronous: true, atomic: false };
                    for (at, data) in &pieces {
                        self.land(cta, *at, data, &view, now)?;
                    }
                    // Whoever waits for the phase knows that the copy is done with a peer's memory; its issuer does not.
                    for peer in [cta, signals] {
                        if peer != self.warps[issuer].cta {
                            self.ctas[peer].touched.insert(actor, now);
                        }
                    }
                    let Some(found) = self.ctas[signals].barriers.get_mut(&barrier) else {
                        continue;
                    };
                    found.gathering.raise(actor, clock);
                    let result = found.change_tx(-(bytes as i64));
                    found.complete();
                    if let Err(what) = result {
                        let message = format!("mbarrier at {barrier:#x}: {what}");
                        return self.fatal(ReportKind::Barrier, line, message);
                    }
                }
                Ok(())
            }
        }
    }

    pub(crate) fn global(&mut self, from: u64, to: &mut [u8], line: u32) -> Step<()> {
        if to.is_empty() {
            return Ok(());
        }
        match self.env.memory.read(from, to) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message = format!("copy of {} bytes from global {from:#x}", to.len());
                self.report(ReportKind::Uninitialised, vec![line], message)
            }
            Err(fault) => self.fatal(fault.kind, line, fault.message),
        }
    }

    fn land(&mut self, cta: usize, at: u64, data: &[u8], view: &View, now: Epoch) -> Step<()> {
        self.ctas[cta].shared.put(at, data);
        if !self.env.options.check_races {
            return Ok(());
        }
        let found = self.ctas[cta].shared.shadow.write(at, data.len() as u64, view, now);
        self.conflict(found, now.line, "asynchronous copy's write", at)
    }

    /// Reports what nobody waited for.
    pub(crate) fn leftovers(&mut self) -> Step<()> {
        self.bulk_rest()?;
        if let Some(copy) = self.queue.first() {
            let line = copy.line;
            let message = "a copy that nobody waited for".to_owned();
            self.report(ReportKind::ExitOutstanding, vec![line], message)?;
        }
        Ok(())
    }

    /// A clock that knows what all lanes of a warp know and did.
    /// What they do next is later.
    pub(crate) fn warp_clock(&mut self, w: usize) -> (Clock, Clock) {
        let (mut clock, mut proxy) = (Clock::default(), Clock::default());
        self.warps[w].release(u32::MAX, &mut clock, &mut proxy);
        (clock, proxy)
    }
}
