//! Every output bit of a grouped MXFP8 product, for each family of kernels.

use super::blackwell::fast as blackwell;
use super::gemm_problem::{MxProblem, MxRow};
use super::hopper;
use super::routing::MxTables;
use crate::metrics::{BitDifference, compare_matrices};
use crate::narrow::narrow;
use crate::sweep::sweep;
use expert_gemm_kernels::abi::Arch;

/// The outputs of some rows: bits, `[rows.len(), n]`, in the order given.
pub fn rows(problem: &MxProblem, arch: Arch, rows: &[MxRow]) -> Vec<u16> {
    let (n, k, to) = (problem.spec.n, problem.spec.k, problem.spec.output);
    let experts: Vec<Option<usize>> = rows.iter().map(|row| Some(row.expert)).collect();
    let operands = |place: usize| {
        let MxRow { row, scale_row, .. } = rows[place];
        (problem.a_row(row), problem.scales_a_row(scale_row))
    };
    let narrowed =
        |tile: Vec<[f32; _]>| tile.into_iter().map(|row| row.map(|x| narrow(x, to))).collect();
    let weights = |expert: usize, column: usize| {
        let columns = column..column + crate::sweep::COLUMNS;
        (problem.b_rows(expert, columns.clone()), problem.scales_b_rows(expert, columns))
    };
    match arch {
        Arch::Sm90a => {
            let decode = |place| {
                let (codes, scales) = operands(place);
                hopper::Activations::new(codes, scales)
            };
            sweep(n, &experts, 0, decode, |expert, column, rows| {
                let (codes, scales) = weights(expert, column);
                narrowed(hopper::tile(rows, codes, scales, k))
            })
        }
        Arch::Sm100f => {
            let decode = |place| {
                let (codes, scales) = operands(place);
                blackwell::Row::decode(codes, scales)
            };
            sweep(n, &experts, 0, decode, |expert, column, rows| {
                let (codes, scales) = weights(expert, column);
                let columns = blackwell::Columns::decode(codes, scales, k);
                narrowed(rows.iter().map(|row| blackwell::chain(row, &columns)).collect())
            })
        }
    }
}

/// Compares an output with the model, for any tables: rows of one expert in every bit, rows of several against each of
/// them, rows of none against `untouched`.
pub fn compare(
    problem: &MxProblem,
    arch: Arch,
    tables: &MxTables,
    got: &[u16],
    untouched: u16,
) -> BitDifference {
    let judged = problem.judge(tables);
    let model = |pairs: &[(usize, usize)]| {
        let place = |&(expert, row): &(usize, usize)| {
            let group = judged.groups[expert];
            let local = row - group.group.first_row as usize;
            MxRow { expert, row, scale_row: group.first_scale_row as usize + local }
        };
        rows(problem, arch, &pairs.iter().map(place).collect::<Vec<_>>())
    };
    let n = problem.spec.n;
    let want = judged.rows.expected(n, got, untouched, model);
    compare_matrices(n, problem.spec.output, &problem.routing.rows, got, &want)
}

/// Whether a device of this compute capability follows the model of one family or of the other.
pub const fn family(capability: (u32, u32)) -> Arch {
    if Arch::Sm90a.runs_on(capability) { Arch::Sm90a } else { Arch::Sm100f }
}

#[cfg(test)]
mod tests {
    use super::super::blackwell::scalar;
    use super::super::gemm_problem::MxSpec;
    use super::super::scale_values::ScaleValues;
    use super::*;
    use crate::routing::Layout;

    const ARCHES: [Arch; 2] = [Arch::Sm90a, Arch::Sm100f];

    fn one(problem: &MxProblem, arch: Arch, at: MxRow, column: usize) -> u16 {
        let (a, sa) = (problem.a_row(at.row), problem.scales_a_row(at.scale_row));
        let columns = column..column + 1;
        let b = problem.b_rows(at.expert, columns.clone());
        let sb = problem.scales_b_rows(at.expert, columns);
        let sum = match arch {
            Arch::Sm90a => hopper::output(a, b, sa, sb),
            Arch::Sm100f => scalar::chain(a, b, sa, sb),
        };
        narrow(sum, problem.spec.output)
    }

    #[test]
    fn whole_problems_agree_with_the_plain_models() {
        for seed in 0..40 {
            let problem = MxSpec::random(seed, 2000, &ScaleValues::BF16).build();
            let (n, owned) = (problem.spec.n, problem.owned());
            for arch in ARCHES {
                let got = rows(&problem, arch, &owned);
                for (got, &at) in got.chunks(n).zip(&owned) {
                    for column in (0..n).step_by(if n > 128 { 37 } else { 11 }) {
                        let want = one(&problem, arch, at, column);
                        assert_eq!(got[column], want, "{at:?} column {column} of {problem}");
                    }
                }
            }
        }
    }

    #[test]
    fn any_bit_of_any_row_is_compared() {
        let layouts = [Layout::Gaps, Layout::PermutedGaps];
        let problem = MxSpec { layouts, total_rows: 12, n: 128, ..MxSpec::PLAIN }.build();
        for arch in ARCHES {
            let mut output = vec![0xFFFF; problem.rows() * 128];
            let owned = problem.owned();
            for (from, at) in rows(&problem, arch, &owned).chunks(128).zip(&owned) {
                output[at.row * 128..][..128].copy_from_slice(from);
            }
            let compared =
                |output: &[u16]| compare(&problem, arch, &problem.tables(), output, 0xFFFF);
            assert!(compared(&output).is_none());
            for at in (0..output.len()).step_by(97) {
                output[at] ^= 1;
                assert_eq!(compared(&output).differing, 1);
                output[at] ^= 1;
            }
        }
    }

    #[test]
    fn a_nan_scale_poisons_its_outputs_and_no_others() {
        let mut problem = MxSpec { experts: 2, total_rows: 6, ..MxSpec::PLAIN }.build();
        problem.scales_a[(128 + 1) * 8 + 3] = 0xFF; // Expert 1, row 4.
        problem.scales_b[77 * 8 + 7] = 0xFF; // Expert 0, column 77.
        for arch in ARCHES {
            let got = rows(&problem, arch, &problem.owned());
            for (i, &bits) in got.iter().enumerate() {
                let (row, column) = (i / 256, i % 256);
                let poisoned = row == 4 || row < 3 && column == 77;
                assert_eq!(bits == 0x7FFF, poisoned, "row {row}, column {column}");
            }
        }
    }
}
