//! The shipped FP8 kernels in the emulator: every output bit equals the model of the tensor core, under every
//! timing, and nothing is reported.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of small problems, `EXPERT_GEMM_SEED` runs a single one of them.

mod common;

use common::{Emulated, check, judge, small, timings};
use expert_gemm::{DeviceInfo, ElementType};
use expert_gemm_tests::fp8_kernel::{Fp8Kernel, edges, made_for};
use expert_gemm_tests::gpu::say;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::{EDGE_ROWS, Layout, Routing};
use ptx_emulator::exact::ExactProblem;
use ptx_emulator::{Stats, Timing};
use rayon::prelude::*;
use std::time::Instant;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Multiprocessors of the device that runs the problem of a seed.
fn multiprocessors(seed: u64) -> u32 {
    2 + (seed % 5) as u32
}

/// Runs problems under all three timings, and panics with the first few complaints.
fn check_all(name: &str, problems: &[(u64, HostProblem)]) {
    let start = Instant::now();
    let runs: Vec<_> =
        problems.iter().flat_map(|(seed, p)| timings(*seed).map(|t| (*seed, p, t))).collect();
    let results: Vec<Result<(u64, Stats), String>> = runs
        .par_iter()
        .map(|&(seed, problem, timing)| {
            let emulated = Emulated::timed(timing, multiprocessors(seed));
            check(&emulated, problem)
                .map_err(|complaint| format!("{complaint}\n  {timing:?} {problem}"))?;
            let outputs = problem.routing.owned_rows() * problem.spec.n as u64;
            Ok((outputs, emulated.driver.stats()))
        })
        .collect();
    let failures: Vec<&String> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    let (mut outputs, mut stats) = (0, Stats::default());
    for (compared, took) in results.iter().flatten() {
        outputs += compared;
        stats.add(took);
    }
    let seconds = start.elapsed().as_secs_f64();
    say(&format!(
        "{name}: {} problems, {} runs, {} failed, {outputs} outputs compared in every bit, \
         {:.1} M thread instructions, {:.1} M multiply-adds, {seconds:.1} s",
        problems.len(),
        runs.len(),
        failures.len(),
        stats.thread_instructions as f64 / 1e6,
        stats.macs as f64 / 1e6,
    ));
    for failure in failures.iter().take(5) {
        say(failure);
    }
    assert!(failures.is_empty(), "{} of {} runs failed", failures.len(), runs.len());
}

#[test]
fn small_problems() {
    let seeds: Vec<u64> = match number("EXPERT_GEMM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("EXPERT_GEMM_PROBLEMS").unwrap_or(520)).collect(),
    };
    let problems: Vec<_> = seeds.iter().map(|&seed| (seed, small(seed).build())).collect();
    check_all("small problems", &problems);
}

#[test]
fn every_edge_of_the_row_count() {
    let problems: Vec<_> = EDGE_ROWS
        .into_iter()
        .map(|rows| {
            let output = if rows % 2 == 0 { ElementType::Bf16 } else { ElementType::F16 };
            let seed = u64::from(rows);
            let spec = Spec { output, experts: 4, k: 256, seed, ..Spec::PLAIN };
            let device = DeviceInfo { sm_count: multiprocessors(seed), ..DeviceInfo::h200() };
            let routing = Routing::packed(vec![rows, 1, 0, 0]);
            (seed, made_for(Fp8Kernel::Flat, spec, routing, false, &device))
        })
        .collect();
    check_all("row counts", &problems);
}

/// The loops over several blocks of K begin at 512.
#[test]
fn deep_problems() {
    let mut problems = Vec::new();
    for (i, k) in [512, 1024, 1152, 1664, 2048, 2432].into_iter().enumerate() {
        for (rows, output) in [(vec![40, 8], ElementType::F16), (vec![100, 64], ElementType::Bf16)]
        {
            let seed = 900 + i as u64;
            let spec = Spec { output, experts: 2, n: 256, k, seed, ..Spec::PLAIN };
            problems.push((seed, HostProblem::new(spec, Routing::packed(rows))));
        }
    }
    check_all("deep problems", &problems);
}

