//! The FP8 blockwise grouped GEMM on a GPU: every output bit equals the model of the tensor core.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of random problems (default 2000), `EXPERT_GEMM_SEED` runs a
//! single one of them.

use expert_gemm::{Device, ElementType};
use expert_gemm_tests::fp8_kernel::{Fp8Kernel, edges, made_for};
use expert_gemm_tests::gpu::{DeviceProblem, Gpu, UNTOUCHED};
use expert_gemm_tests::metrics::compare_bits;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::{EDGE_ROWS, Layout, Routing, Skew};
use expert_gemm_tests::suite;
use expert_gemm_tests::values::Values;
use expert_gemm_tests::wgmma_model;

/// Runs one problem and compares everything that it may and may not write.
fn check(device: &Device, problem: &HostProblem) -> Result<u64, String> {
    let run = || -> expert_gemm::Result<_> { DeviceProblem::new(device, problem)?.run() };
    let outcome = run().map_err(|error| format!("{error}\n  {problem}"))?;
    let want = wgmma_model::grouped(problem, UNTOUCHED);
    let difference = compare_bits(problem, &outcome.output, &want);
    let mut complaints = outcome.damage;
    if !difference.is_none() {
        complaints.push(difference.to_string());
    }
    if !outcome.status.is_ok() {
        complaints
            .push(format!("status {:#x} for tables that keep the contract", outcome.status.0));
    }
    if complaints.is_empty() {
        return Ok(problem.routing.owned_rows() * problem.spec.n as u64);
    }
    Err(format!("{}\n  {problem}", complaints.join("\n  ")))
}

/// Checks problems on the GPU, if there is one.
fn check_all<P: Sync>(name: &str, problems: &[P], make: impl Fn(&P) -> HostProblem + Sync + Send) {
    let Some(gpu) = Gpu::open() else { return };
    check_on(&gpu, name, problems, make);
}

fn check_on<P: Sync>(
    device: &Device,
    name: &str,
    problems: &[P],
    make: impl Fn(&P) -> HostProblem + Sync + Send,
) {
    suite::check_all(name, "outputs", problems, |problem| check(device, &make(problem)));
}

fn check_specs(name: &str, specs: &[Spec]) {
    check_all(name, specs, Spec::build);
}

const OUTPUTS: [ElementType; 2] = [ElementType::Bf16, ElementType::F16];

#[test]
fn random_problems() {
    check_all("random problems", &suite::seeds(2000), |&seed| Spec::fuzz(seed).build());
}

#[test]
fn every_edge_of_the_row_count() {
    let mut cases = Vec::new();
    for rows in EDGE_ROWS {
        for output in OUTPUTS {
            for layout in Layout::ALL {
                cases.push((rows, Spec { output, layout, experts: 3, k: 384, ..Spec::PLAIN }));
            }
        }
    }
    check_all("row counts", &cases, |&(rows, spec)| {
        let mut rng = expert_gemm_tests::rng::Rng::new(u64::from(rows));
        HostProblem::new(spec, Routing::laid_out(vec![rows; 3], spec.layout, &mut rng))
    });
}

#[test]
fn every_depth_and_width() {
    let mut specs = Vec::new();
    for output in OUTPUTS {
        for total_rows in [5, 40, 400] {
            for blocks in 1..=9 {
                let plain = Spec { output, total_rows, skew: Skew::Ragged, ..Spec::PLAIN };
                specs.push(Spec { k: 128 * blocks, seed: blocks as u64, ..plain });
                specs.push(Spec { n: 128 * blocks, seed: blocks as u64, ..plain });
            }
        }
    }
    check_specs("depths and widths", &specs);
}

#[test]
fn every_kind_of_values() {
    let mut specs = Vec::new();
    for a in Values::ALL {
        for b in Values::ALL {
            for (total_rows, scale_range) in [(9, 1.0), (300, 1e4)] {
                let plain = Spec { total_rows, scale_range, skew: Skew::Ragged, ..Spec::PLAIN };
                specs.push(Spec { values: [a, b], k: 1024, ..plain });
            }
        }
    }
    check_specs("kinds of values", &specs);
}

