//! Problems for which a plan chooses the FP8 kernel of tall tiles. All that a plan knows is a bound on the rows, and the number
//! of experts: rows of nobody bring more, experts without rows fewer for each.

use super::problem::{HostProblem, Spec};
use super::routing::{EDGE_ROWS, Routing};
use expert_gemm::{DeviceInfo, ElementType, Fp8GroupedMm};
use expert_gemm_kernels::abi::fp8_block::tall::TILE_TOKENS;

/// Rows of an expert, on average.
const ROWS: u32 = 160;

/// Whether a plan chooses the kernel.
fn is_chosen(spec: &Spec, rows: u32, experts: usize, device: &DeviceInfo) -> bool {
    let [experts, n, k] = [experts, spec.n, spec.k].map(|size| size as u64);
    let problem = Fp8GroupedMm { rows: u64::from(rows), experts, n, k, output: spec.output };
    problem.plan(device).expect("plan").variant().module == "fp8_block_sm90_tall"
}

/// The problem with the experts and the rows that it lacks; rows of nobody in front, so that the last expert's end with the
/// tensor, or behind.
///
/// # Panics
/// If a plan chooses another kernel all the same.
#[must_use]
pub fn made_tall(spec: Spec, routing: Routing, in_front: bool, device: &DeviceInfo) -> HostProblem {
    let rows = |experts: usize| routing.rows.max(experts as u32 * ROWS);
    let least = routing.experts().max(routing.rows.div_ceil(TILE_TOKENS) as usize);
    let experts = (least..least + 256)
        .find(|&experts| is_chosen(&spec, rows(experts), experts, device))
        .expect("a number of experts that fill the device with tall tiles");
    let spare = rows(experts) - routing.rows;
    let [before, behind] = if in_front { [spare, 0] } else { [0, spare] };
    let routing = routing.with_experts(experts).with_spare_rows(before, behind);
    HostProblem::new(Spec { experts, ..spec }, routing)
}

/// One and several tiles of an expert, every edge of the row count, every way through the loop over K. Each for the device that
/// its seed stands for.
#[must_use]
pub fn edges(device: impl Fn(u64) -> DeviceInfo) -> Vec<HostProblem> {
    let mut problems = Vec::new();
    let output = |i: u32| if i.is_multiple_of(2) { ElementType::Bf16 } else { ElementType::F16 };
    for rows in EDGE_ROWS.into_iter().chain([150, 193, 300, 319, 320, 321]) {
        let seed = 2000 + u64::from(rows);
        let spec = Spec { output: output(rows), k: 256, seed, ..Spec::PLAIN };
        problems.push(made_tall(
            spec,
            Routing::packed(vec![rows, 1]),
            rows / 2 % 2 == 0,
            &device(seed),
        ));
    }
    for (i, k) in [128, 384, 512, 640, 896, 1024, 1152, 1664].into_iter().enumerate() {
        let spec =
            Spec { output: output(i as u32), n: 384, k, seed: 3000 + i as u64, ..Spec::PLAIN };
        problems.push(made_tall(
            spec,
            Routing::packed(vec![130, 40, 192]),
            i / 2 % 2 == 0,
            &device(spec.seed),
        ));
    }
    problems
}
