//! Hostile group tables on a GPU: nothing is written outside of the output, rows of refused groups stay as
//! they were, and the status word says what was wrong.

use expert_gemm::GroupStatus;
use expert_gemm_tests::fp8_kernel::{Fp8Kernel, made_for};
use expert_gemm_tests::gpu::{DeviceProblem, Gpu, Outcome, UNTOUCHED, say};
use expert_gemm_tests::judge::Judged;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::Tables;

fn check(problem: &HostProblem, tables: &Tables, outcome: &Outcome) -> Result<GroupStatus, String> {
    let judged = Judged::new(problem, tables);
    let difference = judged.compare(problem, &outcome.output, UNTOUCHED);
    let mut complaints = outcome.damage.clone();
    if !difference.is_none() {
        complaints.push(difference.to_string());
    }
    if outcome.status != judged.status {
        complaints.push(format!("status {:?}, want {:?}", outcome.status, judged.status));
    }
    if complaints.is_empty() { Ok(judged.status) } else { Err(complaints.join("\n  ")) }
}

#[test]
fn random_hostile_tables() {
    let Some(gpu) = Gpu::open() else { return };
    let mut seen = GroupStatus::OK;
    for seed in 0..400 {
        let mut problem = Spec::random(seed, 100_000).build();
        // Every fifth as it comes: a plan chooses.
        if let Some(&kernel) = Fp8Kernel::ALL.get(seed as usize % 5) {
            problem = made_for(kernel, problem.spec, problem.routing, seed % 2 == 0, gpu.info());
        }
        let rng = &mut Rng::stream(seed, 7);
        let device_problem = DeviceProblem::new(&gpu, &problem).expect("ordinary tables");
        for round in 0..3 {
            let tables = problem.tables().hostile(problem.routing.rows, rng);
            device_problem.reset(&tables).expect("reset");
            let outcome = device_problem.run().expect("no fault");
            match check(&problem, &tables, &outcome) {
                Ok(status) => seen = seen.union(status),
                Err(complaint) => panic!("{complaint}\n  round {round} of {problem}\n  {tables:?}"),
            }
        }
    }
    say(&format!("1200 hostile tables: status bits seen {:#x}", seen.0));
    assert_eq!(seen.0, 0b11111, "every bit of the status word was asked for");
}

/// Name, sizes, offsets, and the bits that the status word must hold.
type Named = (&'static str, [[i32; 3]; 4], [i32; 4], GroupStatus);

/// Tables for 4 experts and 40 rows.
fn named_tables(n: i32, k: i32) -> Vec<Named> {
    let ten = [10, n, k];
    let sizes = |index: usize, size| {
        let mut sizes = [ten; 4];
        sizes[index] = size;
        sizes
    };
    let packed = [0, 10, 20, 30];
    vec![
        ("ordinary", [ten; 4], packed, GroupStatus::OK),
        ("all empty", [[0, n, k]; 4], packed, GroupStatus::OK),
        (
            "empty with nonsense",
            sizes(1, [0, -7, i32::MAX]),
            [0, i32::MIN, 20, 30],
            GroupStatus::OK,
        ),
        ("negative count", sizes(2, [-1, n, k]), packed, GroupStatus::NEGATIVE_ROWS),
        ("least count", sizes(0, [i32::MIN, n, k]), packed, GroupStatus::NEGATIVE_ROWS),
        ("negative offset", [ten; 4], [0, 10, -1, 30], GroupStatus::NEGATIVE_OFFSET),
        ("least offset", [ten; 4], [i32::MIN, 10, 20, 30], GroupStatus::NEGATIVE_OFFSET),
        ("one row past", sizes(3, [11, n, k]), packed, GroupStatus::PAST_THE_END),
        ("begins at the end", [ten; 4], [0, 10, 20, 40], GroupStatus::PAST_THE_END),
        (
            "largest of both",
            sizes(3, [i32::MAX, n, k]),
            [0, 10, 20, i32::MAX],
            GroupStatus::PAST_THE_END,
        ),
        ("wrong columns", sizes(1, [10, n + 128, k]), packed, GroupStatus::WRONG_SHAPE),
        ("wrong depth", sizes(1, [10, n, k - 128]), packed, GroupStatus::WRONG_SHAPE),
        ("swapped", sizes(1, [10, k, n]), packed, GroupStatus::WRONG_SHAPE),
        ("overlap by one", [ten; 4], [0, 10, 20, 29], GroupStatus::OVERLAP),
        ("all the same rows", [ten; 4], [15; 4], GroupStatus::OVERLAP),
        ("all everything", [[40, n, k]; 4], [0; 4], GroupStatus::OVERLAP),
    ]
}

#[test]
fn named_hostile_tables() {
    let Some(gpu) = Gpu::open() else { return };
    let problem = Spec { total_rows: 40, n: 256, k: 384, ..Spec::PLAIN }.build();
    let device_problem = DeviceProblem::new(&gpu, &problem).expect("ordinary tables");
    for (name, sizes, offsets, status) in named_tables(256, 384) {
        let tables = Tables { sizes: sizes.to_vec(), offsets: offsets.to_vec() };
        device_problem.reset(&tables).expect("reset");
        let outcome = device_problem.run().expect("no fault");
        let judged = check(&problem, &tables, &outcome);
        assert_eq!(judged, Ok(status), "{name}");
    }
}

#[test]
fn the_status_word_keeps_what_it_held() {
    let Some(gpu) = Gpu::open() else { return };
    let problem = Spec { total_rows: 40, n: 256, k: 384, ..Spec::PLAIN }.build();
    let device_problem = DeviceProblem::new(&gpu, &problem).expect("ordinary tables");
    let mut tables = problem.tables();
    tables.sizes[0][0] = -1;
    device_problem.reset(&tables).expect("reset");
    device_problem.launch(expert_gemm::Stream::DEFAULT).expect("launch");
    tables.sizes[0][0] = 0;
    tables.offsets[1] = -1;
    device_problem.replace_tables(&tables).expect("tables");
    let outcome = device_problem.run().expect("no fault");
    let both = GroupStatus::NEGATIVE_ROWS.union(GroupStatus::NEGATIVE_OFFSET);
    assert_eq!(outcome.status, both, "kernels only set bits");
}
