//! A warp: registers by row of 32 lanes, a program counter for each lane.

use super::tcgen05::WarpState;
use crate::ir::{Code, Pred, Special, Src};
use crate::race::{Clock, Time, View};

/// A value of each lane.
pub(crate) type Row = [u64; 32];

/// Registers hold this before they are written, and accumulators while the tensor core owns them: NaN as
/// f32 and far outside of any range as an address.
pub(crate) const POISON: u64 = 0x7FF7_DEAD_7FB0_DEAD;

/// What a lane waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Wait {
    /// Nothing.
    #[default]
    None,
    /// The completion of a phase.
    Mbarrier { cta: u32, address: u32, phase: u32 },
    /// The rest of the warp.
    Converge,
    /// A generation of the cluster's barrier.
    Cluster(u32),
    /// A generation of a named barrier.
    Named { id: u32, generation: u32 },
    /// The other warps of the warpgroup, up to this many wgmma.
    Warpgroup(u64),
    /// So many columns of tensor memory.
    TensorMemory(u32),
}

/// A warp.
#[derive(Debug)]
pub(crate) struct Warp {
    pub(crate) cta: usize,
    /// Index in its CTA.
    pub(crate) index: u32,
    pub(crate) registers: Vec<Row>,
    pub(crate) predicates: Vec<u32>,
    pub(crate) pc: [u32; 32],
    pub(crate) live: u32,
    pub(crate) wait: [Wait; 32],
    /// Lanes that wait.
    pub(crate) waiting: u32,
    /// Actor of the first lane.
    pub(crate) actor: u32,
    pub(crate) time: Vec<Time>,
    /// Actor of each lane's `cp.async` copies, once it has some.
    pub(crate) copies: [u32; 32],
    /// `cp.async` issued by each lane, and the counts at each of its commits.
    pub(crate) copied: [u32; 32],
    pub(crate) copy_groups: Vec<Vec<u32>>,
    /// Whether the warp has arrived at the named barrier that it is at.
    pub(crate) named_passed: bool,
    /// Lanes whose last wait for an mbarrier has given up.
    pub(crate) gave_up: u32,
    /// Generation of the cluster's barrier that each lane has arrived at.
    pub(crate) cluster_arrived: [Option<u32>; 32],
    /// Phases of the cluster's barrier that each lane has waited for.
    pub(crate) cluster_met: [u32; 32],
    /// The register counts that `setmaxnreg` gave it.
    pub(crate) budgets: Vec<u32>,
    // ---- wgmma
    /// Warp instructions so far.
    pub(crate) sequence: u64,
    /// When each register was touched last.
    pub(crate) touched: Vec<u64>,
    /// When the last `wgmma.fence` came; 0 is never.
    pub(crate) fenced: u64,
    /// wgmma issued, wgmma waited for, and the count at each commit.
    pub(crate) issued: u64,
    pub(crate) waited: u64,
    pub(crate) commits: Vec<u64>,
    /// For each register, the number of the last wgmma that writes it.
    pub(crate) in_flight: Vec<u64>,
    pub(crate) tensor: WarpState,
    /// For each register, the number of the last wgmma that reads it as a part of A.
    pub(crate) lent: Vec<u64>,
    /// Local memory of each lane.
    pub(crate) local: Vec<Vec<u8>>,
}

impl Warp {
    pub(crate) fn new(code: &Code, cta: usize, index: u32, live: u32, actor: u32) -> Self {
        let registers = code.registers as usize;
        let local = vec![vec![0xCB; code.local_bytes as usize]; 32];
        Self {
            cta,
            index,
            registers: vec![[POISON; 32]; registers],
            predicates: vec![0; code.predicates as usize],
            pc: [0; 32],
            live,
            wait: [Wait::None; 32],
            waiting: 0,
            actor,
            // A thread's clock starts at 1, so that 0 stands for no access.
            time: vec![Time { base: Clock::default(), proxy: Clock::default(), own: 1 }; 32],
            copies: [u32::MAX; 32],
            copied: [0; 32],
            copy_groups: vec![Vec::new(); 32],
            named_passed: false,
            cluster_arrived: [None; 32],
            cluster_met: [0; 32],
            gave_up: 0,
            budgets: Vec::new(),
            sequence: 0,
            touched: vec![0; registers],
            fenced: 0,
            issued: 0,
            waited: 0,
            commits: Vec::new(),
            in_flight: vec![0; registers],
            tensor: WarpState::default(),
            lent: vec![0; registers],
            local,
        }
    }

