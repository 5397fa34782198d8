//! From a problem and a device to one kernel launch: pure, printable, comparable.

mod choice;
mod explain;

pub(crate) use choice::Rounds;
pub use choice::{Candidate, Refusal, Verdict};

use crate::abi::{VARIANTS, Variant};
use crate::device::DeviceInfo;
use crate::error::Result;
use crate::ops::{Fp8GroupedMm, Operation};

/// A decision: which kernel, with which grid. Made by the `plan` of an operation, such as
/// [`Fp8GroupedMm::plan`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan<O = Fp8GroupedMm> {
    problem: O,
    expected_rows: u64,
    device: DeviceInfo,
    candidates: Vec<Candidate>,
    variant: &'static Variant,
    grid: u32,
}

impl<O: Operation> Plan<O> {
    pub(crate) fn new(problem: O, device: &DeviceInfo) -> Result<Self> {
        Self::expecting(problem, None, device)
    }

    /// As [`new`](Self::new), for calls that use about so many of the rows, or all of them.
    pub(crate) fn expecting(
        problem: O,
        expected_rows: Option<u64>,
        device: &DeviceInfo,
    ) -> Result<Self> {
        Self::among(VARIANTS, problem, expected_rows, device)
    }

    /// As [`expecting`](Self::expecting), from another table of kernels.
    pub(crate) fn among(
        variants: &'static [Variant],
        problem: O,
        expected_rows: Option<u64>,
        device: &DeviceInfo,
    ) -> Result<Self> {
        problem.validate_expecting(expected_rows)?;
        let [rows, _] = problem.rows_and_experts();
        let expected_rows = expected_rows.unwrap_or(rows);
        // The kernel is for the rows that are expected, the grid for all that there can be.
        let candidates = choice::candidates(variants, &problem.with_rows(expected_rows), device);
        let variant = choice::choose(&candidates, &problem, device)?;
        let grid = choice::grid(variant, &problem, device);
        Ok(Self { problem, expected_rows, device: device.clone(), candidates, variant, grid })
    }
}

impl<O> Plan<O> {
    /// What is computed.
    pub const fn problem(&self) -> &O {
        &self.problem
    }

    /// The rows by which the kernel was chosen: all, or what was expected.
    pub const fn expected_rows(&self) -> u64 {
        self.expected_rows
    }

    /// The device that the plan is for.
    pub const fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// Every kernel considered, in the order of the variant table.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The kernel chosen.
    pub const fn variant(&self) -> &'static Variant {
        self.variant
    }

    /// Blocks of the launch, in whole clusters. Those of a product are persistent: at most as many as the
    /// multiprocessors hold at once. 0 if nothing is launched.
    pub const fn grid(&self) -> u32 {
        self.grid
    }

    /// Whether there is nothing to launch, whatever the group tables say.
    pub const fn is_empty(&self) -> bool {
        self.grid == 0
    }

    /// Device memory that a launch needs beyond its tensors, in bytes: none.
    pub const fn workspace_bytes(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
