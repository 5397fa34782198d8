//! One cluster: its state, who runs when, and what was found.

use super::bulk_store::Stores;
use super::copies::Copy;
use super::cta::{Cta, NamedBarrier};
use super::tcgen05::Engine;
use super::tensor::Warpgroup;
use super::tmem::TensorMemory;
use super::warp::{Wait, Warp, each};
use crate::ir::{Code, Inst, Op};
use crate::memory::global::Global;
use crate::memory::shared::Shared;
use crate::options::{Options, Stats, Timing};
use crate::race::{Clock, Conflict, Epoch};
use crate::report::{Report, ReportKind};
use std::collections::{BTreeMap, HashMap};

/// What all clusters of a launch share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env<'a> {
    pub(crate) code: &'a Code,
    pub(crate) memory: &'a Global,
    pub(crate) options: &'a Options,
    pub(crate) params: &'a [u8],
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) cluster: [u32; 3],
    pub(crate) smem_bytes: u32,
    pub(crate) launch: u32,
}

/// The cluster cannot go on; the reason is among its reports.
#[derive(Debug)]
pub(crate) struct Stop;

pub(crate) type Step<T> = Result<T, Stop>;

/// Where lanes go after an instruction.
pub(crate) enum Flow {
    /// These lanes go on; the others wait, or are gone.
    Advance(u32),
    /// These lanes jump; the others go on.
    Jump { target: u32, taken: u32 },
}

#[derive(Debug, Default)]
pub(crate) struct ClusterBarrier {
    pub(crate) arrived: u32,
    pub(crate) generation: u32,
    pub(crate) gathering: Clock,
    pub(crate) gathering_proxy: Clock,
    pub(crate) completed: Clock,
    pub(crate) completed_proxy: Clock,
}

pub(crate) struct Cluster<'a> {
    pub(crate) env: Env<'a>,
    /// Number of the cluster in the grid.
    pub(crate) id: u32,
    /// Its place in the grid of clusters.
    pub(crate) place: [u32; 3],
    pub(crate) ctas: Vec<Cta>,
    pub(crate) warps: Vec<Warp>,
    pub(crate) groups: Vec<Warpgroup>,
    pub(crate) queue: Vec<Copy>,
    pub(crate) stores: Stores,
    pub(crate) tensor: Engine,
    pub(crate) barrier: ClusterBarrier,
    pub(crate) actors: u32,
    /// Who wrote each word of global memory.
    pub(crate) written: HashMap<u64, Epoch>,
    pub(crate) stats: Stats,
    opcodes: Vec<u64>,
    reports: BTreeMap<(ReportKind, Vec<u32>), Report>,
    random: u64,
    pub(crate) ticks: u64,
}

