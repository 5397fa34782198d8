//! How right an output is, judged by some of its rows.

use expert_gemm_tests::metrics::relative_frobenius;
use expert_gemm_tests::narrow::widen;
use expert_gemm_tests::problem::HostProblem;
use expert_gemm_tests::{reference, wgmma_model};

/// Judgement of some rows.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Outputs that equal the bit model of the tensor core.
    pub equal: usize,
    /// Outputs looked at.
    pub sampled: usize,
    /// Frobenius norm of the error over that of the exact result, if that was asked for.
    pub relative_error: Option<f64>,
}

/// Packed rows with their experts, spread evenly over the owned ones.
pub fn sample(problem: &HostProblem, count: usize) -> Vec<(usize, usize)> {
    let owned: Vec<(usize, usize)> = (0..problem.routing.experts())
        .flat_map(|expert| problem.routing.rows_of(expert).map(move |row| (expert, row)))
        .collect();
    let count = count.min(owned.len());
    (0..count).map(|i| owned[(i * owned.len() + owned.len() / 2) / count]).collect()
}

/// Compares `count` rows of an output with the bit model, and with the exact result if `exact`.
pub fn verify(problem: &HostProblem, output: &[u16], count: usize, exact: bool) -> Verified {
    let n = problem.spec.n;
    let rows = sample(problem, count);
    let modelled = wgmma_model::rows(problem, &rows);
    let got: Vec<u16> =
        rows.iter().flat_map(|&(_, row)| &output[row * n..(row + 1) * n]).copied().collect();
    let equal = got.iter().zip(&modelled).filter(|(got, want)| got == want).count();
    let relative_error = exact.then(|| {
        let got = got.iter().map(|&bits| f64::from(widen(bits, problem.spec.output)));
        relative_frobenius(got, &reference::rows(problem, &rows))
    });
    Verified { equal, sampled: got.len(), relative_error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm_tests::problem::Spec;

    #[test]
    fn the_model_verifies_itself_and_is_close_to_the_exact_result() {
        let problem = Spec { total_rows: 40, ..Spec::PLAIN }.build();
        let mut output = wgmma_model::grouped(&problem, 0);
        let right = verify(&problem, &output, 8, true);
        assert_eq!((right.equal, right.sampled), (8 * 256, 8 * 256));
        assert!(right.relative_error.is_some_and(|error| error < 5e-3), "{right:?}");
        output.fill(0x7FFF);
        assert_eq!(verify(&problem, &output, 8, false).equal, 0);
    }

    #[test]
    fn samples_are_distinct_and_owned() {
        let problem = Spec { total_rows: 10, ..Spec::PLAIN }.build();
        let rows = sample(&problem, 100);
        assert_eq!(rows.len(), problem.routing.owned_rows() as usize);
        assert!(rows.is_sorted() && rows.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
