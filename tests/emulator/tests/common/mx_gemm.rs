//! The MXFP8 product in the emulator, for the kernels of a suite: seeded problems, edges and hostile tables.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

use super::Emulated;
use super::mx::{Kernels, Ran, check_all, device, reports_beyond};
use super::timings;
use expert_gemm::{ElementType, GroupStatus};
use expert_gemm_tests::gpu::say;
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::gemm_device::DeviceMx;
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::made_for;
use expert_gemm_tests::mx::routing::{MxRouting, MxTables};
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{EDGE_ROWS, Layout, Routing, Skew};
use ptx_emulator::Timing;
use rayon::prelude::*;

/// A problem that the emulator does in a fraction of a second.
fn small(seed: u64, scales: &[ScaleValues]) -> MxSpec {
    // Tiles are as large however few rows are used, so shapes are those that were found small for FP8.
    let plain = super::small(seed);
    let rng = &mut Rng::stream(seed, 17);
    MxSpec {
        experts: plain.experts,
        n: plain.n,
        k: plain.k,
        total_rows: plain.total_rows,
        skew: plain.skew,
        layouts: [plain.layout, rng.pick(&Layout::ALL)],
        values: plain.values,
        scales: rng.pick(scales),
        output: plain.output,
        seed,
    }
}

/// The problem, with what it lacks for a plan to choose a kernel of the suite.
pub fn made_for(kernels: Kernels, problem: MxProblem) -> MxProblem {
    let MxProblem { spec, routing, .. } = &problem;
    let Some(kernel) = kernels.variants().next() else { return problem };
    let lacking = made_for::made_for(kernel, routing.clone(), spec.seed.is_multiple_of(2));
    if lacking == *routing {
        return problem;
    }
    MxProblem::new(MxSpec { experts: lacking.rows.experts(), ..*spec }, lacking)
}

/// Runs a problem with any tables.
fn run(
    emulated: &Emulated,
    problem: &MxProblem,
    tables: &MxTables,
) -> Result<(GroupStatus, &'static str), String> {
    let describe = |complaint: String| format!("{complaint}\n  {problem}");
    let on_device = DeviceMx::new(&emulated.device, problem, Around::Nothing)
        .map_err(|error| describe(error.to_string()))?;
    let outcome = on_device
        .reset(tables)
        .and_then(|()| on_device.run())
        .map_err(|error| describe(error.to_string()))?;
    let status = outcome.judge(problem, tables).map_err(describe)?;
    Ok((status, on_device.prepared().plan().variant().symbol))
}

fn check(emulated: &Emulated, problem: &MxProblem) -> Result<Ran, String> {
    let (_, kernel) = run(emulated, problem, &problem.tables())?;
    let compared = problem.routing.rows.owned_rows() * problem.spec.n as u64;
    let launched = problem.rows() > 0 && problem.spec.experts > 0;
    Ok(Ran { compared, kernel: launched.then_some(kernel) })
}

/// Seeded small problems.
pub fn small_problems(kernels: Kernels, scales: &[ScaleValues], seeds: Vec<u64>) {
    let problems: Vec<_> = seeds
        .into_iter()
        .map(|seed| (seed, made_for(kernels, small(seed, scales).build())))
        .collect();
    check_all("small products", kernels, &problems, check);
}

/// Row counts around every edge of a tile, with gaps among rows and scales.
pub fn every_edge_of_the_row_count(kernels: Kernels) {
    let problems: Vec<_> = EDGE_ROWS
        .into_iter()
        .map(|rows| {
            let seed = u64::from(rows);
            let output = if rows % 2 == 0 { ElementType::Bf16 } else { ElementType::F16 };
            let spec = MxSpec { output, experts: 2, seed, ..MxSpec::PLAIN };
            let rng = &mut Rng::new(seed);
            let rows = Routing::laid_out(vec![rows, 1], Layout::PermutedGaps, rng);
            let routing = MxRouting::laid_out(rows, Layout::PermutedGaps, rng);
            (seed, made_for(kernels, MxProblem::new(spec, routing)))
        })
        .collect();
    check_all("row counts", kernels, &problems, check);
}

