//! What the warps of a CTA share.

use super::mbarrier::Mbarrier;
use super::tmem::TensorMemory;
use crate::memory::shared::Shared;
use crate::race::{Clock, Epoch};
use std::collections::BTreeMap;

/// A named barrier (`bar.sync`).
#[derive(Debug, Default)]
pub(crate) struct NamedBarrier {
    pub(crate) arrived: u32,
    pub(crate) generation: u32,
    pub(crate) expected: u32,
    pub(crate) gathering: Clock,
    pub(crate) completed: Clock,
    pub(crate) gathering_proxy: Clock,
    pub(crate) completed_proxy: Clock,
}

/// A CTA.
#[derive(Debug)]
pub(crate) struct Cta {
    pub(crate) index: [u32; 3],
    pub(crate) rank: u32,
    pub(crate) shared: Shared,
    pub(crate) barriers: BTreeMap<u32, Mbarrier>,
    pub(crate) named: Vec<NamedBarrier>,
    /// Threads that have not exited.
    pub(crate) live: u32,
    /// What its exiting threads knew.
    pub(crate) exit_clock: Clock,
    /// The last accesses of other CTAs to its shared memory, and their last commits to each of its mbarriers.
    pub(crate) touched: BTreeMap<u32, Epoch>,
    pub(crate) tensor: TensorMemory,
}
