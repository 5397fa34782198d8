//! The model over whole problems, on every core.

use super::fast::{COLUMNS, Row, Weights, accumulate};
use crate::narrow::narrow;
use crate::problem::HostProblem;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU16, Ordering};
use rayon::prelude::*;

/// Rows that share one decoding of the weights.
const ROWS_PER_TASK: usize = 64;

thread_local! {
    static WEIGHTS: RefCell<Box<Weights>> = RefCell::new(Weights::zeroed());
}

/// Part of the output that one task computes: some rows of an expert, [`COLUMNS`] columns.
struct Task<'a> {
    expert: usize,
    /// Pairs of an output row and its decoded activations.
    rows: &'a [(usize, usize)],
    column: usize,
}

/// Every output of the problem, as bits, row-major `[rows, n]`. Rows of nobody hold `untouched`.
pub fn grouped(problem: &HostProblem, untouched: u16) -> Vec<u16> {
    let groups: Vec<(usize, Vec<usize>)> = (0..problem.routing.experts())
        .map(|expert| (expert, problem.routing.rows_of(expert).collect()))
        .collect();
    let places: Vec<usize> = (0..problem.rows()).collect();
    compute(problem, &groups, &places, untouched)
}

/// The outputs of some packed rows, given with their experts: bits, `[rows.len(), n]`, in the order given.
pub fn rows(problem: &HostProblem, rows: &[(usize, usize)]) -> Vec<u16> {
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rows[i].0);
    for i in order {
        match groups.last_mut() {
            Some((expert, members)) if *expert == rows[i].0 => members.push(i),
            _ => groups.push((rows[i].0, vec![i])),
        }
    }
    let packed: Vec<usize> = rows.iter().map(|&(_, row)| row).collect();
    compute(problem, &groups, &packed, 0)
}

/// `groups` holds, for each expert, places in the result; `packed[place]` is the row that goes there.
fn compute(
    problem: &HostProblem,
    groups: &[(usize, Vec<usize>)],
    packed: &[usize],
    untouched: u16,
) -> Vec<u16> {
    let n = problem.spec.n;
    let members: Vec<(usize, usize)> = groups
        .iter()
        .flat_map(|(_, places)| places)
        .enumerate()
        .map(|(index, &place)| (place, index))
        .collect();
    let decoded: Vec<Row> =
        members.par_iter().map(|&(place, _)| Row::decode(problem.a_row(packed[place]))).collect();

    let mut tasks = Vec::new();
    let mut first = 0;
    for (expert, places) in groups {
        for rows in members[first..first + places.len()].chunks(ROWS_PER_TASK) {
            let columns = (0..n).step_by(COLUMNS);
            tasks.extend(columns.map(|column| Task { expert: *expert, rows, column }));
        }
        first += places.len();
    }

    let output: Vec<AtomicU16> = (0..packed.len() * n).map(|_| AtomicU16::new(untouched)).collect();
    tasks.par_iter().for_each(|task| {
        WEIGHTS.with_borrow_mut(|weights| run(problem, task, packed, &decoded, weights, &output));
    });
    output.into_iter().map(AtomicU16::into_inner).collect()
}

fn run(
    problem: &HostProblem,
    task: &Task,
    packed: &[usize],
    decoded: &[Row],
    weights: &mut Weights,
    output: &[AtomicU16],
) {
    let (n, k) = (problem.spec.n, problem.spec.k);
    let codes = problem.b_rows(task.expert, task.column, COLUMNS);
    let scales_b = problem.scales_b_row(task.expert, task.column);
    let mut accumulators = vec![[0.0f32; COLUMNS]; task.rows.len()];
    for (kb, &scale_b) in scales_b.iter().enumerate() {
        weights.load(codes, k, kb);
        for (accumulator, &(place, index)) in accumulators.iter_mut().zip(task.rows) {
            let scale = problem.scales_a_row(packed[place])[kb] * scale_b;
            accumulate(&decoded[index], kb, weights, scale, accumulator);
        }
    }
    for (accumulator, &(place, _)) in accumulators.iter().zip(task.rows) {
        let to = &output[place * n + task.column..][..COLUMNS];
        for (to, &x) in to.iter().zip(accumulator) {
            to.store(narrow(x, problem.spec.output), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Spec;
    use crate::wgmma_model::scalar;

    #[test]
    fn whole_problems_agree_with_the_scalar_model() {
        for seed in 0..60 {
            let problem = Spec::random(seed, 3000).build();
            let n = problem.spec.n;
            let got = grouped(&problem, 0xABCD);
            for (row, owner) in problem.routing.owners().into_iter().enumerate() {
                for column in (0..n).step_by(if n > 128 { 5 } else { 1 }) {
                    let want = owner.map_or(0xABCD, |expert| {
                        scalar::output(
                            problem.a_row(row),
                            problem.b_rows(expert, column, 1),
                            problem.scales_a_row(row),
                            problem.scales_b_row(expert, column),
                            problem.spec.output,
                        )
                    });
                    assert_eq!(
                        got[row * n + column],
                        want,
                        "row {row} column {column} of {problem}"
                    );
                }
            }
        }
    }

    #[test]
    fn sampled_rows_equal_the_whole() {
        let spec = Spec { total_rows: 300, ..Spec::PLAIN };
        let problem = spec.build();
        let whole = grouped(&problem, 0);
        let owners = problem.routing.owners();
        let sample: Vec<(usize, usize)> =
            [299, 0, 77, 150, 76, 78].map(|row| (owners[row].unwrap(), row)).to_vec();
        let got = rows(&problem, &sample);
        for (got, (_, row)) in got.chunks(spec.n).zip(sample) {
            assert_eq!(got, &whole[row * spec.n..][..spec.n], "row {row}");
        }
    }

    /// Not a test of anything: prints the cost of one sum of 32 products, for one thread.
    #[test]
    #[ignore = "a measurement; run with --release --ignored --nocapture"]
    fn cost_of_a_sum() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for rows in [1, 4, 16, 64, 256] {
            let spec = Spec { experts: 4, n: 1024, k: 2048, total_rows: 4 * rows, ..Spec::PLAIN };
            let problem = spec.build();
            let start = std::time::Instant::now();
            let output = one.install(|| grouped(&problem, 0));
            let nanoseconds = start.elapsed().as_nanos() as f64;
            let sums = (output.len() * spec.k / 32) as f64;
            println!("{rows:4} rows per expert: {:.2} ns per sum", nanoseconds / sums);
        }
    }

    /// Not a test either: prints what the host's share of fuzzing costs, for one thread.
    #[test]
    #[ignore = "a measurement; run with --release --ignored --nocapture"]
    fn cost_of_fuzzing() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let start = std::time::Instant::now();
        let mut made = core::time::Duration::ZERO;
        let (mut outputs, mut sums) = (0, 0);
        let problems = 100;
        for seed in 0..problems {
            let start = std::time::Instant::now();
            let problem = one.install(|| Spec::fuzz(seed).build());
            made += start.elapsed();
            one.install(|| grouped(&problem, 0));
            outputs += problem.routing.owned_rows() * problem.spec.n as u64;
            sums += problem.flops() as u64 / 64;
        }
        println!(
            "{problems} problems, {outputs} outputs, {sums} sums: {:.2} s, of which {:.2} s to make them",
            start.elapsed().as_secs_f64(),
            made.as_secs_f64(),
        );
    }
}