/// More experts than the lanes of a warp, which read the table, and more tiles than CTAs.
#[test]
fn many_experts() {
    let mut problems = Vec::new();
    for (seed, experts) in [(700, 31), (701, 32), (702, 33), (703, 64), (704, 100)] {
        let spec = Spec { experts, n: 128, k: 128, total_rows: 90, seed, ..Spec::PLAIN };
        let layout = Layout::ALL[seed as usize % 4];
        let skew = expert_gemm_tests::routing::Skew::Ragged;
        problems.push((seed, Spec { layout, skew, ..spec }.build()));
    }
    check_all("many experts", &problems);
}

/// A kernel, whichever a plan would choose for them: small problems, and every edge; one and several tiles of an expert, any depth.
fn check_kernel(name: &str, kernel: Fp8Kernel, first_seed: u64) {
    let device = |seed| DeviceInfo { sm_count: multiprocessors(seed), ..DeviceInfo::h200() };
    let count = number("EXPERT_GEMM_PROBLEMS").unwrap_or(520) / 4;
    let seeds: Vec<u64> = match number("EXPERT_GEMM_SEED") {
        Some(seed) => vec![seed],
        None => (first_seed..first_seed + count).collect(),
    };
    let mut problems: Vec<_> = seeds
        .into_iter()
        .map(|seed| {
            let spec = small(seed);
            let in_front = (seed / 2).is_multiple_of(2);
            (seed, made_for(kernel, spec, spec.build().routing, in_front, &device(seed)))
        })
        .collect();
    problems.extend(edges(kernel, device).into_iter().map(|p| (p.spec.seed, p)));
    check_all(name, &problems);
}

#[test]
fn few_rows() {
    check_kernel("few rows", Fp8Kernel::Few, 500);
}

#[test]
fn flat_tiles() {
    check_kernel("flat tiles", Fp8Kernel::Flat, 2500);
}

#[test]
fn tall_tiles() {
    check_kernel("tall tiles", Fp8Kernel::Tall, 1000);
}

#[test]
fn wide_tiles() {
    check_kernel("wide tiles", Fp8Kernel::Wide, 1500);
}

/// A last round that is at most half full is computed as half tiles, by two clusters for each of its entries. Counted in products:
/// a whole tile multiplies 128 columns by all tokens that its form has, a half one 64 by as many, but 16 at least.
#[test]
fn a_last_round_of_halves() {
    // Column blocks of three experts, rows of each, clusters, and entries that are computed as halves.
    for (column_blocks, rows, clusters, halved) in [
        // 9 entries, of which the last has a tile that nobody stores.
        (5, 3, 4, 1),
        (5, 8, 4, 1),
        (5, 9, 4, 1),
        (5, 17, 4, 1),
        (5, 40, 4, 1),
        (5, 64, 4, 1),
        (5, 65, 4, 1),
        (5, 128, 4, 1),
        // A last round of 3 of 6, of 4 of 5, and none.
        (6, 20, 6, 3),
        (6, 100, 6, 3),
        (6, 20, 5, 0),
        (6, 20, 3, 0),
        // Less than a round.
        (4, 20, 12, 0),
    ] {
        let spec = Spec { experts: 3, n: column_blocks * 128, k: 640, seed: 860, ..Spec::PLAIN };
        check_halves(spec, rows, clusters, halved);
    }
    // A column block of each expert. The first 32 are posted before the others are known.
    for (experts, clusters, halved) in [(33, 16, 1), (34, 11, 1), (33, 10, 0), (40, 3, 1)] {
        let spec = Spec { experts, n: 128, k: 128, seed: 861, ..Spec::PLAIN };
        check_halves(spec, 16, clusters, halved);
    }
}

/// A last round of halves in an expert with 8 MiB of weights, whose second tiles hold two rows and are computed whole.
#[test]
fn halves_in_step() {
    let spec = Spec { n: 8192, k: 1024, seed: 803, ..Spec::PLAIN };
    let device = DeviceInfo { sm_count: 6, ..DeviceInfo::h200() };
    let problem = made_for(Fp8Kernel::Flat, spec, Routing::packed(vec![130]), true, &device);
    let emulated = Emulated::timed(Timing::Random(803), 6);
    if let Err(complaint) = check(&emulated, &problem) {
        panic!("{complaint}");
    }
    // 64 entries of 3 clusters: the last one is two halves.
    let whole = 2 * 128 * 8192 * 1024;
    assert_eq!(emulated.driver.stats().macs, whole, "halves of both tiles are computed whole");
}

