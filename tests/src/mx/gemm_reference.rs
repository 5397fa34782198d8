//! The exact product, up to the rounding of `f64`, and how far from it a correct kernel may be.
//!
//! Both families add products in fused sums, P = 16 or 32 of them and the accumulator, each truncated to a multiple of
//! `2^(E - 25)`, with E the largest exponent, and the result truncated to 23 explicit bits. With M the sum of magnitudes,
//! a sum loses less than `(P + 1) * 2^-25 * max(2^E, M)` and `2^-23 * M`. The conversion adds half a unit of the output
//! type.

use super::VECTOR;
use super::gemm_problem::{MxProblem, MxRow};
use crate::e4m3;
use crate::narrow::{half_ulp, widen};
use expert_gemm_kernels::abi::ElementType;
use expert_gemm_kernels::abi::scale_atoms::NAN;
use rayon::prelude::*;

/// An exact output, and the error that is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// The output; NaN if a NaN takes part.
    pub value: f64,
    /// Largest distance of a correct kernel.
    pub bound: f64,
}

/// Products in a fused sum: of Hopper, the smaller one, of which there are more.
const PRODUCTS: f64 = 16.0;

/// One output from the rows of codes and scales that meet in it.
pub fn output(a: &[u8], b: &[u8], scales_a: &[u8], scales_b: &[u8], to: ElementType) -> Exact {
    let (mut value, mut magnitude, mut largest) = (0.0f64, 0.0f64, 0.0f64);
    for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
        let (sa, sb) = (scales_a[i / VECTOR], scales_b[i / VECTOR]);
        let scale = match sa.max(sb) {
            NAN => f64::NAN,
            _ => 2f64.powi(i32::from(sa) + i32::from(sb) - 254),
        };
        let product = f64::from(e4m3::decode(a)) * f64::from(e4m3::decode(b)) * scale;
        value += product;
        magnitude += product.abs();
        if product != 0.0 {
            largest = largest.max(2f64.powi(e4m3::exponent(a) + e4m3::exponent(b)) * scale);
        }
    }
    let terms = (PRODUCTS + 1.0) * 2f64.powi(-25) * largest.max(magnitude);
    let error = a.len() as f64 / PRODUCTS * (terms + 2f64.powi(-23) * magnitude);
    Exact { value, bound: error + half_ulp(value.abs() + error, to) }
}

/// The outputs of some rows, `[rows.len(), n]`.
pub fn rows(problem: &MxProblem, rows: &[MxRow]) -> Vec<Exact> {
    let n = problem.spec.n;
    (0..rows.len() * n)
        .into_par_iter()
        .map(|at| {
            let (MxRow { expert, row, scale_row }, column) = (rows[at / n], at % n);
            let columns = column..column + 1;
            output(
                problem.a_row(row),
                problem.b_rows(expert, columns.clone()),
                problem.scales_a_row(scale_row),
                problem.scales_b_rows(expert, columns),
                problem.spec.output,
            )
        })
        .collect()
}

/// Says where outputs leave the bound, if any do. Where the exact output is NaN, so must be the found one; beyond the
/// range of the output type nothing is said.
pub fn complaint(problem: &MxProblem, owned: &[MxRow], got: &[u16]) -> Option<String> {
    let (n, to) = (problem.spec.n, problem.spec.output);
    let exact = rows(problem, owned);
    let wrong = |&(got, exact): &(f64, &Exact)| {
        let within = (got - exact.value).abs() <= exact.bound;
        !(got.is_infinite() && exact.value.abs() > 6e4) && got.is_nan() != exact.value.is_nan()
            || got.is_finite() && !within
    };
    let found = owned.iter().flat_map(|at| &got[at.row * n..][..n]);
    let found = found.map(|&bits| f64::from(widen(bits, to)));
    let (at, (got, exact)) = found.zip(&exact).enumerate().find(|(_, pair)| wrong(pair))?;
    let (place, column) = (owned[at / n], at % n);
    Some(format!("{place:?}, column {column}: {got:e} is too far from {exact:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::gemm_model;
    use super::super::gemm_problem::MxSpec;
    use super::super::scale_values::ScaleValues;
    use super::*;
    use crate::narrow::narrow;
    use expert_gemm_kernels::abi::Arch;

    #[test]
    fn no_output_of_the_models_leaves_the_bound_and_a_wrong_one_does() {
        for seed in 0..40 {
            let problem = MxSpec::random(seed, 1500, &ScaleValues::BF16).build();
            let (n, owned) = (problem.spec.n, problem.owned());
            for arch in [Arch::Sm90a, Arch::Sm100f] {
                let mut output = vec![0; problem.rows() * n];
                for (row, at) in gemm_model::rows(&problem, arch, &owned).chunks(n).zip(&owned) {
                    output[at.row * n..][..n].copy_from_slice(row);
                }
                assert_eq!(complaint(&problem, &owned, &output), None, "{problem}");
                let Some(at) = owned.first() else { continue };
                // A value half as large again.
                let bits = &mut output[at.row * n];
                let value = widen(*bits, problem.spec.output);
                if value.is_normal() && value.abs() < 1e4 {
                    *bits = narrow(value * 1.5, problem.spec.output);
                    assert!(complaint(&problem, &owned, &output).is_some(), "{problem}");
                }
            }
        }
    }
}
