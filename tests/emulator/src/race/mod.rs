//! Happens-before by vector clocks.
//!
//! Actors are the threads of a cluster, the asynchronous copies of each thread (`cp.async`), the copies that
//! complete on each mbarrier (one epoch per phase: they are waited for together), and the tensor core of each
//! warpgroup (one epoch per instruction, since its groups complete in order).

mod clock;
mod shadow;

pub use clock::{Clock, Time, View};
pub use shadow::{Conflict, Epoch, Shadow};
