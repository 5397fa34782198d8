//! The shipped MXFP8 quantisers in the emulator: every byte equals the closed form, under every timing, and nothing is
//! reported.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of small problems, `EXPERT_GEMM_SEED` runs a single one of them.

mod common;

use common::mx::{Kernels, Ran, check_all, device, reports_beyond};
use common::{Emulated, timings};
use expert_gemm::abi::{Arch, Op};
use expert_gemm::{ElementType, GroupStatus, ScaleRule};
use expert_gemm_tests::gpu::say;
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::VECTOR;
use expert_gemm_tests::mx::inputs::Inputs;
use expert_gemm_tests::mx::quant_device::DeviceQuant;
use expert_gemm_tests::mx::quant_problem::{QuantProblem, QuantSpec};
use expert_gemm_tests::mx::routing::{MxRouting, MxTables};
use expert_gemm_tests::mx::vectors;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{EDGE_ROWS, Layout, Routing, Skew};
use expert_gemm_tests::suite::seeds;
use rayon::prelude::*;

const OP: Op = Op::Mxfp8GroupedQuant;
const ARCHES: [Arch; 2] = [Arch::Sm90a, Arch::Sm100f];

/// Runs a problem with any tables.
fn run(
    emulated: &Emulated,
    problem: &QuantProblem,
    tables: &MxTables,
) -> Result<(GroupStatus, &'static str), String> {
    let describe = |complaint: String| format!("{complaint}\n  {problem}");
    let on_device = DeviceQuant::new(&emulated.device, problem, Around::Nothing)
        .map_err(|error| describe(error.to_string()))?;
    let outcome = on_device
        .reset(tables)
        .and_then(|()| on_device.run())
        .map_err(|error| describe(error.to_string()))?;
    let status = outcome.judge(problem, tables).map_err(describe)?;
    Ok((status, on_device.prepared().plan().variant().symbol))
}

fn check(emulated: &Emulated, problem: &QuantProblem) -> Result<Ran, String> {
    let (_, kernel) = run(emulated, problem, &problem.tables())?;
    let compared = problem.routing.rows.owned_rows() * problem.spec.k as u64;
    let launched = problem.rows() > 0 && problem.spec.experts > 0;
    Ok(Ran { compared, kernel: launched.then_some(kernel) })
}

fn check_on_all(name: &str, problems: &[(u64, QuantProblem)]) {
    for arch in ARCHES {
        check_all(name, Kernels::any_rows(OP, arch), problems, check);
    }
}

#[test]
fn small_problems() {
    let problems: Vec<_> = seeds(400)
        .into_iter()
        .map(|seed| (seed, QuantSpec::random(seed, 12_000, 40).build()))
        .collect();
    check_on_all("small quantisations", &problems);
}

#[test]
fn every_edge_of_the_row_count() {
    let problems: Vec<_> = EDGE_ROWS
        .into_iter()
        .map(|rows| {
            let seed = u64::from(rows);
            let input = if rows % 2 == 0 { ElementType::Bf16 } else { ElementType::F16 };
            let rule = ScaleRule::ALL[rows as usize % 3];
            let spec = QuantSpec { experts: 2, input, rule, seed, ..QuantSpec::PLAIN };
            let rng = &mut Rng::new(seed);
            let rows = Routing::laid_out(vec![rows, 1], Layout::PermutedGaps, rng);
            (seed, QuantProblem::new(spec, MxRouting::laid_out(rows, Layout::PermutedGaps, rng)))
        })
        .collect();
    check_on_all("row counts", &problems);
}

