//! The CPU backend: against its own promise in every bit, and against the exact result within the bound.

use expert_gemm_tests::judge::Judged;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Layout, Skew, Tables};
use expert_gemm_tests::values::Values;
use expert_gemm_tests::{bound, cpu, metrics, narrow, reference};
use rayon::prelude::*;

const UNTOUCHED: u16 = 0xABCD;

/// What the backend promises for any tables: the later of two experts keeps a shared row.
fn promised(problem: &HostProblem, tables: &Tables) -> Vec<u16> {
    let n = problem.spec.n;
    let judged = Judged::new(problem, tables);
    let mut output = vec![UNTOUCHED; problem.rows() * n];
    output.par_iter_mut().enumerate().for_each(|(at, output)| {
        let (row, column) = (at / n, at % n);
        if let Some(&expert) = judged.writers[row].last() {
            *output = cpu::model(
                problem.a_row(row),
                problem.b_rows(expert, column, 1),
                problem.scales_a_row(row),
                problem.scales_b_row(expert, column),
                problem.spec.output,
            );
        }
    });
    output
}

fn check(problem: &HostProblem, tables: &Tables) {
    let (output, status) = cpu::run(problem, tables, UNTOUCHED).expect("an ordinary problem");
    let difference = metrics::compare_bits(problem, &output, &promised(problem, tables));
    assert!(difference.is_none(), "{difference}\n  {problem}\n  {tables:?}");
    let judged = Judged::new(problem, tables);
    assert_eq!(status, judged.status, "{problem}\n  {tables:?}");
}

#[test]
fn random_problems_keep_the_promise_in_every_bit() {
    for seed in 0..240 {
        let problem = Spec::random(seed, 20_000).build();
        check(&problem, &problem.tables());
    }
}

#[test]
fn hostile_tables_are_reported_and_their_rows_stay() {
    for seed in 0..120 {
        let problem = Spec::random(seed, 6000).build();
        let rng = &mut Rng::stream(seed, 7);
        for _ in 0..3 {
            check(&problem, &problem.tables().hostile(problem.routing.rows, rng));
        }
    }
}

#[test]
fn extreme_routings() {
    let plain = Spec { n: 128, k: 128, ..Spec::PLAIN };
    for spec in [
        Spec { experts: 1024, total_rows: 2000, skew: Skew::Ragged, ..plain },
        Spec { experts: 1024, total_rows: 300, skew: Skew::OneHot, ..plain },
        Spec { experts: 64, total_rows: 0, skew: Skew::Empty, ..plain },
        Spec { experts: 64, total_rows: 0, skew: Skew::Empty, layout: Layout::Gaps, ..plain },
        Spec { experts: 0, total_rows: 0, skew: Skew::Empty, ..plain },
        Spec { experts: 0, total_rows: 0, skew: Skew::Empty, layout: Layout::Gaps, ..plain },
        Spec { experts: 1, total_rows: 1000, ..plain },
    ] {
        let problem = spec.build();
        // Without rows or experts the backend reports nothing, whatever the tables say.
        check(&problem, &problem.tables());
    }
}

#[test]
fn outputs_stay_within_the_bound_of_the_exact_result() {
    let mut largest = 0.0f64;
    for seed in 0..200 {
        let mut spec = Spec::random(seed, 4000);
        spec.values = spec.values.map(|v| if v == Values::WithNan { Values::Gaussian } else { v });
        let problem = spec.build();
        let (output, _) = cpu::run(&problem, &problem.tables(), UNTOUCHED).expect("ordinary");
        let exact = reference::grouped(&problem);
        let owners = problem.routing.owners();
        for (at, (&bits, exact)) in output.iter().zip(exact).enumerate() {
            let (row, column) = (at / spec.n, at % spec.n);
            let (Some(expert), Some(exact)) = (owners[row], exact) else { continue };
            let value = f64::from(narrow::widen(bits, spec.output));
            if value.is_infinite() {
                continue; // Beyond the range of f16.
            }
            let bound = bound::output(
                problem.a_row(row),
                problem.b_rows(expert, column, 1),
                problem.scales_a_row(row),
                problem.scales_b_row(expert, column),
                spec.output,
                bound::block_in_f32,
            );
            let share = (value - exact).abs() / bound;
            assert!(share <= 1.0, "{share} of the bound at row {row}, column {column} of {spec}");
            largest = largest.max(share);
        }
    }
    println!("200 problems: the largest error is {largest:.3} of the bound");
}

#[test]
fn overflow_of_f16_is_infinite_only_beyond_its_range() {
    let spec = Spec { scale_range: 1e4, output: expert_gemm::ElementType::F16, ..Spec::PLAIN };
    let problem = Spec { values: [Values::Uniform; 2], total_rows: 64, ..spec }.build();
    let (output, _) = cpu::run(&problem, &problem.tables(), UNTOUCHED).expect("ordinary");
    let exact = reference::grouped(&problem);
    let mut infinite = 0;
    for (&bits, exact) in output.iter().zip(exact) {
        let exact = exact.expect("every row is owned");
        if bits & 0x7FFF == 0x7C00 {
            infinite += 1;
            assert!(exact.abs() > 65_000.0 && (exact < 0.0) == (bits >> 15 == 1), "{exact}");
        } else {
            assert!(exact.abs() < 66_000.0, "{exact} became {bits:#06x}");
        }
    }
    assert!(infinite > 100, "{infinite} of {} outputs overflow", output.len());
}