impl<'a> Cluster<'a> {
    pub(crate) fn new(env: Env<'a>, id: u32) -> Self {
        let size = env.cluster;
        let counts: [u32; 3] = std::array::from_fn(|i| env.grid[i] / size[i]);
        let place = [id % counts[0], id / counts[0] % counts[1], id / counts[0] / counts[1]];
        let threads = env.block.iter().product::<u32>();
        let warps_per_cta = threads.div_ceil(32);
        let mut ctas = Vec::new();
        let mut warps = Vec::new();
        let end = env.code.dynamic_base + u64::from(env.smem_bytes);
        for rank in 0..size.iter().product() {
            let at = [rank % size[0], rank / size[0] % size[1], rank / size[0] / size[1]];
            ctas.push(Cta {
                index: std::array::from_fn(|i| place[i] * size[i] + at[i]),
                rank,
                shared: Shared::new(end, env.options.check_races),
                barriers: BTreeMap::new(),
                named: (0..16).map(|_| NamedBarrier::default()).collect(),
                live: threads,
                exit_clock: Clock::default(),
                touched: BTreeMap::new(),
                tensor: TensorMemory::default(),
            });
            for index in 0..warps_per_cta {
                let lanes = (threads - index * 32).min(32);
                let live = if lanes == 32 { u32::MAX } else { (1 << lanes) - 1 };
                let actor = warps.len() as u32 * 32;
                warps.push(Warp::new(env.code, rank as usize, index, live, actor));
            }
        }
        let groups_per_cta = warps_per_cta.div_ceil(4);
        let mut actors = warps.len() as u32 * 32;
        let groups = (0..groups_per_cta * ctas.len() as u32)
            .map(|_| {
                actors += 1;
                Warpgroup::new(actors - 1)
            })
            .collect();
        let seed = match env.options.timing {
            Timing::Random(seed) => seed,
            _ => 0,
        };
        let random = (seed ^ u64::from(id) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self {
            env,
            id,
            place,
            ctas,
            warps,
            groups,
            queue: Vec::new(),
            stores: Stores::default(),
            tensor: Engine::default(),
            barrier: ClusterBarrier::default(),
            actors,
            written: HashMap::new(),
            stats: Stats::default(),
            opcodes: vec![0; env.code.opcodes.len()],
            reports: BTreeMap::new(),
            random,
            ticks: 0,
        }
    }

    /// A random number (xorshift64*).
    pub(crate) fn dice(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 20
    }

    pub(crate) const fn is_random(&self) -> bool {
        matches!(self.env.options.timing, Timing::Random(_))
    }

    // ---- reports ------------------------------------------------------------------------------

    /// Notes a finding; the run goes on unless there are too many.
    pub(crate) fn report(
        &mut self,
        kind: ReportKind,
        lines: Vec<u32>,
        message: String,
    ) -> Step<()> {
        let kernel = &self.env.code.name;
        self.reports
            .entry((kind, lines))
            .and_modify(|report| report.times += 1)
            .or_insert_with_key(|(kind, lines)| Report {
                kind: *kind,
                kernel: kernel.clone(),
                lines: lines.clone(),
                message,
                times: 1,
            });
        if self.reports.len() >= self.env.options.max_reports { Err(Stop) } else { Ok(()) }
    }

    /// Notes a finding after which nothing sensible can follow.
    pub(crate) fn fatal<T>(&mut self, kind: ReportKind, line: u32, message: String) -> Step<T> {
        let _ = self.report(kind, vec![line], message);
        Err(Stop)
    }

    /// Notes a conflict of the happens-before checker.
    pub(crate) fn conflict(
        &mut self,
        found: Option<Conflict>,
        line: u32,
        what: &str,
        address: u64,
    ) -> Step<()> {
        let Some(Conflict { earlier, wrote, proxy }) = found else { return Ok(()) };
        let before =
            format!("{} by {}", if wrote { "write" } else { "read" }, self.actor(earlier.actor));
        let lines = vec![line, earlier.line];
        if proxy {
            let message = format!(
                "{what} of shared {address:#x} through the asynchronous proxy may not see the {before}: \
                 fence.proxy.async is missing"
            );
            return self.report(ReportKind::ProxyFence, lines, message);
        }
        let message = format!("{what} of shared {address:#x} is not ordered after the {before}");
        self.report(ReportKind::Race, lines, message)
    }

    /// An actor in words.
    fn actor(&self, actor: u32) -> String {
        if let Some(warp) = self.warps.get(actor as usize / 32) {
            let thread = warp.index * 32 + actor % 32;
            return format!("CTA {} thread {thread}", warp.cta);
        }
        if self.groups.iter().any(|group| group.actor == actor) || self.tensor.has(actor) {
            return "the tensor core".to_owned();
        }
        "an asynchronous copy".to_owned()
    }

    // ---- running ------------------------------------------------------------------------------

    /// Runs to the end; what was found, and what it took.
    pub(crate) fn run(mut self) -> (Vec<Report>, Stats) {
        let result = self.turns();
        if result.is_ok() {
            let _ = self.leftovers();
        }
        for (count, opcode) in self.opcodes.iter().zip(&self.env.code.opcodes) {
            if *count > 0 {
                self.stats.opcodes.insert(opcode.clone(), *count);
            }
        }
        (self.reports.into_values().collect(), self.stats)
    }

    fn turns(&mut self) -> Step<()> {
        let count = self.warps.len();
        let mut order: Vec<usize> = (0..count).collect();
        loop {
            let mut progress = false;
            if self.is_random() {
                for i in (1..count).rev() {
                    let j = self.dice() as usize % (i + 1);
                    order.swap(i, j);
                }
            }
            for &w in &order {
                if self.warps[w].live == 0 {
                    continue;
                }
                let quantum = if self.is_random() { self.dice() % 200 + 1 } else { 2_000 };
                progress |= self.run_warp(w, quantum)?;
                if self.is_random() && !self.queue.is_empty() {
                    let chance = self.dice();
                    if chance.is_multiple_of(8) {
                        let pick = (chance >> 8) as usize % self.queue.len();
                        let copy = self.queue.remove(pick);
                        self.perform(copy)?;
                        progress = true;
                    }
                }
            }
            if self.warps.iter().all(|warp| warp.live == 0) {
                return Ok(());
            }
            if self.is_random() {
                progress |= self.tensor_turn()?;
            }
            if !progress && !self.perform_awaited()? && !self.tensor_awaited()? {
                return self.deadlock();
            }
        }
    }

    /// Runs one warp for a while; says whether any lane did anything.
    fn run_warp(&mut self, w: usize, mut budget: u64) -> Step<bool> {
        let code = self.env.code;
        let mut progress = false;
        loop {
            self.poll(w)?;
            let warp = &self.warps[w];
            let runnable = warp.runnable();
            if runnable == 0 || budget == 0 {
                // Whoever could go on has not been stopped, even if its turn went to lanes that were.
                return Ok(progress || runnable != 0);
            }
            // The lanes that are behind go first, so that the others are caught up with; now and then
            // those in front do, in case the ones behind wait for them.
            let lowest = each(runnable).map(|lane| warp.pc[lane]).min().unwrap_or(0);
            self.ticks += 1;
            let mut pc = lowest;
            if self.ticks.is_multiple_of(64) {
                pc = each(runnable).map(|lane| warp.pc[lane]).max().unwrap_or(0);
            }
            let mut mask = 0;
            let mut next = u32::MAX;
            for lane in each(runnable) {
                if warp.pc[lane] == pc {
                    mask |= 1 << lane;
                } else if warp.pc[lane] > pc {
                    next = next.min(warp.pc[lane]);
                }
            }
            while budget > 0 {
                budget -= 1;
                let inst = &code.insts[pc as usize];
                let lanes = match inst.guard {
                    None => mask,
                    Some((slot, negated)) => {
                        let p = self.warps[w].predicates[slot as usize];
                        mask & if negated { !p } else { p }
                    }
                };
                if lanes == 0 {
                    pc += 1;
                    progress = true;
                    if pc >= next {
                        break;
                    }
                    continue;
                }
                self.note(w, inst, lanes)?;
                if mask == u32::MAX {
                    self.warps[w].pc = [pc; 32];
                } else {
                    for lane in each(mask) {
                        self.warps[w].pc[lane] = pc;
                    }
                }
                match self.step(w, inst, lanes)? {
                    Flow::Advance(on) if on == lanes => {
                        pc += 1;
                        progress = true;
                        if pc >= next {
                            break;
                        }
                    }
                    Flow::Advance(on) => {
                        progress |= on != 0;
                        for lane in each(on | mask & !lanes) {
                            self.warps[w].pc[lane] = pc + 1;
                        }
                        mask = 0;
                        break;
                    }
                    Flow::Jump { target, taken } => {
                        progress = true;
                        if taken == mask {
                            pc = target;
                            if pc >= next {
                                break;
                            }
                            continue;
                        }
                        for lane in each(mask) {
                            let to = if taken >> lane & 1 == 1 { target } else { pc + 1 };
                            self.warps[w].pc[lane] = to;
                        }
                        mask = 0;
                        break;
                    }
                }
            }
            for lane in each(mask & self.warps[w].live) {
                self.warps[w].pc[lane] = pc;
            }
        }
    }

    /// Counts an instruction, and checks its registers against the tensor core.
    fn note(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<()> {
        let active = u64::from(lanes.count_ones());
        self.opcodes[inst.opcode as usize] += active;
        self.stats.thread_instructions += active;
        self.stats.warp_instructions += 1;
        if self.stats.warp_instructions > self.env.options.max_instructions {
            let message = format!("more than {} instructions", self.env.options.max_instructions);
            return self.fatal(ReportKind::Limit, inst.line, message);
        }
        if self.warps[w].tensor.is_loading(&inst.touches) {
            let message = "a register is touched before the wait for its tcgen05.ld".to_owned();
            self.report(ReportKind::Tcgen05, vec![inst.line], message)?;
        }
        let warp = &mut self.warps[w];
        warp.sequence += 1;
        if matches!(inst.op, Op::Wgmma { .. }) {
            return Ok(());
        }
        let (sequence, waited) = (warp.sequence, warp.waited);
        let mut early = false;
        for &register in &inst.touches {
            early |= warp.in_flight[register as usize] > waited;
            warp.touched[register as usize] = sequence;
        }
        if early {
            let message = "an accumulator is touched before the wait for its wgmma".to_owned();
            return self.report(ReportKind::Wgmma, vec![inst.line], message);
        }
        Ok(())
    }

    fn deadlock(&mut self) -> Step<()> {
        let mut text = Vec::new();
        let mut lines = Vec::new();
        let mut kind = ReportKind::Deadlock;
        for warp in &self.warps {
            for lane in each(warp.waiting & warp.live) {
                let line = self.env.code.insts[warp.pc[lane] as usize].line;
                let cause = match warp.wait[lane] {
                    Wait::Mbarrier { cta, address, phase } => {
                        let state = self.ctas[cta as usize].barriers.get(&address).map(|b| {
                            format!(
                                "phase {}, {} arrivals and {} bytes missing",
                                b.phase, b.pending, b.tx
                            )
                        });
                        let state = state.unwrap_or_default();
                        format!("phase {phase} of the mbarrier at {address:#x} ({state})")
                    }
                    Wait::Converge => "the rest of its warp".to_owned(),
                    Wait::Cluster(_) => "the cluster's barrier".to_owned(),
                    Wait::Named { id, .. } => format!("barrier {id}"),
                    Wait::Warpgroup(_) => "the rest of its warpgroup".to_owned(),
                    Wait::TensorMemory(columns) => format!("{columns} columns of tensor memory"),
                    Wait::None => continue,
                };
                let entry = format!(
                    "CTA {} warp {} at line {line} waits for {cause}",
                    warp.cta, warp.index
                );
                if text.last() != Some(&entry) {
                    text.push(entry);
                }
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        let only_converging = self.warps.iter().all(|warp| {
            each(warp.waiting & warp.live).all(|lane| warp.wait[lane] == Wait::Converge)
        });
        if only_converging {
            kind = ReportKind::Divergence;
        }
        lines.sort_unstable();
        let _ = self.report(kind, lines, format!("nobody can go on: {}", text.join("; ")));
        Err(Stop)
    }
}