/// More experts than the lanes of a warp and the threads of a CTA, more work than CTAs at once, and long rows.
#[test]
fn many_experts_and_long_rows() {
    let plain = QuantSpec { k: 128, skew: Skew::Ragged, ..QuantSpec::PLAIN };
    let layouts = [Layout::PermutedGaps; 2];
    let mut problems: Vec<_> = [15, 16, 17, 31, 32, 33, 64, 100, 256]
        .into_iter()
        .map(|experts| (experts as u64, QuantSpec { experts, total_rows: 90, layouts, ..plain }))
        .collect();
    problems.extend([
        (600, QuantSpec { experts: 2, k: 7168, total_rows: 3, ..plain }),
        (601, QuantSpec { experts: 1, k: 128, total_rows: 700, ..plain }),
        (602, QuantSpec { experts: 3, k: 2048, total_rows: 20, input: ElementType::F16, ..plain }),
        // Blocks beyond the first hundreds ask whose the rows are before they load.
        (603, QuantSpec { experts: 7, k: 128, total_rows: 44_000, layouts, ..plain }),
        (604, QuantSpec { experts: 300, k: 256, total_rows: 22_500, layouts, ..plain }),
    ]);
    let problems: Vec<_> = problems
        .into_iter()
        .map(|(seed, spec)| (seed, QuantSpec { seed, ..spec }.build()))
        .collect();
    check_on_all("many experts", &problems);
}

/// The published vectors and, for each rule and type, every kind of values, one row each.
#[test]
fn special_blocks() {
    let mut problems = Vec::new();
    for input in [ElementType::Bf16, ElementType::F16] {
        let blocks: Vec<_> = vectors::all().into_iter().filter(|v| v.input == input).collect();
        for rule in ScaleRule::ALL {
            let rows = (blocks.len() + Inputs::ALL.len()) as u64;
            let plain = QuantSpec { experts: 1, k: 1024, total_rows: rows, ..QuantSpec::PLAIN };
            let spec = QuantSpec { input, rule, ..plain };
            let mut problem = spec.build();
            let (special, drawn) = problem.input.split_at_mut(blocks.len() * spec.k);
            for (row, vector) in special.chunks_mut(spec.k).zip(&blocks) {
                row.as_chunks_mut::<VECTOR>().0.fill(vector.elements);
            }
            for (row, inputs) in drawn.chunks_mut(spec.k).zip(Inputs::ALL) {
                inputs.fill(&mut Rng::new(rule as u64), input, row);
            }
            problems.push((rule as u64, problem));
        }
    }
    check_on_all("special blocks", &problems);
}

/// Problems with hostile tables, and tables for each of them.
const HOSTILE: u64 = 90;
const TABLES: u64 = 6;

fn hostile(arch: Arch, seed: u64) -> Result<GroupStatus, String> {
    let rng = &mut Rng::stream(seed, 13);
    let problem = QuantSpec::random(seed, 6_000, 24).build();
    let timing = timings(seed)[seed as usize % 3];
    let emulated = device(arch, timing, 3, false);
    let mut seen = GroupStatus::OK;
    for _ in 0..TABLES {
        let routing = &problem.routing;
        let tables = problem.tables().hostile(routing.rows.rows, routing.scale_rows, rng);
        let outcome = run(&emulated, &problem, &tables);
        let reports = reports_beyond(&emulated, problem.judge(&tables).status()).join("\n  ");
        match outcome {
            Ok((status, _)) if reports.is_empty() => seen = seen.union(status),
            Ok(_) => return Err(format!("{reports}\n  {timing:?} {problem}\n  {tables:?}")),
            Err(error) => return Err(format!("{error}\n  {reports}\n  {timing:?}\n  {tables:?}")),
        }
    }
    Ok(seen)
}

#[test]
fn random_hostile_tables() {
    for arch in ARCHES {
        if Kernels::any_rows(OP, arch).names().is_empty() {
            continue;
        }
        let results: Vec<_> =
            (0..HOSTILE).into_par_iter().map(|seed| hostile(arch, seed)).collect();
        let complaints: Vec<&String> = results.iter().filter_map(|r| r.as_ref().err()).collect();
        for complaint in complaints.iter().take(5) {
            say(complaint);
        }
        assert!(complaints.is_empty(), "{} of {HOSTILE} problems failed", complaints.len());
        let seen = results.iter().flatten().fold(GroupStatus::OK, |all, &seen| all.union(seen));
        say(&format!("{} hostile tables: status bits seen {:#x}", HOSTILE * TABLES, seen.0));
        assert_eq!(seen.0, 0xFF, "every bit of the status word was asked for");
    }
}
