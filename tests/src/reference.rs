//! The exact result, up to the rounding of `f64`, from the dequantised operands.

use crate::e4m3;
use crate::problem::HostProblem;
use crate::wgmma_model::BLOCK;
use rayon::prelude::*;
use std::sync::LazyLock;

const LANES: usize = 8;

static DECODE: LazyLock<[f64; 256]> =
    LazyLock::new(|| core::array::from_fn(|code| f64::from(e4m3::decode(code as u8))));

/// The outputs of some packed rows, given with their experts: `[rows.len(), n]`, in the order given.
///
/// A sum over one scale block is exact: products are multiples of 2^-18 below 2^18.
pub fn rows(problem: &HostProblem, rows: &[(usize, usize)]) -> Vec<f64> {
    let n = problem.spec.n;
    let mut outputs = vec![0.0; rows.len() * n];
    let decoded: Vec<Vec<f64>> = rows.iter().map(|&(_, row)| decode(problem.a_row(row))).collect();
    // Tasks of one column block each, so that few rows still use all cores.
    outputs.par_chunks_mut(BLOCK).enumerate().for_each(|(task, outputs)| {
        let (index, column) = (task / (n / BLOCK), task % (n / BLOCK) * BLOCK);
        let (expert, row) = rows[index];
        let scales_a = problem.scales_a_row(row);
        let scales_b = problem.scales_b_row(expert, column);
        for (i, output) in outputs.iter_mut().enumerate() {
            let a = decoded[index].chunks_exact(BLOCK);
            let b = problem.b_rows(expert, column + i, 1).chunks_exact(BLOCK);
            let scales = scales_a.iter().zip(scales_b);
            *output = a
                .zip(b)
                .zip(scales)
                .map(|((a, b), (&sa, &sb))| block(a, b) * (f64::from(sa) * f64::from(sb)))
                .sum();
        }
    });
    outputs
}

/// Every output, `[rows, n]`; `None` in rows of nobody.
pub fn grouped(problem: &HostProblem) -> Vec<Option<f64>> {
    let owners = problem.routing.owners();
    let owned: Vec<(usize, usize)> = owners
        .iter()
        .enumerate()
        .filter_map(|(row, owner)| owner.map(|expert| (expert, row)))
        .collect();
    let computed = rows(problem, &owned);
    let mut outputs = vec![None; problem.rows() * problem.spec.n];
    for (from, (_, row)) in computed.chunks(problem.spec.n).zip(owned) {
        let to = &mut outputs[row * problem.spec.n..][..problem.spec.n];
        for (to, &from) in to.iter_mut().zip(from) {
            *to = Some(from);
        }
    }
    outputs
}

fn decode(codes: &[u8]) -> Vec<f64> {
    codes.iter().map(|&code| DECODE[code as usize]).collect()
}

fn block(a: &[f64], codes: &[u8]) -> f64 {
    let table = &*DECODE;
    let mut sums = [0.0; LANES];
    for (a, codes) in a.chunks_exact(LANES).zip(codes.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * table[codes[lane] as usize];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Spec;
    use crate::routing::Layout;

    #[test]
    fn agrees_with_the_sum_written_out() {
        let spec = Spec { layout: Layout::Gaps, total_rows: 9, ..Spec::PLAIN };
        let problem = spec.build();
        let got = grouped(&problem);
        for (row, owner) in problem.routing.owners().into_iter().enumerate() {
            for column in [0, 1, 127, 128, 255] {
                let want = owner.map(|expert| {
                    let b = problem.b_rows(expert, column, 1);
                    let value = |code: u8| f64::from(e4m3::decode(code));
                    (0..spec.k)
                        .map(|i| {
                            let sa = f64::from(problem.scales_a_row(row)[i / BLOCK]);
                            let sb = f64::from(problem.scales_b_row(expert, column)[i / BLOCK]);
                            sa * sb * value(problem.a_row(row)[i]) * value(b[i])
                        })
                        .sum::<f64>()
                });
                let got = got[row * spec.n + column];
                match (got, want) {
                    (Some(got), Some(want)) => assert!((got - want).abs() <= 1e-9 * want.abs()),
                    _ => assert_eq!(got, want),
                }
            }
        }
    }
}
