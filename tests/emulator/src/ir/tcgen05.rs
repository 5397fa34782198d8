//! The fifth generation of the tensor core: instructions of the family `tcgen05`.

use super::{Mem, Pred, Space, Src};
use crate::semantics::fragment::TmemShape;

/// One instruction of `tcgen05`. `group` is its `.cta_group`, 1 or 2.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Tcgen05 {
    /// Writes the address of so many columns to shared memory.
    Alloc {
        group: u32,
        space: Space,
        m: Mem,
        columns: Src,
    },
    Dealloc {
        group: u32,
        address: Src,
        columns: Src,
    },
    /// `relinquish_alloc_permit`
    Relinquish {
        group: u32,
    },
    /// `fence::before_thread_sync`
    FenceBefore,
    /// `fence::after_thread_sync`
    FenceAfter,
    /// `wait::ld`
    WaitLd,
    /// `wait::st`
    WaitSt,
    Ld {
        shape: TmemShape,
        d: Vec<u32>,
        m: Mem,
    },
    St {
        shape: TmemShape,
        a: Vec<Src>,
        m: Mem,
    },
    /// `cp.32x128b.warpx4`
    Cp {
        group: u32,
        m: Mem,
        source: Src,
    },
    /// `mma` of 8-bit operands in shared memory; with `scales`, those of A and B in tensor memory.
    Mma {
        group: u32,
        d: Mem,
        a: Src,
        b: Src,
        descriptor: Src,
        scales: Option<[Mem; 2]>,
        accumulate: Pred,
    },
    /// `commit.mbarrier::arrive::one`
    Commit {
        group: u32,
        m: Mem,
        multicast: Option<Src>,
    },
}