#[test]
fn extreme_numbers_of_experts_and_rows() {
    let plain = Spec { n: 128, k: 128, ..Spec::PLAIN };
    let softmax = Skew::Softmax { top_k: 8, spread: 1.0 };
    let mut specs = Vec::new();
    for output in OUTPUTS {
        let plain = Spec { output, ..plain };
        specs.extend([
            Spec { experts: 1024, total_rows: 4096, skew: Skew::Ragged, ..plain },
            Spec { experts: 1024, total_rows: 1024, layout: Layout::PermutedGaps, ..plain },
            Spec { experts: 1024, total_rows: 700, skew: Skew::OneHot, ..plain },
            Spec { experts: 1024, total_rows: 5000, skew: softmax, n: 256, ..plain },
            Spec { experts: 256, total_rows: 3000, skew: Skew::OneHot, n: 384, k: 512, ..plain },
            Spec { experts: 256, total_rows: 3000, skew: Skew::MostlyEmpty, k: 512, ..plain },
            Spec { experts: 1, total_rows: 20_000, n: 256, k: 256, ..plain },
            Spec { experts: 1, total_rows: 1, n: 4096, k: 7168, ..plain },
            // Weights of 8 MiB an expert: its last tile of few rows keeps pace with the others.
            Spec { experts: 6, total_rows: 1500, skew: Skew::Zipf, n: 4096, k: 2048, ..plain },
            Spec { experts: 1, total_rows: 257, n: 8192, k: 1152, ..plain },
            Spec { experts: 64, total_rows: 0, skew: Skew::Empty, ..plain },
            Spec { experts: 64, total_rows: 0, skew: Skew::Empty, layout: Layout::Gaps, ..plain },
            Spec { experts: 0, total_rows: 0, skew: Skew::Empty, ..plain },
            Spec { experts: 0, total_rows: 0, skew: Skew::Empty, layout: Layout::Gaps, ..plain },
        ]);
    }
    check_specs("extreme routings", &specs);
}

#[test]
fn experts_in_any_order_in_the_packed_tensor() {
    let specs: Vec<Spec> = (0..40)
        .map(|seed| Spec {
            experts: 24,
            total_rows: 900,
            skew: if seed % 2 == 0 { Skew::Ragged } else { Skew::Edges },
            layout: if seed % 4 < 2 { Layout::Permuted } else { Layout::PermutedGaps },
            seed,
            ..Spec::PLAIN
        })
        .collect();
    check_specs("permuted offsets", &specs);
}

/// Seeded problems, every edge, and weights of 8 and 16 MiB an expert, for a kernel, whichever a plan would choose for them.
fn check_kernel(name: &str, kernel: Fp8Kernel) {
    let Some(gpu) = Gpu::open() else { return };
    let info = gpu.info().clone();
    let seeded = suite::seeds(400);
    check_on(&gpu, &format!("{name}, seeded"), &seeded, |&seed| {
        let spec = Spec::random(seed, 1_000_000);
        made_for(kernel, spec, spec.build().routing, seed % 2 == 0, &info)
    });
    let edges = edges(kernel, |_| info.clone());
    check_on(&gpu, &format!("{name}, edges"), &edges, HostProblem::clone);
    let deep =
        [[4096, 2048], [8192, 2048], [2048, 8064]].map(|[n, k]| Spec { n, k, ..Spec::PLAIN });
    check_on(&gpu, &format!("{name}, large weights"), &deep, |&spec| {
        let routing = Routing::packed(vec![130, 300, 0, 129, 192, 450, 7, 193]);
        made_for(kernel, spec, routing, true, &info)
    });
}

#[test]
fn few_rows() {
    check_kernel("few rows", Fp8Kernel::Few);
}

#[test]
fn flat_tiles() {
    check_kernel("flat tiles", Fp8Kernel::Flat);
}

#[test]
fn tall_tiles() {
    check_kernel("tall tiles", Fp8Kernel::Tall);
}

#[test]
fn wide_tiles() {
    check_kernel("wide tiles", Fp8Kernel::Wide);
}
