//! Hostile group tables in the emulator: nothing outside of the tensors is touched, not even read, and the status
//! word says what was wrong.

mod common;

use common::{Emulated, judge, small, timings};
use expert_gemm::{DeviceInfo, GroupStatus};
use expert_gemm_tests::fp8_kernel::{Fp8Kernel, made_for};
use expert_gemm_tests::gpu::say;
use expert_gemm_tests::problem::Spec;
use expert_gemm_tests::rng::Rng;
use ptx_emulator::Options;
use ptx_emulator::exact::ExactProblem;
use rayon::prelude::*;

/// Problems, and tables for each of them.
const PROBLEMS: u64 = 120;
const TABLES: u64 = 6;
const KERNELS: usize = Fp8Kernel::ALL.len();

fn run(seed: u64) -> Result<GroupStatus, String> {
    let rng = &mut Rng::stream(seed, 13);
    let spec = Spec { experts: rng.between(2, 10) as usize, ..small(seed) };
    let spec = Spec { n: spec.n.min(256), k: spec.k.min(256), ..spec };
    let four = DeviceInfo { sm_count: 4, ..DeviceInfo::h200() };
    let kernel = Fp8Kernel::ALL[seed as usize % KERNELS];
    let in_front = (seed / KERNELS as u64).is_multiple_of(2);
    let problem = made_for(kernel, spec, spec.build().routing, in_front, &four);
    let mut seen = GroupStatus::OK;
    let [early, late, random] = timings(seed);
    // Every fourth problem is of one kernel, so each kernel takes all timings.
    let timing = [early, late, random][seed as usize / KERNELS % 3];
    // Groups that overlap are written twice; the contract allows either.
    let options = Options { timing, sm_count: 4, check_cross_cluster: false, ..Options::default() };
    let emulated = Emulated::new(options);
    let describe = |what: String| format!("{what}\n  {timing:?} {problem}");
    for _ in 0..TABLES {
        let tables = problem.tables().hostile(problem.routing.rows, rng);
        let outcome = ExactProblem::new(&emulated.device, &problem, &tables)
            .and_then(|on_device| on_device.run())
            .map_err(|error| error.to_string())
            .and_then(|left| judge(&problem, &tables, &left.output, left.status));
        let mut reports = emulated.reports();
        let overlap = outcome.as_ref().is_ok_and(|status| status.contains(GroupStatus::OVERLAP));
        if overlap && kernel == Fp8Kernel::Flat {
            // Within a cluster, too: a whole tile and a half one give a row to different warps.
            reports.retain(|report| !report.contains("two writes of global"));
        }
        match outcome {
            Ok(status) if reports.is_empty() => seen = seen.union(status),
            Ok(_) => return Err(describe(format!("{}\n  {tables:?}", reports.join("\n  ")))),
            Err(error) => {
                return Err(describe(format!("{error}\n  {}\n  {tables:?}", reports.join("\n  "))));
            }
        }
    }
    Ok(seen)
}

#[test]
fn random_hostile_tables() {
    let results: Vec<_> = (0..PROBLEMS).into_par_iter().map(run).collect();
    let failures: Vec<&String> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    for failure in failures.iter().take(5) {
        say(failure);
    }
    assert!(failures.is_empty(), "{} of {PROBLEMS} problems failed", failures.len());
    let seen = results.iter().flatten().fold(GroupStatus::OK, |all, &seen| all.union(seen));
    say(&format!("{} hostile tables: status bits seen {:#x}", PROBLEMS * TABLES, seen.0));
    assert_eq!(seen.0, 0b11111, "every bit of the status word was asked for");
}
