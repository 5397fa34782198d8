//! Memory with the knowledge of what is allocated and what was ever written.

pub mod global;
pub mod shared;

use crate::report::ReportKind;

/// Why an access is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryFault {
    /// Which rule was broken.
    pub kind: ReportKind,
    /// What happened.
    pub message: String,
}

impl MemoryFault {
    pub(crate) fn new(kind: ReportKind, message: String) -> Self {
        Self { kind, message }
    }
}
