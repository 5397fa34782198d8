//! Barriers: mbarrier, named, of the cluster; and the exit.

use super::access::Place;
use super::cluster::{Cluster, Flow, Step};
use super::mbarrier::{LIMIT, Mbarrier};
use super::warp::{Wait, each};
use crate::ir::{Inst, Mem, Op};
use crate::options::Timing;
use crate::race::{Clock, Epoch};
use crate::report::ReportKind;

impl Cluster<'_> {
    /// Wakes the lanes whose waiting is over.
    pub(crate) fn poll(&mut self, w: usize) -> Step<()> {
        let warp = &self.warps[w];
        let mut over = 0;
        for lane in each(warp.waiting & warp.live) {
            let done = match warp.wait[lane] {
                Wait::None => true,
                Wait::Converge => false,
                Wait::Mbarrier { cta, address, phase } => self.ctas[cta as usize]
                    .barriers
                    .get(&address)
                    .is_none_or(|barrier| barrier.phase != phase),
                Wait::Cluster(generation) => self.barrier.generation > generation,
                Wait::Named { id, generation } => {
                    self.ctas[warp.cta].named[id as usize].generation > generation
                }
                Wait::Warpgroup(target) => self.groups[self.group_of(w)].ready() >= target,
                Wait::TensorMemory(columns) => self.ctas[warp.cta].tensor.has_room(columns),
            };
            over |= u32::from(done) << lane;
        }
        if over == 0 {
            return Ok(());
        }
        // A waiter that slept through a whole phase would be answered for another one.
        let mut lapped = None;
        for lane in each(over) {
            if let Wait::Mbarrier { cta, address, phase } = warp.wait[lane]
                && let Some(barrier) = self.ctas[cta as usize].barriers.get(&address)
                && barrier.phase > phase + 1
            {
                lapped = Some((warp.pc[lane], address, phase, barrier.phase));
            }
        }
        self.warps[w].wake(over);
        if let Some((pc, address, phase, now)) = lapped {
            let line = self.env.code.insts[pc as usize].line;
            let message = format!(
                "a wait for phase {phase} of the mbarrier at {address:#x} when phase {now} is on: \
                 neither the present nor the previous one"
            );
            self.report(ReportKind::Barrier, vec![line], message)?;
        }
        Ok(())
    }

    /// The mbarrier that a lane uses, checked.
    fn barrier_for(
        &mut self,
        w: usize,
        lane: usize,
        address: u64,
        line: u32,
        remote: bool,
    ) -> Step<(usize, u32)> {
        let Place::Shared(cta, at) = self.shared_place(w, address) else {
            return self.fatal(ReportKind::Barrier, line, "no shared address".to_owned());
        };
        if !at.is_multiple_of(8) {
            let message = format!("the mbarrier at {at:#x} is not 8-aligned");
            return self.fatal(ReportKind::Misaligned, line, message);
        }
        self.in_shared(cta, at, 8, line, "mbarrier operation")?;
        self.touch(w, lane, cta, line);
        let warp = &self.warps[w];
        if warp.cta != cta && !remote {
            let message = format!("a peer's mbarrier at {at:#x} by a form for the own CTA");
            return self.fatal(ReportKind::Barrier, line, message);
        }
        let Some(barrier) = self.ctas[cta].barriers.get(&(at as u32)) else {
            let message = format!("no mbarrier was initialised at {at:#x}");
            return self.fatal(ReportKind::Barrier, line, message);
        };
        let init = barrier.init;
        if self.env.options.check_races {
            if !warp.sees(lane, barrier) {
                let message = format!("the mbarrier at {at:#x} may not be initialised yet");
                self.report(ReportKind::Race, vec![line, init.line], message)?;
            } else if remote && warp.cta != cta && !barrier.published {
                let message = format!(
                    "a peer uses the mbarrier at {at:#x}, whose initialisation no fence.mbarrier_init follows"
                );
                self.report(ReportKind::Barrier, vec![line, init.line], message)?;
            }
        }
        Ok((cta, at as u32))
    }

    fn judge(&mut self, result: Result<(), String>, line: u32, address: u32) -> Step<()> {
        match result {
            Ok(()) => Ok(()),
            Err(what) => {
                let message = format!("mbarrier at {address:#x}: {what}");
                self.fatal(ReportKind::Barrier, line, message)
            }
        }
    }

    pub(crate) fn mbarrier_op(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<Flow> {
        let line = inst.line;
        match &inst.op {
            Op::MbarInit { m, count } => {
                let (addresses, count) = (self.addresses(w, *m), self.row(w, *count));
                for lane in each(lanes) {
                    self.init(w, lane, addresses[lane], count[lane] as u32, line)?;
                }
            }
            Op::MbarInval { m } => {
                let addresses = self.addresses(w, *m);
                for lane in each(lanes) {
                    let (cta, at) = self.barrier_for(w, lane, addresses[lane], line, false)?;
                    self.ctas[cta].barriers.remove(&at);
                }
            }
            Op::MbarArrive { m, count, expect, drop, state, remote } => {
                let (addresses, count) = (self.addresses(w, *m), self.row(w, *count));
                let expect = expect.map(|expect| self.row(w, expect));
                let mut states = [0; 32];
                for lane in each(lanes) {
                    let (cta, at) = self.barrier_for(w, lane, addresses[lane], line, *remote)?;
                    let warp = &mut self.warps[w];
                    let Some(barrier) = self.ctas[cta].barriers.get_mut(&at) else { continue };
                    states[lane] = u64::from(barrier.phase);
                    warp.release(1 << lane, &mut barrier.gathering, &mut barrier.gathering_proxy);
                    let mut result = Ok(());
                    if let Some(expect) = &expect {
                        result = barrier.change_tx(i64::from(expect[lane] as u32));
                    }
                    result = result.and_then(|()| barrier.arrive(i64::from(count[lane] as u32)));
                    if *drop {
                        barrier.expected -= 1;
                    }
                    barrier.complete();
                    self.judge(result, line, at)?;
                }
                if let Some(state) = state {
                    self.warps[w].set(*state, lanes, &states);
                }
            }
            Op::MbarExpectTx { m, bytes, remote } => {
                let (addresses, bytes) = (self.addresses(w, *m), self.row(w, *bytes));
                for lane in each(lanes) {
                    let (cta, at) = self.barrier_for(w, lane, addresses[lane], line, *remote)?;
                    let Some(barrier) = self.ctas[cta].barriers.get_mut(&at) else { continue };
                    let result = barrier.change_tx(i64::from(bytes[lane] as u32));
                    barrier.complete();
                    self.judge(result, line, at)?;
                }
            }
            Op::MbarCompleteTx { m, bytes } => {
                let (addresses, bytes) = (self.addresses(w, *m), self.row(w, *bytes));
                for lane in each(lanes) {
                    let (cta, at) = self.barrier_for(w, lane, addresses[lane], line, true)?;
                    let Some(barrier) = self.ctas[cta].barriers.get_mut(&at) else { continue };
                    let result = barrier.change_tx(-i64::from(bytes[lane] as u32));
                    barrier.complete();
                    self.judge(result, line, at)?;
                }
            }
            Op::MbarWait { m, p, what, by_parity, blocking } => {
                return self.wait(w, inst, lanes, *m, *p, *what, (*by_parity, *blocking));
            }
            _ => {}
        }
        Ok(Flow::Advance(lanes))
    }

    fn init(&mut self, w: usize, lane: usize, address: u64, count: u32, line: u32) -> Step<()> {
        let Place::Shared(cta, at) = self.shared_place(w, address) else { return Ok(()) };
        if !at.is_multiple_of(8) {
            let message = format!("the mbarrier at {at:#x} is not 8-aligned");
            return self.fatal(ReportKind::Misaligned, line, message);
        }
        self.in_shared(cta, at, 8, line, "mbarrier.init")?;
        if !(1..=LIMIT).contains(&i64::from(count)) {
            let message = format!("{count} arrivals are not possible");
            return self.fatal(ReportKind::Barrier, line, message);
        }
        let near = at as u32 - 7..at as u32 + 8;
        if self.ctas[cta].barriers.range(near).next().is_some() {
            let message =
                format!("an mbarrier lives at {at:#x} already; mbarrier.inval comes first");
            self.report(ReportKind::Barrier, vec![line], message)?;
        }
        let view = self.warps[w].view(lane);
        let epoch = Epoch { actor: view.issuer, clock: view.time.own, line, ..Epoch::default() };
        if self.env.options.check_races {
            let found = self.ctas[cta].shared.shadow.write(at, 8, &view, epoch);
            self.conflict(found, line, "mbarrier.init", at)?;
        }
        let track = self.tape.as_ref().map(|tape| tape.track(cta, at as u32));
        let barrier = Mbarrier::new(i64::from(count), self.actors, epoch).on(track);
        self.actors += 1;
        self.ctas[cta].barriers.insert(at as u32, barrier);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn wait(
        &mut self,
        w: usize,
        inst: &Inst,
        lanes: u32,
        m: Mem,
        p: u32,
        what: crate::ir::Src,
        (by_parity, blocking): (bool, bool),
    ) -> Step<Flow> {
        let (addresses, what) = (self.addresses(w, m), self.row(w, what));
        let mut passed = 0;
        let mut on = 0;
        let mut acquired: Vec<((usize, u32), u32)> = Vec::new();
        let giving_up = if blocking { self.giving_up(w) } else { 0 };
        for lane in each(lanes) {
            let (cta, at) = self.barrier_for(w, lane, addresses[lane], inst.line, false)?;
            let Some(barrier) = self.ctas[cta].barriers.get(&at) else { continue };
            let value = what[lane] as u32;
            if by_parity && value > 1 {
                let message = format!("{value} is no parity");
                return self.fatal(ReportKind::Barrier, inst.line, message);
            }
            if !by_parity && barrier.phase != value && barrier.phase != value.wrapping_add(1) {
                let message = format!(
                    "a wait for phase {value} of the mbarrier at {at:#x} when phase {} is on",
                    barrier.phase
                );
                self.report(ReportKind::Barrier, vec![inst.line], message)?;
            }
            let Some(barrier) = self.ctas[cta].barriers.get(&at) else { continue };
            let done = if by_parity { barrier.passed(value) } else { barrier.phase != value };
            if done && giving_up >> lane & 1 != 0 {
                on |= 1 << lane;
            } else if done {
                barrier.waited(true);
                passed |= 1 << lane;
                on |= 1 << lane;
                // Neighbours mostly wait for the same barrier, and then share what they learn.
                match acquired.last_mut() {
                    Some((of, lanes)) if *of == (cta, at) => *lanes |= 1 << lane,
                    _ => acquired.push(((cta, at), 1u32 << lane)),
                }
            } else if blocking {
                barrier.waited(false);
                let phase = barrier.phase;
                self.warps[w]
                    .block(1 << lane, Wait::Mbarrier { cta: cta as u32, address: at, phase });
            } else {
                on |= 1 << lane;
            }
        }
        for ((cta, at), lanes) in acquired {
            let Some(barrier) = self.ctas[cta].barriers.get(&at) else { continue };
            self.warps[w].join(lanes, &barrier.completed, &barrier.completed_proxy);
        }
        // Lanes that sleep execute the instruction again.
        let warp = &mut self.warps[w];
        warp.set_predicate(p, on, passed);
        warp.gave_up = warp.gave_up & !on | giving_up & on;
        Ok(Flow::Advance(on))
    }

    /// Lanes whose wait gives up although the phase is over. A time limit may pass before the phase does (PTX ISA
    /// 9.7.13.15.16): code has to loop.
    fn giving_up(&mut self, w: usize) -> u32 {
        match self.env.options.timing {
            Timing::Early => 0,
            Timing::Late => !self.warps[w].gave_up,
            Timing::Random(_) => u32::from(self.dice().is_multiple_of(8)).wrapping_neg(),
        }
    }

    pub(crate) fn barrier_op(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<Flow> {
        let live = self.warps[w].live;
        let aligned = match &inst.op {
            Op::ClusterArrive { aligned, .. } | Op::ClusterWait { aligned } => *aligned,
            _ => true,
        };
        let lanes = if aligned {
            match self.gather(w, inst, lanes, live) {
                Some(here) => here,
                None => return Ok(Flow::Advance(0)),
            }
        } else {
            lanes
        };
        match &inst.op {
            Op::ClusterArrive { relaxed, .. } => {
                let generation = self.barrier.generation;
                let warp = &mut self.warps[w];
                if each(lanes).any(|lane| warp.cluster_arrived[lane].is_some()) {
                    let message =
                        "a second arrival at the cluster's barrier without a wait".to_owned();
                    return self.fatal(ReportKind::Barrier, inst.line, message);
                }
                if !relaxed {
                    warp.release(
                        lanes,
                        &mut self.barrier.gathering,
                        &mut self.barrier.gathering_proxy,
                    );
                }
                for lane in each(lanes) {
                    warp.cluster_arrived[lane] = Some(generation);
                }
                for barrier in self.ctas[warp.cta].barriers.values_mut() {
                    barrier.meet(warp, lanes, generation);
                }
                self.barrier.arrived += lanes.count_ones();
                self.finish_cluster_barrier();
                Ok(Flow::Advance(lanes))
            }
            Op::ClusterWait { .. } => {
                let warp = &mut self.warps[w];
                let mut on = 0;
                for lane in each(lanes) {
                    let Some(generation) = warp.cluster_arrived[lane] else {
                        let message =
                            "a wait at the cluster's barrier without an arrival".to_owned();
                        return self.fatal(ReportKind::Barrier, inst.line, message);
                    };
                    if self.barrier.generation > generation {
                        on |= 1 << lane;
                        warp.cluster_arrived[lane] = None;
                        warp.cluster_met[lane] = generation + 1;
                    } else {
                        warp.block(1 << lane, Wait::Cluster(generation));
                    }
                }
                warp.join(on, &self.barrier.completed, &self.barrier.completed_proxy);
                Ok(Flow::Advance(on))
            }
            Op::Bar { id, count, arrive_only } => {
                let first = each(lanes).next().unwrap_or(0);
                let id = self.row(w, *id)[first] as u32;
                let cta = self.warps[w].cta;
                let all = self.env.block.iter().product::<u32>().next_multiple_of(32);
                let count = count.map_or(all, |count| self.row(w, count)[first] as u32);
                if id > 15 || count == 0 || !count.is_multiple_of(32) {
                    let message = format!("barrier {id} with {count} threads");
                    return self.fatal(ReportKind::Barrier, inst.line, message);
                }
                let warp = &mut self.warps[w];
                let barrier = &mut self.ctas[cta].named[id as usize];
                if barrier.arrived > 0 && barrier.expected != count {
                    let message =
                        format!("barrier {id} with {count} and {} threads", barrier.expected);
                    return self.fatal(ReportKind::Barrier, inst.line, message);
                }
                // The lanes that come back from their wait carry its generation.
                barrier.expected = count;
                if warp.named_passed {
                    warp.named_passed = false;
                    warp.join(lanes, &barrier.completed, &barrier.completed_proxy);
                    return Ok(Flow::Advance(lanes));
                }
                warp.release(lanes, &mut barrier.gathering, &mut barrier.gathering_proxy);
                barrier.arrived += 32;
                let generation = barrier.generation;
                if barrier.arrived >= barrier.expected {
                    barrier.arrived = 0;
                    barrier.generation += 1;
                    barrier.completed = barrier.gathering.clone();
                    barrier.completed_proxy = barrier.gathering_proxy.clone();
                    if !arrive_only {
                        warp.join(lanes, &barrier.completed, &barrier.completed_proxy);
                    }
                    return Ok(Flow::Advance(lanes));
                }
                if *arrive_only {
                    return Ok(Flow::Advance(lanes));
                }
                warp.named_passed = true;
                warp.block(lanes, Wait::Named { id, generation });
                Ok(Flow::Advance(0))
            }
            _ => Ok(Flow::Advance(lanes)),
        }
    }

    fn finish_cluster_barrier(&mut self) {
        let live: u32 = self.ctas.iter().map(|cta| cta.live).sum();
        // Threads that have exited count as arrived (PTX ISA 9.7.13.3).
        if self.barrier.arrived > 0 && self.barrier.arrived >= live {
            self.barrier.arrived = 0;
            self.barrier.generation += 1;
            self.barrier.completed = self.barrier.gathering.clone();
            self.barrier.completed_proxy = self.barrier.gathering_proxy.clone();
        }
    }

    pub(crate) fn exit(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<Flow> {
        let warp = &mut self.warps[w];
        let cta = warp.cta;
        warp.live &= !lanes;
        let mut proxy = Clock::default();
        warp.release(lanes, &mut self.ctas[cta].exit_clock, &mut proxy);
        // Lanes that waited for these need not wait any longer.
        let waiting = warp.waiting & warp.live;
        let converging = each(waiting).filter(|&lane| warp.wait[lane] == Wait::Converge);
        let lanes_to_wake = converging.fold(0, |mask, lane| mask | 1 << lane);
        warp.wake(lanes_to_wake);
        let unfinished = warp.live == 0 && warp.issued > warp.waited;
        let pending = each(lanes).any(|lane| self.queue.iter().any(|copy| copy.is_of(w, lane)));
        self.ctas[cta].live -= lanes.count_ones();
        if self.ctas[cta].live == 0 {
            let mut warps = self.warps.iter().filter(|warp| warp.cta == cta);
            let uneven = warps.any(|warp| {
                let first =
                    &self.warps[w - self.warps[w].index as usize + warp.index as usize / 4 * 4];
                first.budgets.len() != warp.budgets.len()
            });
            if uneven {
                let message = "setmaxnreg was not executed by whole warpgroups".to_owned();
                self.report(ReportKind::Registers, vec![inst.line], message)?;
            }
            self.check_register_file(cta, inst.line)?;
        }
        if unfinished {
            let message = "a warp leaves with wgmma that it has not waited for".to_owned();
            self.report(ReportKind::ExitOutstanding, vec![inst.line], message)?;
        }
        if pending {
            let message = "a thread leaves with cp.async that it has not waited for".to_owned();
            self.report(ReportKind::ExitOutstanding, vec![inst.line], message)?;
        }
        for lane in each(lanes) {
            self.bulk_leaves(w, lane, inst.line)?;
        }
        if self.warps[w].live == 0 {
            self.warp_leaves(w, inst.line)?;
        }
        if self.ctas[cta].live == 0 {
            self.tensor_leaves(cta, inst.line)?;
            if let Some(copy) = self.queue.iter().find(|copy| copy.writes(cta)) {
                let message = format!("CTA {cta} leaves with copies into it outstanding");
                let lines = vec![inst.line, copy.line];
                self.report(ReportKind::ExitOutstanding, lines, message)?;
            }
            let clock = self.ctas[cta].exit_clock.clone();
            let late = self.ctas[cta].touched.values().find(|e| clock.get(e.actor) < e.clock);
            if let Some(&late) = late {
                let message = format!(
                    "CTA {cta} leaves while a peer or its commit may still touch its shared memory"
                );
                self.report(ReportKind::PeerExited, vec![inst.line, late.line], message)?;
            }
        }
        self.finish_cluster_barrier();
        Ok(Flow::Advance(0))
    }
}
