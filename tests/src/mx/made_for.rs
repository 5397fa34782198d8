//! Routings for which a plan chooses the kernel that a test is about. All that a plan knows is a bound on the rows, and the
//! number of experts: rows of nobody make it choose a kernel for many rows, and experts without rows one for few.

use super::routing::MxRouting;
use expert_gemm_kernels::abi::{VARIANTS, Variant};

/// Rows of few experts for several tiles on each of a few multiprocessors: a plan does not choose large tiles that would
/// leave some of them idle.
const BUSY: u32 = 24 * 256;
/// From so many experts on, a tile of each is enough for that.
const MANY_EXPERTS: u32 = 24;

/// The routing with what it lacks; rows of nobody in front, so that the last expert's end with the tensor, or behind.
#[must_use]
pub fn made_for(kernel: &Variant, routing: MxRouting, in_front: bool) -> MxRouting {
    let beside = |other: &&Variant| {
        (other.op, other.arch, other.output) == (kernel.op, kernel.arch, kernel.output)
    };
    let limits = VARIANTS.iter().filter(beside).map(|other| other.more_rows_than);
    let most = limits.filter(|&rows| rows > kernel.more_rows_than).min();
    let enough = most.map_or(0, |most| routing.rows.rows.div_ceil(most));
    let routing = routing.with_experts(enough as usize);

    let experts = routing.rows.experts() as u32;
    let least = match kernel.more_rows_than {
        0 => 0,
        rows if experts < MANY_EXPERTS => (experts * rows + 1).max(BUSY),
        rows => experts * rows + 1,
    };
    let spare = least.saturating_sub(routing.rows.rows);
    let [before, behind] = if in_front { [spare, 0] } else { [0, spare] };
    MxRouting { rows: routing.rows.with_spare_rows(before, behind), ..routing }
}
