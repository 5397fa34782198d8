//! The verdict of the contract on three tables: which experts are served, and what is reported.

use super::routing::MxTables;
use crate::judge::Judged;
use crate::routing::Tables;
use expert_gemm_kernels::abi::scale_atoms::{ROWS, padded_rows};
use expert_gemm_kernels::abi::{Group, GroupStatus, ScaledGroup, ScaledProblem};

/// What a kernel does with the scales.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scales {
    /// It reads them: groups may share them.
    Read,
    /// It writes them: groups that share them are reported.
    Written,
}

/// The verdict.
#[derive(Clone, Debug)]
pub struct MxJudged {
    /// Each expert's rows and scales after judgement.
    pub groups: Vec<ScaledGroup>,
    /// The verdict on rows. Its status covers the scales as well.
    pub rows: Judged,
    /// For each 128 scale rows, the experts whose scales lie there.
    pub scale_owners: Vec<Vec<usize>>,
}

impl MxJudged {
    /// Judges the tables. Without packed rows nothing is launched, and nobody looks at them.
    pub fn new(shape: ScaledProblem, tables: &MxTables, scales: Scales) -> Self {
        let nothing = MxTables::default();
        let tables = if shape.problem.rows == 0 { &nothing } else { tables };
        let MxTables { groups: Tables { sizes, offsets }, scale_offsets } = tables;
        let entries = sizes.iter().zip(offsets).zip(scale_offsets);
        let groups: Vec<ScaledGroup> = entries
            .map(|((&size, &offset), &scale_offset)| shape.group(size, offset, scale_offset))
            .collect();
        let rows: Vec<Group> = groups.iter().map(|group| group.group).collect();
        let mut rows = Judged::of_groups(rows, shape.problem.rows as usize);
        let mut scale_owners = vec![Vec::new(); (shape.scale_rows / ROWS) as usize];
        for (expert, group) in groups.iter().enumerate() {
            let first = (group.first_scale_row / ROWS) as usize;
            let atoms = padded_rows(u64::from(group.group.rows)) / u64::from(ROWS);
            for owners in &mut scale_owners[first..first + atoms as usize] {
                owners.push(expert);
            }
        }
        let shared = scale_owners.iter().any(|owners: &Vec<usize>| owners.len() > 1);
        if shared && scales == Scales::Written {
            rows.status = rows.status.union(GroupStatus::SCALES_OVERLAP);
        }
        Self { groups, rows, scale_owners }
    }

    /// What the status word must hold.
    pub const fn status(&self) -> GroupStatus {
        self.rows.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm_kernels::abi::Problem;

    const SHAPE: ScaledProblem =
        ScaledProblem { problem: Problem { rows: 300, n: 0, k: 128 }, scale_rows: 512 };

    #[test]
    fn shared_scales_are_reported_only_where_they_are_written() {
        let tables = MxTables {
            groups: Tables { sizes: vec![[129, 0, 128], [1, 0, 128]], offsets: vec![0, 200] },
            scale_offsets: vec![0, 128],
        };
        let written = MxJudged::new(SHAPE, &tables, Scales::Written);
        assert_eq!(written.status(), GroupStatus::SCALES_OVERLAP);
        assert_eq!(written.scale_owners, [vec![0], vec![0, 1], vec![], vec![]]);
        assert_eq!(MxJudged::new(SHAPE, &tables, Scales::Read).status(), GroupStatus::OK);
    }

    #[test]
    fn a_group_with_refused_scales_writes_no_rows() {
        let tables = MxTables {
            groups: Tables { sizes: vec![[10, 0, 128]; 2], offsets: vec![0, 0] },
            scale_offsets: vec![0, 64],
        };
        let judged = MxJudged::new(SHAPE, &tables, Scales::Written);
        assert_eq!(judged.status(), GroupStatus::SCALE_OFFSET);
        assert_eq!(judged.rows.writers[5], [0]);
        assert_eq!(judged.scale_owners[0], [0]);
    }
}
