//! What the contract says of an output, for any group tables, hostile ones included.

use crate::metrics::{BitDifference, compare_bits};
use crate::problem::HostProblem;
use crate::routing::Tables;
use crate::wgmma_model;
use expert_gemm_kernels::abi::{Group, GroupStatus, Problem};

/// The verdict of the contract on a pair of tables: which experts are served, and what is reported.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Each expert's rows after judgement.
    pub groups: Vec<Group>,
    /// What the status word must hold.
    pub status: GroupStatus,
    /// For each packed row, the experts that may have written it.
    pub writers: Vec<Vec<usize>>,
}

impl Judged {
    /// Judges the tables for the shapes of a problem.
    pub fn new(problem: &HostProblem, tables: &Tables) -> Self {
        let shape = Problem {
            rows: problem.rows() as u32,
            n: problem.spec.n as u32,
            k: problem.spec.k as u32,
        };
        let entries = tables.sizes.iter().zip(&tables.offsets);
        let groups = entries.map(|(&size, &offset)| shape.group(size, offset)).collect();
        Self::of_groups(groups, problem.rows())
    }

    /// The verdict on groups that were judged one by one.
    pub fn of_groups(groups: Vec<Group>, rows: usize) -> Self {
        let mut writers = vec![Vec::new(); rows];
        for (expert, group) in groups.iter().enumerate() {
            for writers in &mut writers[group.first_row as usize..][..group.rows as usize] {
                writers.push(expert);
            }
        }
        let mut status = groups.iter().fold(GroupStatus::OK, |all, g| all.union(g.status));
        if writers.iter().any(|experts: &Vec<usize>| experts.len() > 1) {
            status = status.union(GroupStatus::OVERLAP);
        }
        Self { groups, status, writers }
    }

    /// Compares an output with the bit model: rows of one expert in every bit, rows of several against each
    /// of them, rows of none against `untouched`.
    pub fn compare(&self, problem: &HostProblem, got: &[u16], untouched: u16) -> BitDifference {
        let model = |pairs: &[(usize, usize)]| wgmma_model::rows(problem, pairs);
        compare_bits(problem, got, &self.expected(problem.spec.n, got, untouched, model))
    }

    /// What must be found, where `model` computes rows that are given with their experts. Where several experts
    /// write a row, any of theirs is right: `got` picks among them.
    pub fn expected(
        &self,
        n: usize,
        got: &[u16],
        untouched: u16,
        model: impl FnOnce(&[(usize, usize)]) -> Vec<u16>,
    ) -> Vec<u16> {
        let pairs: Vec<(usize, usize)> = self
            .writers
            .iter()
            .enumerate()
            .flat_map(|(row, experts)| experts.iter().map(move |&expert| (expert, row)))
            .collect();
        let modelled = model(&pairs);
        let mut want = vec![untouched; got.len()];
        for (modelled, &(expert, row)) in modelled.chunks(n).zip(&pairs) {
            let columns = row * n..(row + 1) * n;
            let is_first = self.writers[row].first() == Some(&expert);
            let cells = want[columns.clone()].iter_mut().zip(&got[columns]);
            for ((want, &got), &modelled) in cells.zip(modelled) {
                // Once one of the writers explains an output, no other is asked.
                if is_first || *want != got {
                    *want = modelled;
                }
            }
        }
        want
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Spec;

    #[test]
    fn an_ordinary_routing_is_ok_and_its_model_passes() {
        let problem = Spec { total_rows: 12, ..Spec::PLAIN }.build();
        let judged = Judged::new(&problem, &problem.tables());
        assert_eq!(judged.status, GroupStatus::OK);
        let mut output = wgmma_model::grouped(&problem, 0xFFFF);
        assert!(judged.compare(&problem, &output, 0xFFFF).is_none());
        output[5] ^= 1;
        assert_eq!(judged.compare(&problem, &output, 0xFFFF).differing, 1);
    }

    #[test]
    fn either_writer_of_a_shared_row_is_accepted_and_untouched_is_not() {
        let problem = Spec { experts: 2, total_rows: 4, ..Spec::PLAIN }.build();
        let mut tables = problem.tables();
        tables.offsets[1] = 1; // Rows 0, 1 and rows 1, 2; row 3 is nobody's.
        let judged = Judged::new(&problem, &tables);
        assert_eq!(judged.status, GroupStatus::OVERLAP);
        assert_eq!(judged.writers, [vec![0], vec![0, 1], vec![1], vec![]]);
        for shared in [0, 1] {
            let mut output = wgmma_model::rows(&problem, &[(0, 0), (shared, 1), (1, 2)]);
            output.resize(4 * 256, 7);
            assert!(judged.compare(&problem, &output, 7).is_none(), "expert {shared} last");
            output[256] = 7;
            assert_eq!(judged.compare(&problem, &output, 7).differing, 1);
        }
    }
}
