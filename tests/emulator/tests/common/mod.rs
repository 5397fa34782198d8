//! What the tests of the emulator share: an emulated device, and the verdict on a launch.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod mx;
pub mod mx_gemm;

use expert_gemm::{Device, ElementType, GroupStatus};
use expert_gemm_tests::gpu::{Outcome, UNTOUCHED};
use expert_gemm_tests::judge::Judged;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Layout, Skew, Tables};
use expert_gemm_tests::values::Values;
use ptx_emulator::exact::ExactProblem;
use ptx_emulator::{EmulatorDriver, Options, Timing};
use std::sync::Arc;

/// A device, and the emulator behind it.
pub struct Emulated {
    /// The device, as the host crate has it.
    pub device: Device,
    /// The emulator, for its reports and counts.
    pub driver: Arc<EmulatorDriver>,
}

impl Emulated {
    /// A device with these options.
    pub fn new(options: Options) -> Self {
        let driver = Arc::new(EmulatorDriver::new(options));
        Self { device: Device::with_driver(driver.clone()), driver }
    }

    /// A device of a few multiprocessors.
    pub fn timed(timing: Timing, sm_count: u32) -> Self {
        Self::new(Options { timing, sm_count, ..Options::default() })
    }

    /// What the emulator reported since the last call, in words.
    pub fn reports(&self) -> Vec<String> {
        self.driver.take_reports().iter().map(ToString::to_string).collect()
    }
}

/// The three timings; the random one follows the seed.
pub fn timings(seed: u64) -> [Timing; 3] {
    [Timing::Early, Timing::Late, Timing::Random(seed)]
}

/// A problem that the emulator does in a fraction of a second.
pub fn small(seed: u64) -> Spec {
    let rng = &mut Rng::stream(seed, 11);
    let (n, k) = (128 * rng.between(1, 3), 128 * rng.between(1, 5));
    // A tile is 128 rows however few are used, so the number of groups decides what a problem costs.
    let experts = match rng.below(8) {
        0 => rng.between(33, 40),
        1 => rng.between(6, 12),
        _ => rng.between(1, 4),
    };
    let skews = [
        Skew::Balanced,
        Skew::Ragged,
        Skew::Zipf,
        Skew::OneHot,
        Skew::Softmax { top_k: 1, spread: 1.0 },
        Skew::MostlyEmpty,
    ];
    Spec {
        experts: experts as usize,
        n: if experts > 12 { 128 } else { n as usize },
        k: if experts > 12 { 128 } else { k as usize },
        total_rows: rng.log_uniform(1.0, 200.0) as u64,
        skew: rng.pick(&skews),
        layout: rng.pick(&Layout::ALL),
        values: [rng.pick(&Values::ALL), rng.pick(&Values::ALL)],
        scale_range: rng.pick(&[1.0, 100.0, 1e4]),
        output: if seed.is_multiple_of(2) { ElementType::Bf16 } else { ElementType::F16 },
        seed,
    }
}

/// What is wrong with an output and a status, for any tables.
pub fn judge(
    problem: &HostProblem,
    tables: &Tables,
    output: &[u16],
    status: GroupStatus,
) -> Result<GroupStatus, String> {
    let judged = Judged::new(problem, tables);
    let difference = judged.compare(problem, output, UNTOUCHED);
    let mut complaints = Vec::new();
    if !difference.is_none() {
        complaints.push(difference.to_string());
    }
    if status != judged.status {
        complaints.push(format!("status {status:?}, want {:?}", judged.status));
    }
    if complaints.is_empty() { Ok(judged.status) } else { Err(complaints.join("\n  ")) }
}

/// The same, with the guards of the test kit's buffers.
pub fn verdict(
    problem: &HostProblem,
    tables: &Tables,
    outcome: &Outcome,
) -> Result<GroupStatus, String> {
    if outcome.damage.is_empty() {
        judge(problem, tables, &outcome.output, outcome.status)
    } else {
        Err(outcome.damage.join("\n  "))
    }
}

/// Runs an ordinary problem on an emulated device: every bit, every byte around the tensors, the status, no report.
pub fn check(emulated: &Emulated, problem: &HostProblem) -> Result<(), String> {
    let tables = problem.tables();
    let left = ExactProblem::new(&emulated.device, problem, &tables).and_then(|p| p.run());
    let reports = emulated.reports();
    let judged = match left {
        Ok(left) => judge(problem, &tables, &left.output, left.status).map(drop),
        Err(error) => Err(error.to_string()),
    };
    match judged {
        Ok(()) if reports.is_empty() => Ok(()),
        Ok(()) => Err(reports.join("\n  ")),
        Err(complaint) => Err(format!("{complaint}\n  {}", reports.join("\n  "))),
    }
}
