//! Comparison of outputs.

use crate::narrow::widen;
use crate::problem::HostProblem;
use crate::routing::Routing;
use core::fmt;
use expert_gemm_kernels::abi::ElementType;

/// Outcome of a comparison bit by bit.
#[derive(Clone, PartialEq, Debug)]
pub struct BitDifference {
    /// Outputs compared.
    pub compared: usize,
    /// Outputs that differ.
    pub differing: usize,
    /// The first that differs.
    pub first: Option<Difference>,
}

/// One output that differs.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// Expert that owns the row, if one does.
    pub expert: Option<usize>,
    /// Packed row.
    pub row: usize,
    /// Column.
    pub column: usize,
    /// Bits and value found.
    pub got: (u16, f32),
    /// Bits and value expected.
    pub want: (u16, f32),
}

impl BitDifference {
    /// Whether nothing differs.
    pub fn is_none(&self) -> bool {
        self.differing == 0
    }
}

impl fmt::Display for BitDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} outputs differ", self.differing, self.compared)?;
        self.first.as_ref().map_or(Ok(()), |first| write!(f, "; first: {first}"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expert {
            Some(expert) => write!(f, "expert {expert}, ")?,
            None => write!(f, "a row of no expert, ")?,
        }
        let Self { row, column, got, want, .. } = self;
        write!(f, "row {row}, column {column}: got {:#06x} ({:e}), ", got.0, got.1)?;
        write!(f, "want {:#06x} ({:e})", want.0, want.1)
    }
}

/// Compares two outputs `[rows, n]` of a problem in every bit.
///
/// # Panics
/// If the two have different lengths.
pub fn compare_bits(problem: &HostProblem, got: &[u16], want: &[u16]) -> BitDifference {
    compare_matrices(problem.spec.n, problem.spec.output, &problem.routing, got, want)
}

/// Compares two outputs of `n` columns in every bit.
///
/// # Panics
/// If the two have different lengths.
pub fn compare_matrices(
    n: usize,
    output: ElementType,
    routing: &Routing,
    got: &[u16],
    want: &[u16],
) -> BitDifference {
    assert_eq!(got.len(), want.len(), "outputs of different size");
    let differing = got.iter().zip(want).filter(|(got, want)| got != want).count();
    let first = got.iter().zip(want).position(|(got, want)| got != want).map(|at| {
        let (row, column) = (at / n, at % n);
        let value = |bits| (bits, widen(bits, output));
        Difference {
            expert: routing.owners().get(row).copied().flatten(),
            row,
            column,
            got: value(got[at]),
            want: value(want[at]),
        }
    });
    BitDifference { compared: got.len(), differing, first }
}

/// Frobenius norm of the difference over that of `want`; 0 if both are zero.
pub fn relative_frobenius(got: impl IntoIterator<Item = f64>, want: &[f64]) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (got, want) in got.into_iter().zip(want) {
        difference += (got - want).powi(2);
        norm += want.powi(2);
    }
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

/// `1 - 2 xy / (xx + yy)`: how far two tensors are from being equal, the usual measure of FP8 kernels.
pub fn calc_diff(x: impl IntoIterator<Item = f64>, y: &[f64]) -> f64 {
    let (mut xy, mut squares) = (0.0, 0.0);
    for (x, y) in x.into_iter().zip(y) {
        xy += x * y;
        squares += x * x + y * y;
    }
    if squares == 0.0 { 0.0 } else { 1.0 - 2.0 * xy / squares }
}

/// Largest distance in representable numbers of the output type; NaN is far from everything but NaN.
pub fn max_ulp(got: &[u16], want: &[u16]) -> u32 {
    let place = |bits: u16| {
        let magnitude = i32::from(bits & 0x7FFF);
        if bits & 0x8000 == 0 { magnitude } else { -magnitude }
    };
    let distance = |(&got, &want): (&u16, &u16)| place(got).abs_diff(place(want));
    got.iter().zip(want).map(distance).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Spec;
    use crate::routing::Layout;

    #[test]
    fn the_first_difference_is_named() {
        let problem = Spec { layout: Layout::Gaps, total_rows: 8, ..Spec::PLAIN }.build();
        let want = vec![0x3F80; problem.rows() * 256];
        assert!(compare_bits(&problem, &want, &want).is_none());
        let mut got = want.clone();
        let row = problem.routing.rows_of(2).start;
        got[row * 256 + 7] = 0x3F81;
        got[row * 256 + 9] = 0;
        let report = compare_bits(&problem, &got, &want).to_string();
        let place = format!("expert 2, row {row}, column 7: got 0x3f81 (1.0078125e0), want 0x3f80");
        assert!(report.starts_with(&format!("2 of {} outputs differ", got.len())), "{report}");
        assert!(report.contains(&place), "{report}");
    }

    #[test]
    fn measures_are_zero_for_equal_and_known_for_simple_tensors() {
        let x = [3.0, 4.0];
        assert_eq!((relative_frobenius(x, &x), calc_diff(x, &x)), (0.0, 0.0));
        assert!((relative_frobenius([3.0, 4.5], &x) - 0.1).abs() < 1e-12);
        assert!((calc_diff([4.0, -3.0], &x) - 1.0).abs() < 1e-12);
        assert_eq!((relative_frobenius([0.0], &[0.0]), calc_diff([0.0], &[0.0])), (0.0, 0.0));
    }

    #[test]
    fn ulps_count_across_zero() {
        assert_eq!(max_ulp(&[0x0001, 0x3F80], &[0x8001, 0x3F82]), 2);
        assert_eq!(max_ulp(&[0x8000], &[0x0000]), 0);
        assert_eq!(max_ulp(&[], &[]), 0);
    }
}
