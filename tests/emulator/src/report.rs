//! What the emulator found wrong.

use crate::source::Place;
use std::fmt;

/// What kind of rule was broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ReportKind {
    /// An access outside of every allocation, or outside of shared memory.
    OutOfBounds,
    /// An address that is not aligned as the instruction needs.
    Misaligned,
    /// A read of memory that nothing has written.
    Uninitialised,
    /// Two accesses to the same bytes without an order, one of them a write.
    Race,
    /// Ordinary accesses that the asynchronous proxy may not see, for lack of `fence.proxy.async`.
    ProxyFence,
    /// A misused mbarrier or other barrier.
    Barrier,
    /// Lanes of a warp that should execute an instruction together, and do not.
    Divergence,
    /// Nobody can go on.
    Deadlock,
    /// A rule of wgmma's ordering.
    Wgmma,
    /// A rule of tcgen05: allocation, who may issue what, values used before their wait.
    Tcgen05,
    /// Uses of tensor memory that are ordered but for `tcgen05.fence::after_thread_sync`.
    TensorFence,
    /// A matrix descriptor.
    Descriptor,
    /// A tensor map or its use.
    TensorMap,
    /// The CTA left with asynchronous work outstanding.
    ExitOutstanding,
    /// A CTA left while a peer or its commit may still touch its shared memory.
    PeerExited,
    /// `setmaxnreg`.
    Registers,
    /// A division by zero, whose result nothing defines.
    Division,
    /// `trap`.
    Trap,
    /// More instructions than the limit.
    Limit,
    /// The launch itself.
    Launch,
    /// Something that the emulator cannot do.
    Unsupported,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Report {
    /// Which kind of rule was broken.
    pub kind: ReportKind,
    /// The kernel.
    pub kernel: String,
    /// Lines of the PTX text, the later access first.
    pub lines: Vec<u32>,
    /// What stands there.
    pub places: Vec<Place>,
    /// What happened.
    pub message: String,
    /// How often, in this launch.
    pub times: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.kind, self.kernel)?;
        for (i, line) in self.lines.iter().enumerate() {
            write!(f, "{}{line}", if i == 0 { ", PTX line " } else { " and " })?;
        }
        write!(f, ": {}", self.message)?;
        if self.times > 1 {
            write!(f, " ({} times)", self.times)?;
        }
        for place in &self.places {
            write!(f, "\n    {} {place}", self.kernel)?;
        }
        Ok(())
    }
}
