//! How right an output is, judged by some of its rows.

use expert_gemm_kernels::abi::{Arch, scale_atoms};
use expert_gemm_tests::metrics::relative_frobenius;
use expert_gemm_tests::mx::gemm_model;
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxRow};
use expert_gemm_tests::mx::quant_model::{QuantOutput, quantise};
use expert_gemm_tests::mx::quant_problem::QuantProblem;
use expert_gemm_tests::narrow::widen;
use expert_gemm_tests::problem::HostProblem;
use expert_gemm_tests::routing::Routing;
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
pub fn sample(routing: &Routing, count: usize) -> Vec<(usize, usize)> {
    let owned: Vec<(usize, usize)> = (0..routing.experts())
        .flat_map(|expert| routing.rows_of(expert).map(move |row| (expert, row)))
        .collect();
    evenly(&owned, count).collect()
}

/// Compares `count` rows of an output with the bit model, and with the exact result if `exact`.
pub fn verify(problem: &HostProblem, output: &[u16], count: usize, exact: bool) -> Verified {
    let n = problem.spec.n;
    let rows = sample(&problem.routing, count);
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

/// Compares `count` rows of codes, and their scales, with the closed form.
pub fn verify_quant(problem: &QuantProblem, output: &QuantOutput, count: usize) -> Verified {
    let QuantProblem { spec, routing, .. } = problem;
    let (mut equal, mut sampled) = (0, 0);
    for (expert, row) in sample(&routing.rows, count) {
        let (codes, scales) = quantise(problem.row(row), problem);
        let local = (row - routing.rows.rows_of(expert).start) as u64;
        let scale_row = u64::from(routing.first_scale_row[expert]) + local;
        let got = |column| scale_atoms::offset(scale_row, column, spec.k as u64 / 128) as usize;
        let got = (0..scales.len()).map(|column| output.scales[got(column as u64)]);
        equal += got.zip(&scales).filter(|(got, want)| got == *want).count();
        let got = &output.codes[row * spec.k..][..spec.k];
        equal += got.iter().zip(&codes).filter(|(got, want)| got == want).count();
        sampled += codes.len() + scales.len();
    }
    Verified { equal, sampled, relative_error: None }
}

/// Compares `count` rows of an MXFP8 product with the bit model of the kernel's family.
pub fn verify_mxfp8(problem: &MxProblem, arch: Arch, output: &[u16], count: usize) -> Verified {
    let n = problem.spec.n;
    let owned = problem.owned();
    let rows: Vec<MxRow> = evenly(&owned, count).collect();
    let modelled = gemm_model::rows(problem, arch, &rows);
    let got = rows.iter().flat_map(|at| &output[at.row * n..][..n]);
    let equal = got.zip(&modelled).filter(|(got, want)| got == want).count();
    Verified { equal, sampled: modelled.len(), relative_error: None }
}

/// At most `count` of some elements, spread evenly.
fn evenly<T: Copy>(all: &[T], count: usize) -> impl Iterator<Item = T> {
    let count = count.min(all.len());
    (0..count).map(move |i| all[(i * all.len() + all.len() / 2) / count])
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
        let rows = sample(&problem.routing, 100);
        assert_eq!(rows.len(), problem.routing.owned_rows() as usize);
        assert!(rows.is_sorted() && rows.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_quantiser_is_judged_by_codes_and_scales() {
        use expert_gemm_tests::mx::quant_model::expected;
        use expert_gemm_tests::mx::quant_problem::QuantSpec;
        use expert_gemm_tests::routing::Layout;
        let spec = QuantSpec { total_rows: 300, layouts: [Layout::Gaps; 2], ..QuantSpec::PLAIN };
        let problem = spec.build();
        let empty = QuantOutput {
            codes: vec![0xFF; problem.rows() * spec.k],
            scales: vec![0xFA; problem.scale_bytes()],
        };
        let right = expected(&problem, &problem.judge(&problem.tables()), &empty);
        let judged = verify_quant(&problem, &right, 5);
        assert_eq!((judged.equal, judged.sampled), (5 * (256 + 8), 5 * (256 + 8)));
        assert_eq!(verify_quant(&problem, &empty, 5).equal, 0);
    }

    #[test]
    fn a_product_is_judged_by_the_model_of_its_family() {
        use expert_gemm_tests::mx::gemm_problem::MxSpec;
        let problem = MxSpec { total_rows: 40, ..MxSpec::PLAIN }.build();
        let output = gemm_model::rows(&problem, Arch::Sm90a, &problem.owned());
        let right = verify_mxfp8(&problem, Arch::Sm90a, &output, 8);
        assert_eq!((right.equal, right.sampled), (8 * 256, 8 * 256));
        let other = vec![0x7FFF; output.len()];
        assert_eq!(verify_mxfp8(&problem, Arch::Sm90a, &other, 8).equal, 0);
    }
}
