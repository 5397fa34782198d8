//! The machine: a grid of clusters of CTAs of warps of lanes.
//!
//! Lanes of a warp have program counters of their own; lanes at the same instruction run together. Warps of
//! a cluster take turns; clusters run in parallel, since they meet in global memory only.

mod access;
mod alu;
mod boxes;
mod bulk_store;
mod cluster;
mod collective;
mod copies;
mod cta;
mod grid;
mod halves;
mod mbarrier;
mod mma_sync;
mod operand;
mod published;
mod special;
mod step;
mod sync;
mod tcgen05;
mod tensor;
#[cfg(test)]
mod tests;
mod timeline;
mod tmem;
mod warp;

pub use grid::{Emulator, Launch, LaunchError, Program};
pub use mbarrier::Mbarrier;

/// Generic addresses of shared memory begin here.
pub(crate) const SHARED_WINDOW: u64 = 0x1000_0000_0000;
/// Generic addresses of parameters begin here.
pub(crate) const PARAM_WINDOW: u64 = 0x2000_0000_0000;
/// Generic addresses of local memory begin here.
pub(crate) const LOCAL_WINDOW: u64 = 0x3000_0000_0000;
/// Generic addresses of constants begin here.
pub(crate) const CONST_WINDOW: u64 = 0x4000_0000_0000;