fn check_halves(spec: Spec, rows: u32, clusters: u32, halved: u64) {
    let device = DeviceInfo { sm_count: 2 * clusters, ..DeviceInfo::h200() };
    let routing = Routing::packed(vec![rows; spec.experts]);
    let problem = made_for(Fp8Kernel::Flat, spec, routing, false, &device);
    let tokens = match rows {
        65.. => 128,
        _ => u64::from(rows).next_power_of_two().max(8),
    };
    let entries = spec.experts as u64 * (spec.n as u64 / 128).div_ceil(2);
    // Two tiles of an entry, and four half ones.
    let columns = (entries - halved) * 2 * 128 * tokens + halved * 4 * 64 * tokens.max(16);
    for timing in timings(spec.seed) {
        let emulated = Emulated::timed(timing, 2 * clusters);
        if let Err(complaint) = check(&emulated, &problem) {
            panic!("{complaint}\n  {timing:?} {problem}");
        }
        let macs = emulated.driver.stats().macs;
        assert_eq!(macs, columns * spec.k as u64, "{rows} rows, {clusters} clusters, {spec:?}");
    }
}

/// Whatever a plan expects, all rows are computed: each kernel with more of them than it is made for, and with fewer.
#[test]
fn other_rows_than_expected() {
    let spec = Spec { experts: 5, n: 384, k: 640, seed: 850, ..Spec::PLAIN };
    let routing = Routing { rows: 5 * 400, ..Routing::packed(vec![300, 40, 0, 9, 8]) };
    let problem = HostProblem::new(spec, routing);
    let mut seen = Vec::new();
    for expected in [5 * 8, 5 * 64, 5 * 160, 5 * 400] {
        for timing in timings(spec.seed) {
            let emulated = Emulated::timed(timing, 4);
            let tables = problem.tables();
            let launch = ExactProblem::expecting(&emulated.device, &problem, &tables, expected)
                .expect("plan");
            let left = launch.run().expect("no fault");
            judge(&problem, &tables, &left.output, left.status).expect("bits of the model");
            assert_eq!(emulated.reports(), [""; 0], "{expected} rows expected, {timing:?}");
            seen.push(launch.module());
        }
    }
    seen.dedup();
    let names =
        ["fp8_block_sm90_few", "fp8_block_sm90", "fp8_block_sm90_tall", "fp8_block_sm90_wide"];
    assert_eq!(seen, names);
}

/// An expert with 8 MiB of weights, whose second tile holds two rows and is computed whole.
#[test]
fn few_rows_in_step() {
    let spec = Spec { n: 8192, k: 1024, seed: 802, ..Spec::PLAIN };
    let device = DeviceInfo { sm_count: 2, ..DeviceInfo::h200() };
    let problem = made_for(Fp8Kernel::Few, spec, Routing::packed(vec![66]), true, &device);
    let emulated = Emulated::timed(Timing::Random(802), 2);
    if let Err(complaint) = check(&emulated, &problem) {
        panic!("{complaint}");
    }
    assert_eq!(emulated.driver.stats().macs, 2 * 64 * 8192 * 1024, "both tiles are computed whole");
}

/// An expert with 8 MiB of weights and a tall tile behind a whole one: 300 rows are computed as 320.
#[test]
fn tall_tiles_in_step() {
    let spec = Spec { n: 8192, k: 1024, seed: 801, ..Spec::PLAIN };
    let device = DeviceInfo { sm_count: 2, ..DeviceInfo::h200() };
    let problem = made_for(Fp8Kernel::Tall, spec, Routing::packed(vec![300]), true, &device);
    let emulated = Emulated::timed(Timing::Random(801), 2);
    if let Err(complaint) = check(&emulated, &problem) {
        panic!("{complaint}");
    }
    assert_eq!(emulated.driver.stats().macs, 320 * 8192 * 1024, "a whole tile and a tall one");
}

/// An expert with 8 MiB of weights, whose second tile holds two rows and is computed whole, past the end of all tensors.
#[test]
fn tiles_in_step() {
    let spec = Spec { experts: 2, n: 8192, k: 1024, seed: 800, ..Spec::PLAIN };
    let problem = HostProblem::new(spec, Routing::packed(vec![130, 0]));
    let emulated = Emulated::timed(Timing::Random(800), 2);
    if let Err(complaint) = check(&emulated, &problem) {
        panic!("{complaint}");
    }
    let whole = 2 * 128 * 8192 * 1024;
    assert_eq!(emulated.driver.stats().macs, whole, "both tiles are computed whole");
}
