//! How fast the emulator is, on one core: `cargo bench -p ptx-emulator`.
//!
//! Two problems, one bound by scalar instructions and one by the tensor core, each with and without the race checker, and the
//! arithmetic of the tensor core alone. Every figure is the best of several runs: what disturbs a run makes it slower.

use expert_gemm::Device;
use expert_gemm_tests::gpu::DeviceProblem;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::Skew;
use expert_gemm_tests::wgmma_model;
use ptx_emulator::capture::bf16_inputs::Numbers;
use ptx_emulator::capture::inputs::Codes;
use ptx_emulator::semantics::alu::float::Half;
use ptx_emulator::semantics::tensor::{wgmma_e4m3, wgmma_half};
use ptx_emulator::{EmulatorDriver, Options, Stats, Timing};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs of each case.
const RUNS: usize = 7;

fn main() {
    // Clusters run in parallel; the figures are for one core.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool");
    println!(
        "{:<38} {:>11} {:>9} {:>11} {:>9}",
        "one core, best of 7", "thr. instr.", "M/s", "MAC", "M/s"
    );
    let few_rows =
        Spec { experts: 8, total_rows: 24, n: 128, k: 256, skew: Skew::Balanced, ..Spec::PLAIN };
    let many_rows = Spec { experts: 2, total_rows: 256, n: 256, k: 2048, ..few_rows };
    for (name, spec) in [("8 experts of 3 rows", few_rows), ("2 experts of 128 rows", many_rows)] {
        let problem = spec.build();
        for (checker, check_races) in [("", true), (", no race checker", false)] {
            let options = Options { timing: Timing::Early, check_races, ..Options::default() };
            let stats = best(|| run(&problem, &options), |stats| stats.wall);
            let (seconds, instructions) =
                (stats.wall.as_secs_f64(), stats.thread_instructions as f64);
            println!(
                "{:<38} {:>11} {:>9.1} {:>11} {:>9.1}",
                format!("{name}{checker}"),
                stats.thread_instructions,
                instructions / seconds / 1e6,
                stats.macs,
                stats.macs as f64 / seconds / 1e6
            );
        }
    }
    let (e4m3, bf16) = (tensor_e4m3(), tensor_bf16());
    for (name, (macs, took)) in
        [("wgmma m64n256k32 e4m3, alone", e4m3), ("wgmma m64n256k16 bf16, alone", bf16)]
    {
        let speed = macs as f64 / took.as_secs_f64() / 1e6;
        println!("{name:<38} {:>11} {:>9} {macs:>11} {speed:>9.1}", "", "");
    }
}

fn best<T>(mut run: impl FnMut() -> T, took: impl Fn(&T) -> Duration) -> T {
    let runs = (0..RUNS).map(|_| run());
    runs.min_by_key(|result| took(result)).expect("at least one run")
}

/// One launch, which must be right: a wrong result may come faster.
fn run(problem: &HostProblem, options: &Options) -> Stats {
    let driver = Arc::new(EmulatorDriver::new(options.clone()));
    let device = Device::with_driver(driver.clone());
    let outcome = DeviceProblem::new(&device, problem).and_then(|on_device| on_device.run());
    let output = outcome.expect("no fault").output;
    assert!(driver.take_reports().is_empty(), "no reports");
    assert_eq!(output, wgmma_model::grouped(problem, expert_gemm_tests::gpu::UNTOUCHED));
    driver.stats()
}

fn tensor_e4m3() -> (u64, Duration) {
    let (a, b) = (Codes::Gaussian.fill(1, 64 * 32), Codes::Gaussian.fill(2, 256 * 32));
    let mut d = vec![0.0; 64 * 256];
    tensor(64 * 256 * 32, || wgmma_e4m3(&mut d, 256, &a, &b, true))
}

fn tensor_bf16() -> (u64, Duration) {
    // Rows of 128 numbers are eight rows of K.
    let (a, b) = (Numbers::Gaussian.fill(1, 8), Numbers::Gaussian.fill(2, 32));
    let mut d = vec![0.0; 64 * 256];
    tensor(64 * 256 * 16, || wgmma_half(Half::Bf16, &mut d, 256, &a, &b, true))
}

/// A hundred instructions: multiply-adds, and the time.
fn tensor(macs: u64, mut instruction: impl FnMut()) -> (u64, Duration) {
    let hundred = || {
        let start = Instant::now();
        (0..100).for_each(|_| instruction());
        start.elapsed()
    };
    (100 * macs, best(hundred, |&took| took))
}
