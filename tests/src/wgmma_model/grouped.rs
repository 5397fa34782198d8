//! The model over whole problems, on every core.

use super::fast::{Row, Weights, accumulate};
use crate::narrow::narrow;
use crate::problem::HostProblem;
use crate::sweep::{COLUMNS, sweep};
use core::cell::RefCell;

thread_local! {
    static WEIGHTS: RefCell<Box<Weights>> = RefCell::new(Weights::zeroed());
}

/// Every output of the problem, as bits, row-major `[rows, n]`. Rows of nobody hold `untouched`.
pub fn grouped(problem: &HostProblem, untouched: u16) -> Vec<u16> {
    let packed: Vec<usize> = (0..problem.rows()).collect();
    compute(problem, &problem.routing.owners(), &packed, untouched)
}

/// The outputs of some packed rows, given with their experts: bits, `[rows.len(), n]`, in the order given.
pub fn rows(problem: &HostProblem, rows: &[(usize, usize)]) -> Vec<u16> {
    let (experts, packed): (Vec<_>, Vec<_>) =
        rows.iter().map(|&(expert, row)| (Some(expert), row)).unzip();
    compute(problem, &experts, &packed, 0)
}

/// The outputs of the rows `packed`, each with its expert.
fn compute(
    problem: &HostProblem,
    experts: &[Option<usize>],
    packed: &[usize],
    untouched: u16,
) -> Vec<u16> {
    let decode = |place: usize| (packed[place], Row::decode(problem.a_row(packed[place])));
    sweep(problem.spec.n, experts, untouched, decode, |expert, column, rows| {
        WEIGHTS.with_borrow_mut(|weights| tile(problem, expert, column, rows, weights))
    })
}

/// The outputs of some rows, given with their places in the packed tensor.
fn tile(
    problem: &HostProblem,
    expert: usize,
    column: usize,
    rows: &[&(usize, Row)],
    weights: &mut Weights,
) -> Vec<[u16; COLUMNS]> {
    let codes = problem.b_rows(expert, column, COLUMNS);
    let mut accumulators = vec![[0.0f32; COLUMNS]; rows.len()];
    for (kb, &scale_b) in problem.scales_b_row(expert, column).iter().enumerate() {
        weights.load(codes, problem.spec.k, kb);
        for (accumulator, &(packed, row)) in accumulators.iter_mut().zip(rows) {
            let scale = problem.scales_a_row(*packed)[kb] * scale_b;
            accumulate(row, kb, weights, scale, accumulator);
        }
    }
    accumulators.into_iter().map(|row| row.map(|x| narrow(x, problem.spec.output))).collect()
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