    pub(crate) const fn runnable(&self) -> u32 {
        self.live & !self.waiting
    }

    pub(crate) fn block(&mut self, lanes: u32, wait: Wait) {
        self.waiting |= lanes;
        for lane in each(lanes) {
            self.wait[lane] = wait;
        }
    }

    pub(crate) fn wake(&mut self, lanes: u32) {
        self.waiting &= !lanes;
        for lane in each(lanes) {
            self.wait[lane] = Wait::None;
        }
    }

    pub(crate) fn predicate(&self, p: Pred) -> u32 {
        match p {
            Pred::Const(true) => u32::MAX,
            Pred::Const(false) => 0,
            Pred::Reg(slot, false) => self.predicates[slot as usize],
            Pred::Reg(slot, true) => !self.predicates[slot as usize],
        }
    }

    pub(crate) fn set_predicate(&mut self, slot: u32, lanes: u32, value: u32) {
        let p = &mut self.predicates[slot as usize];
        *p = *p & !lanes | value & lanes;
    }

    pub(crate) fn set(&mut self, slot: u32, lanes: u32, value: &Row) {
        let row = &mut self.registers[slot as usize];
        if lanes == u32::MAX {
            *row = *value;
            return;
        }
        for (lane, (to, from)) in row.iter_mut().zip(value).enumerate() {
            if lanes >> lane & 1 == 1 {
                *to = *from;
            }
        }
    }

    /// What an ordinary access of a lane knows.
    pub(crate) fn view(&self, lane: usize) -> View {
        View {
            issuer: self.actor + lane as u32,
            time: self.time[lane].clone(),
            asynchronous: false,
        }
    }

    /// What an asynchronous operation of a lane knows; what the lane does next is later.
    pub(crate) fn issue(&mut self, lane: usize) -> View {
        let view = self.view(lane);
        self.time[lane].own += 1;
        view
    }

    /// Sources without special registers.
    pub(crate) fn plain(&self, src: Src) -> Option<Row> {
        match src {
            Src::Reg(slot) => Some(self.registers[slot as usize]),
            Src::Imm(value) => Some([value; 32]),
            Src::Special(Special::LaneId) => Some(std::array::from_fn(|lane| lane as u64)),
            Src::Special(_) => None,
        }
    }

    /// Applies `join` to the base clock of lanes; lanes that share one share the result.
    pub(crate) fn join(&mut self, lanes: u32, clock: &Clock, proxy: &Clock) {
        let mut last: Option<(Time, Time)> = None;
        for lane in each(lanes) {
            let time = &mut self.time[lane];
            if let Some((before, after)) = &last
                && before.base.same(&time.base)
                && before.proxy.same(&time.proxy)
            {
                time.base = after.base.clone();
                time.proxy = after.proxy.clone();
                continue;
            }
            let before = time.clone();
            time.base.join(clock);
            time.proxy.join(proxy);
            last = Some((before, time.clone()));
        }
    }

    /// Releases lanes into a clock: what they know, and what they did.
    pub(crate) fn release(&mut self, lanes: u32, clock: &mut Clock, proxy: &mut Clock) {
        let mut last: Option<Time> = None;
        for lane in each(lanes) {
            let time = &mut self.time[lane];
            let known = last
                .as_ref()
                .is_some_and(|last| last.base.same(&time.base) && last.proxy.same(&time.proxy));
            if !known {
                clock.join(&time.base);
                proxy.join(&time.proxy);
                last = Some(time.clone());
            }
            clock.raise(self.actor + lane as u32, time.own);
            // The clock moves on, so that what comes later is not released.
            time.own += 1;
        }
    }
}

/// The lanes of a mask.
pub(crate) fn each(mut lanes: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = lanes.trailing_zeros();
        lanes &= lanes.wrapping_sub(1);
        (lane < 32).then_some(lane as usize)
    })
}