/// Deep reductions, wide outputs, and up to 256 experts of which most are small or empty.
pub fn deep_wide_and_many(kernels: Kernels) {
    let plain = MxSpec { skew: Skew::Ragged, ..MxSpec::PLAIN };
    let many = MxSpec { n: 128, k: 128, layouts: [Layout::PermutedGaps; 2], ..plain };
    let mut specs = Vec::new();
    for output in [ElementType::Bf16, ElementType::F16] {
        let (plain, many) = (MxSpec { output, ..plain }, MxSpec { output, ..many });
        specs.extend([
            MxSpec { experts: 2, n: 128, k: 2432, total_rows: 9, ..plain },
            MxSpec { experts: 1, n: 256, k: 1152, total_rows: 140, skew: Skew::Balanced, ..plain },
            MxSpec { experts: 1, n: 1024, k: 128, total_rows: 70, skew: Skew::Balanced, ..plain },
            MxSpec { experts: 33, total_rows: 60, ..many },
            MxSpec { experts: 100, total_rows: 90, ..many },
            MxSpec { experts: 256, total_rows: 40, skew: Skew::MostlyEmpty, ..many },
            MxSpec { experts: 64, total_rows: 0, skew: Skew::Empty, ..many },
        ]);
    }
    let problems: Vec<_> = (700..)
        .zip(specs)
        .map(|(seed, spec)| (seed, made_for(kernels, MxSpec { seed, ..spec }.build())))
        .collect();
    check_all("deep, wide and many", kernels, &problems, check);
}

/// An expert with 8 MiB of weights, whose second tile holds two rows and is computed as whole as the first.
pub fn tiles_in_step(kernels: Kernels) {
    let spec = MxSpec { experts: 1, n: 8192, k: 1024, seed: 800, ..MxSpec::PLAIN };
    let problem = MxProblem::new(spec, MxRouting::packed(Routing::packed(vec![130])));
    let emulated = device(kernels.arch, Timing::Random(800), 2, false);
    if let Err(complaint) = check(&emulated, &problem) {
        panic!("{complaint}");
    }
    let whole = 2 * 128 * 8192 * 1024;
    assert_eq!(emulated.driver.stats().macs, whole, "both tiles are computed whole");
}

/// Problems of packed experts with these rows.
pub fn packed(kernels: Kernels, name: &str, problems: &[(MxSpec, &[u32])]) {
    let problems: Vec<_> = (900..)
        .zip(problems)
        .map(|(seed, (spec, rows))| {
            let spec = MxSpec { experts: rows.len(), seed, ..*spec };
            let routing = MxRouting::packed(Routing::packed(rows.to_vec()));
            (seed, made_for(kernels, MxProblem::new(spec, routing)))
        })
        .collect();
    check_all(name, kernels, &problems, check);
}

/// Tables for each problem with hostile tables.
const TABLES: u64 = 6;

fn hostile(kernels: Kernels, seed: u64) -> Result<GroupStatus, String> {
    let rng = &mut Rng::stream(seed, 13);
    let experts = rng.between(2, 10) as usize;
    let spec = MxSpec { experts, ..small(seed, &[ScaleValues::Near]) };
    let problem = MxSpec { n: spec.n.min(256), k: spec.k.min(256), ..spec }.build();
    let problem = made_for(kernels, problem);
    let timing = timings(seed)[seed as usize % 3];
    let emulated = device(kernels.arch, timing, 4, false);
    let mut seen = GroupStatus::OK;
    for _ in 0..TABLES {
        let routing = &problem.routing;
        let tables = problem.tables().hostile(routing.rows.rows, routing.scale_rows, rng);
        let outcome = run(&emulated, &problem, &tables);
        let reports = reports_beyond(&emulated, problem.judge(&tables).status()).join("\n  ");
        match outcome {
            Ok((status, kernel)) if reports.is_empty() => {
                assert!(kernels.names().contains(kernel), "{kernel} ran");
                seen = seen.union(status);
            }
            Ok(_) => return Err(format!("{reports}\n  {timing:?} {problem}\n  {tables:?}")),
            Err(error) => return Err(format!("{error}\n  {reports}\n  {timing:?}\n  {tables:?}")),
        }
    }
    Ok(seen)
}

/// Hostile tables: nothing outside of the tensors is touched, not even read.
pub fn random_hostile_tables(kernels: Kernels, problems: u64) {
    if kernels.names().is_empty() {
        return;
    }
    let results: Vec<_> =
        (0..problems).into_par_iter().map(|seed| hostile(kernels, seed)).collect();
    let complaints: Vec<&String> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    for complaint in complaints.iter().take(5) {
        say(complaint);
    }
    assert!(complaints.is_empty(), "{} of {problems} problems failed", complaints.len());
    let seen = results.iter().flatten().fold(GroupStatus::OK, |all, &seen| all.union(seen));
    say(&format!("{} hostile tables: status bits seen {:#x}", problems * TABLES, seen.0));
    assert_eq!(seen.0, 0x7F, "every bit but that of scales which are written was asked for");
}
