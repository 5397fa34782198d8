//! Where the scales of each expert lie: a third table beside those of [`crate::routing`].

use crate::rng::Rng;
use crate::routing::{Layout, Routing, Tables};
use expert_gemm_kernels::abi::scale_atoms::ROWS;

/// A routing with the place of each expert's scales. They begin at multiples of 128 scale rows, and take whole
/// multiples of 128.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MxRouting {
    /// The rows.
    pub rows: Routing,
    /// First scale row of each expert.
    pub first_scale_row: Vec<u32>,
    /// Rows of the packed scales, those of nobody included.
    pub scale_rows: u32,
}

impl MxRouting {
    /// Lays the scales out: the same layouts as for rows, in whole atoms of 128 scale rows.
    pub fn laid_out(rows: Routing, layout: Layout, rng: &mut Rng) -> Self {
        let atoms = rows.rows_per_expert.iter().map(|rows| rows.div_ceil(ROWS)).collect();
        let atoms = Routing::laid_out(atoms, layout, rng);
        Self {
            rows,
            first_scale_row: atoms.first_row.iter().map(|atom| atom * ROWS).collect(),
            // Some, so that experts without rows are no special case.
            scale_rows: atoms.rows.max(1) * ROWS,
        }
    }

    /// The usual layout: the experts' scales one after the other.
    pub fn packed(rows: Routing) -> Self {
        Self::laid_out(rows, Layout::Packed, &mut Rng::new(0))
    }

    /// The same with experts without rows behind the others, until there are so many.
    #[must_use]
    pub fn with_experts(mut self, experts: usize) -> Self {
        self.rows = self.rows.with_experts(experts);
        self.first_scale_row.resize(self.rows.experts(), 0);
        self
    }

    /// The tables as the kernels take them.
    pub fn tables(&self, n: u32, k: u32) -> MxTables {
        MxTables {
            groups: self.rows.tables(n, k),
            scale_offsets: self.first_scale_row.iter().map(|&row| row as i32).collect(),
        }
    }
}

/// The three tables of group metadata, possibly hostile.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MxTables {
    /// Sizes and offsets.
    pub groups: Tables,
    /// First scale row of each expert.
    pub scale_offsets: Vec<i32>,
}

impl MxTables {
    /// Breaks entries as [`Tables::hostile`] does, and about a third of the scale offsets: negative and extreme
    /// ones, odd ones, scales past the end, and those of other experts.
    #[must_use]
    pub fn hostile(self, rows: u32, scale_rows: u32, rng: &mut Rng) -> Self {
        let groups = self.groups.hostile(rows, rng);
        let mut scale_offsets = self.scale_offsets.clone();
        let (scale_rows, atom) = (scale_rows as i32, ROWS as i32);
        let extremes = [i32::MIN, i32::MIN + atom, -atom, -1, i32::MAX - atom + 1, i32::MAX];
        for (offset, size) in scale_offsets.iter_mut().zip(&groups.sizes) {
            if !rng.one_in(3) {
                continue;
            }
            let padded = size[0].clamp(1, 1 << 20).unsigned_abs().next_multiple_of(ROWS) as i32;
            *offset = match rng.below(5) {
                0 => rng.pick(&extremes),
                1 => offset.wrapping_add(rng.pick(&[1, 16, 64, atom - 1])),
                2 => scale_rows - padded + atom * rng.between(1, 3) as i32,
                3 => scale_rows - padded,
                _ => rng.pick(&self.scale_offsets),
            };
        }
        Self { groups, scale_offsets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm_kernels::abi::{GroupStatus, Problem, ScaledProblem};

    #[test]
    fn scales_never_overlap_and_stay_inside() {
        let rng = &mut Rng::new(8);
        for layout in Layout::ALL {
            let rows = Routing::packed(vec![0, 1, 127, 128, 129, 300, 0, 40]);
            let routing = MxRouting::laid_out(rows, layout, rng);
            let mut used = vec![false; (routing.scale_rows / ROWS) as usize];
            for (rows, first) in routing.rows.rows_per_expert.iter().zip(&routing.first_scale_row) {
                assert!(first.is_multiple_of(ROWS));
                for atom in 0..rows.div_ceil(ROWS) {
                    let used = &mut used[(first / ROWS + atom) as usize];
                    assert!(!core::mem::replace(used, true), "{layout}");
                }
            }
            let whole = used.iter().all(|&used| used);
            let packed = matches!(layout, Layout::Packed | Layout::Permuted);
            assert!(whole || !packed, "{layout}");
        }
    }

    #[test]
    fn hostile_tables_break_every_rule_of_scales() {
        let rng = &mut Rng::new(9);
        let problem = Problem { rows: 160, n: 256, k: 128 };
        let routing = MxRouting::packed(Routing::packed(vec![10; 16]));
        let (mut seen, mut overlaps) = (GroupStatus::OK, 0);
        for _ in 0..20 {
            let tables = routing.tables(256, 128).hostile(160, routing.scale_rows, rng);
            let shape = ScaledProblem { problem, scale_rows: routing.scale_rows };
            let groups: Vec<_> = (0..16)
                .map(|e| {
                    let MxTables { groups, scale_offsets } = &tables;
                    shape.group(groups.sizes[e], groups.offsets[e], scale_offsets[e])
                })
                .collect();
            for (e, group) in groups.iter().enumerate() {
                seen = seen.union(group.group.status);
                overlaps +=
                    groups[..e].iter().filter(|&other| group.scales_overlap(*other)).count();
            }
        }
        let both = GroupStatus::SCALE_OFFSET.union(GroupStatus::SCALES_PAST_THE_END);
        assert!(seen.contains(both) && overlaps > 0, "{seen:?}, {overlaps} overlaps");
    }
}
