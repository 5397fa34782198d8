//! Asynchronous copies out of shared memory, which complete by groups.

use super::{Mem, Src};

/// `cp.async.bulk` to global memory and what waits for it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum BulkStore {
    /// `cp.async.bulk.global.shared::cta`
    Flat { to: Mem, from: Mem, bytes: Src },
    /// `cp.async.bulk.tensor` tile store.
    Tile { rank: u32, map: Mem, coordinates: Vec<Src>, from: Mem },
    /// `cp.async.bulk.commit_group`
    Commit,
    /// `cp.async.bulk.wait_group`; with `read`, only until the sources are read.
    Wait { left: u32, read: bool },
}
