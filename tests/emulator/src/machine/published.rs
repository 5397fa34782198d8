//! Who sees that an mbarrier is initialised.
//!
//! Whoever the initialising thread has synchronised with, as for any write; and, without that, every thread that has met
//! it at the cluster's barrier after `fence.mbarrier_init.release.cluster`, even if it arrived there with `.relaxed`: the
//! fence is the release, of the thread's earlier `mbarrier.init` alone, and `barrier.cluster.wait` acquires (PTX ISA
//! 9.7.13.4, "membar / fence", whose example is this sequence; CUTLASS' `fence_barrier_init` with
//! `cluster_arrive_relaxed` relies on it).

use super::mbarrier::Mbarrier;
use super::warp::Warp;

/// Phases of the cluster's barrier at which the thread that initialised an mbarrier arrived first, after the fences.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    /// After `fence.mbarrier_init`.
    fenced: Option<u32>,
    /// After `fence.proxy.async` too.
    proxy: Option<u32>,
}

impl Mbarrier {
    /// Notes that `lanes` of a warp of the same CTA arrive at phase `phase` of the cluster's barrier.
    pub(crate) fn meet(&mut self, warp: &Warp, lanes: u32, phase: u32) {
        let lane = self.init.actor.wrapping_sub(warp.actor);
        if !self.published || lane >= 32 || lanes >> lane & 1 == 0 {
            return;
        }
        self.met.fenced.get_or_insert(phase);
        if warp.time[lane as usize].proxy.get(self.init.actor) >= self.init.clock {
            self.met.proxy.get_or_insert(phase);
        }
    }
}

impl Warp {
    /// Whether a lane sees the initialisation.
    pub(crate) fn sees(&self, lane: usize, barrier: &Mbarrier) -> bool {
        let init = barrier.init;
        init.actor == self.actor + lane as u32
            || self.time[lane].base.get(init.actor) >= init.clock
            || self.has_met(lane, barrier.met.fenced)
    }

    /// Whether the asynchronous proxy sees it in what a lane starts.
    pub(crate) fn sees_by_proxy(&self, lane: usize, barrier: &Mbarrier) -> bool {
        let init = barrier.init;
        self.time[lane].proxy.get(init.actor) >= init.clock || self.has_met(lane, barrier.met.proxy)
    }

    fn has_met(&self, lane: usize, phase: Option<u32>) -> bool {
        phase.is_some_and(|phase| phase < self.cluster_met[lane])
    }
}
