//! The group tables as disjoint runs of rows.

use crate::abi::{Group, GroupStatus, Problem};

/// Most rows of a segment: what one task computes against a block of weights that it decodes once.
pub(super) const MAX_SEGMENT_ROWS: usize = 96;

/// Rows of one expert. No two segments share a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub(super) expert: usize,
    pub(super) first_row: usize,
    pub(super) rows: usize,
}

const NOBODY: u32 = u32::MAX;

/// The judge of group entries. `validate` of every problem bounds the three below 2^31.
pub(crate) const fn problem(rows: u64, n: u64, k: u64) -> Problem {
    Problem { rows: rows as u32, n: n as u32, k: k as u32 }
}

/// Splits the rows among the experts.
///
/// Where groups overlap, the later one owns the rows.
pub(super) fn segments(
    rows: u64,
    groups: impl Iterator<Item = Group>,
) -> (Vec<Segment>, GroupStatus) {
    let mut status = GroupStatus::OK;
    let mut owners = vec![NOBODY; rows as usize];
    for (expert, group) in groups.enumerate() {
        status = status.union(group.status);
        let first = group.first_row as usize;
        let rows = owners.get_mut(first..first + group.rows as usize).unwrap_or_default();
        for owner in rows {
            if *owner != NOBODY {
                status = status.union(GroupStatus::OVERLAP);
            }
            *owner = expert as u32;
        }
    }
    let mut segments = Vec::new();
    let mut first_row = 0;
    for run in owners.chunk_by(|a, b| a == b) {
        if let Some(&owner) = run.first().filter(|&&owner| owner != NOBODY) {
            split(owner as usize, first_row, run.len(), &mut segments);
        }
        first_row += run.len();
    }
    (segments, status)
}

/// Cuts a run of rows into segments of nearly equal length.
fn split(expert: usize, mut first_row: usize, rows: usize, segments: &mut Vec<Segment>) {
    let mut left = rows;
    for parts in (1..=rows.div_ceil(MAX_SEGMENT_ROWS)).rev() {
        let rows = left.div_ceil(parts);
        segments.push(Segment { expert, first_row, rows });
        first_row += rows;
        left -= rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group((first_row, rows): (u32, u32)) -> Group {
        Group { first_row, rows, status: GroupStatus::OK }
    }

    #[test]
    fn segments_cover_each_owned_row_once() {
        let groups = [(0, 130), (0, 0), (130, 3), (135, 1)].map(group);
        let (segments, status) = segments(140, groups.into_iter());
        assert_eq!(status, GroupStatus::OK);
        let spans: Vec<_> = segments.iter().map(|s| (s.expert, s.first_row, s.rows)).collect();
        assert_eq!(spans, [(0, 0, 65), (0, 65, 65), (2, 130, 3), (3, 135, 1)]);
    }

    #[test]
    fn the_later_group_owns_shared_rows() {
        let (segments, status) = segments(10, [(0, 6), (4, 4)].map(group).into_iter());
        assert_eq!(status, GroupStatus::OVERLAP);
        assert_eq!(segments.len(), 2);
        assert_eq!(segments[0], Segment { expert: 0, first_row: 0, rows: 4 });
        assert_eq!(segments[1], Segment { expert: 1, first_row: 4, rows: 4 });
    }
}
