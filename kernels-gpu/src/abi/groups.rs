//! Group metadata: which rows of the packed activations belong to which expert.
//!
//! The two tables live on the device and the host never reads them, so a captured CUDA graph can be
//! replayed with other routing. The price is that nobody has checked them before a kernel runs: every
//! kernel passes each entry through [`Problem::group`], or with block scales [`ScaledProblem::group`], which
//! never yields a row outside the tensors.

// Lazy operators would be branches, see `Problem::group`.
#![allow(clippy::needless_bitwise_bool)]

use super::scale_atoms::{ROWS, padded_rows};

/// The bits of the status word that a kernel ORs in when the metadata breaks the contract.
///
/// The word is sticky: kernels only set bits, the caller clears it. 0 means that every group was used
/// as given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct GroupStatus(pub u32);

impl GroupStatus {
    /// Every group was used as given.
    pub const OK: Self = Self(0);
    /// A group had a negative number of rows; it was skipped.
    pub const NEGATIVE_ROWS: Self = Self(1 << 0);
    /// A group began at a negative row; it was skipped.
    pub const NEGATIVE_OFFSET: Self = Self(1 << 1);
    /// A group reached past the last packed row; it was skipped.
    pub const PAST_THE_END: Self = Self(1 << 2);
    /// A group named an N or K other than the launch's; it was skipped.
    pub const WRONG_SHAPE: Self = Self(1 << 3);
    /// Two groups share rows; both were computed, and the shared rows hold either result.
    pub const OVERLAP: Self = Self(1 << 4);
    /// The scales of a group began at a negative row, or at one that is not a multiple of 128; it was skipped.
    pub const SCALE_OFFSET: Self = Self(1 << 5);
    /// The scales of a group, its last 128 rows completed, reached past the last scale row; it was skipped.
    pub const SCALES_PAST_THE_END: Self = Self(1 << 6);
    /// Two groups share scale rows that are written; the shared rows hold either result.
    pub const SCALES_OVERLAP: Self = Self(1 << 7);

    /// Whether every bit of `other` is set in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing was wrong.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The part of a launch that every group shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Rows of the packed activations and of the output.
    pub rows: u32,
    /// Columns of the output.
    pub n: u32,
    /// Elements of the reduction.
    pub k: u32,
}

/// The rows of one expert, already proven to lie inside the packed tensors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// First packed row.
    pub first_row: u32,
    /// Number of rows; 0 for an expert without work and for one whose entry was refused.
    pub rows: u32,
    /// Why the entry was refused, or [`GroupStatus::OK`].
    pub status: GroupStatus,
}

impl Problem {
    /// Judges one entry of the two tables: `size` is the expert's `(M, N, K)`, `offset` its first row.
    ///
    /// An expert with M = 0 is ordinary, whatever its other fields hold. A refused entry has no rows.
    ///
    /// One expression without an early return: an assembler that sees one moves the loads of the other fields behind
    /// it, and they then wait one after the other.
    #[inline(always)]
    pub const fn group(self, size: [i32; 3], offset: i32) -> Group {
        let m = size[0];
        let bad = self.faults(size, offset);
        let kept = ((m != 0) & (bad == 0)) as u32;
        Group {
            first_row: kept * offset as u32,
            rows: kept * m as u32,
            status: GroupStatus(bits(m != 0, GroupStatus(bad))),
        }
    }

    /// The status bits that [`group`](Self::group) gives an entry with rows, without a branch.
    #[inline(always)]
    const fn faults(self, [m, n, k]: [i32; 3], offset: i32) -> u32 {
        let negative = bits(m < 0, GroupStatus::NEGATIVE_ROWS)
            | bits(offset < 0, GroupStatus::NEGATIVE_OFFSET);
        // Both are below 2^31 once they are not negative, so the sum does not wrap.
        let end = (offset as u32).wrapping_add(m as u32);
        let past = bits((negative == 0) & (end > self.rows), GroupStatus::PAST_THE_END);
        let other = (n as u32 != self.n) | (k as u32 != self.k);
        negative | past | bits(other, GroupStatus::WRONG_SHAPE)
    }
}

/// The part of a launch with block scales that every group shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScaledProblem {
    /// Rows, columns and reduction.
    pub problem: Problem,
    /// Rows of the packed scales; a multiple of 128.
    pub scale_rows: u32,
}

/// The rows of one expert and of its scales, already proven to lie inside the packed tensors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScaledGroup {
    /// The rows.
    pub group: Group,
    /// First scale row, a multiple of 128; 0 for a group without rows.
    pub first_scale_row: u32,
}

impl ScaledProblem {
    /// Judges one entry of the three tables: as [`Problem::group`], and `scale_offset` is the expert's first
    /// scale row. A refused entry has no rows.
    ///
    /// Without an early return, see [`Problem::group`].
    #[inline(always)]
    pub const fn group(self, size: [i32; 3], offset: i32, scale_offset: i32) -> ScaledGroup {
        let m = size[0];
        let first = scale_offset as u32;
        let odd = (scale_offset < 0) | !first.is_multiple_of(ROWS);
        let bad = self.problem.faults(size, offset) | bits(odd, GroupStatus::SCALE_OFFSET);
        let scales_end = first as u64 + padded_rows(m as u32 as u64);
        let scales_past = bits(
            (bad == 0) & (scales_end > self.scale_rows as u64),
            GroupStatus::SCALES_PAST_THE_END,
        );
        let bad = bad | scales_past;
        let has_rows = (m != 0) & (bad == 0);
        let kept = has_rows as u32;
        let status = GroupStatus(bits(m != 0, GroupStatus(bad)));
        ScaledGroup {
            group: Group { first_row: kept * offset as u32, rows: kept * m as u32, status },
            first_scale_row: kept * first,
        }
    }
}

/// The bits, if they are deserved.
#[inline(always)]
const fn bits(deserved: bool, status: GroupStatus) -> u32 {
    deserved as u32 * status.0
}

impl ScaledGroup {
    /// Whether two groups share a scale row, the padding of each included.
    #[inline(always)]
    pub const fn scales_overlap(self, other: Self) -> bool {
        let (rows, others) =
            (padded_rows(self.group.rows as u64), padded_rows(other.group.rows as u64));
        let (first, second) = (self.first_scale_row as u64, other.first_scale_row as u64);
        rows != 0 && others != 0 && first < second + others && second < first + rows
    }
}

impl Group {
    /// Whether two groups share a row.
    #[inline(always)]
    pub const fn overlaps(self, other: Self) -> bool {
        self.rows != 0
            && other.rows != 0
            && self.first_row < other.first_row + other.rows
            && other.first_row < self.first_row + self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Problem = Problem { rows: 100, n: 256, k: 128 };

    #[test]
    fn an_ordinary_group_is_used_as_given() {
        let g = P.group([40, 256, 128], 60);
        assert_eq!(g, Group { first_row: 60, rows: 40, status: GroupStatus::OK });
    }

    #[test]
    fn an_empty_group_is_ordinary_whatever_else_it_says() {
        for offset in [i32::MIN, -1, 0, 100, i32::MAX] {
            assert_eq!(P.group([0, -5, 7], offset).status, GroupStatus::OK);
            assert_eq!(P.group([0, -5, 7], offset).rows, 0);
        }
    }

    #[test]
    fn hostile_groups_have_no_rows_and_say_why() {
        let cases = [
            ([-1, 256, 128], 0, GroupStatus::NEGATIVE_ROWS),
            ([i32::MIN, 256, 128], 0, GroupStatus::NEGATIVE_ROWS),
            ([1, 256, 128], -1, GroupStatus::NEGATIVE_OFFSET),
            ([1, 256, 128], 100, GroupStatus::PAST_THE_END),
            ([101, 256, 128], 0, GroupStatus::PAST_THE_END),
            ([i32::MAX, 256, 128], i32::MAX, GroupStatus::PAST_THE_END),
            ([1, 128, 128], 0, GroupStatus::WRONG_SHAPE),
            ([1, 256, 256], 0, GroupStatus::WRONG_SHAPE),
        ];
        for (size, offset, status) in cases {
            let g = P.group(size, offset);
            assert_eq!((g.rows, g.status), (0, status), "{size:?} at {offset}");
        }
        let both = P.group([-1, 256, 1], -1).status;
        assert!(both.contains(GroupStatus::NEGATIVE_ROWS.union(GroupStatus::WRONG_SHAPE)));
    }

    #[test]
    fn no_entry_reaches_outside_the_tensors() {
        let edge = [i32::MIN, -129, -128, -1, 0, 1, 99, 100, 101, 128, i32::MAX];
        for m in edge {
            for offset in edge {
                let g = P.group([m, 256, 128], offset);
                assert!(g.first_row as u64 + g.rows as u64 <= 100, "{m} rows at {offset}");
            }
        }
    }

    #[test]
    fn overlap_is_symmetric_and_ignores_empty_groups() {
        let g = |first_row, rows| Group { first_row, rows, status: GroupStatus::OK };
        assert!(g(0, 10).overlaps(g(9, 1)) && g(9, 1).overlaps(g(0, 10)));
        assert!(!g(0, 10).overlaps(g(10, 5)) && !g(10, 5).overlaps(g(0, 10)));
        assert!(!g(0, 10).overlaps(g(5, 0)));
    }

    const S: ScaledProblem = ScaledProblem { problem: P, scale_rows: 256 };

    #[test]
    fn a_group_with_scales_is_used_as_given() {
        let g = S.group([40, 256, 128], 60, 128);
        assert_eq!((g.group, g.first_scale_row), (P.group([40, 256, 128], 60), 128));
        assert_eq!(S.group([0, 0, 0], 5, -7).group.status, GroupStatus::OK);
    }

    #[test]
    fn the_rows_are_judged_alike_with_and_without_scales() {
        let edge = [i32::MIN, -128, -1, 0, 1, 99, 100, 101, 128, 256, i32::MAX];
        let free = ScaledProblem { scale_rows: u32::MAX / 128 * 128, ..S };
        for m in edge {
            for n in edge {
                for k in edge {
                    for offset in edge {
                        let with = free.group([m, n, k], offset, 0);
                        assert_eq!(with.group, P.group([m, n, k], offset), "{m} {n} {k} {offset}");
                    }
                }
            }
        }
    }

    #[test]
    fn scales_outside_the_tensor_leave_no_rows() {
        let size = [40, 256, 128];
        for (size, scale_offset, status) in [
            (size, -128, GroupStatus::SCALE_OFFSET),
            (size, 64, GroupStatus::SCALE_OFFSET),
            (size, i32::MIN, GroupStatus::SCALE_OFFSET),
            (size, i32::MAX, GroupStatus::SCALE_OFFSET),
            (size, 256, GroupStatus::SCALES_PAST_THE_END),
            (size, i32::MAX / 128 * 128, GroupStatus::SCALES_PAST_THE_END),
            ([-1, 256, 128], 0, GroupStatus::NEGATIVE_ROWS),
            ([-1, 256, 128], 1, GroupStatus::NEGATIVE_ROWS.union(GroupStatus::SCALE_OFFSET)),
        ] {
            let g = S.group(size, 0, scale_offset);
            assert_eq!((g.group.rows, g.group.status), (0, status), "{size:?} {scale_offset}");
            assert_eq!(g.first_scale_row, 0);
        }
        let wide = ScaledProblem { scale_rows: 128, ..S };
        assert_eq!(wide.group([100, 256, 128], 0, 0).group.rows, 100);
    }

    #[test]
    fn scales_overlap_where_their_padding_does() {
        let g = |rows, first_scale_row| ScaledGroup {
            group: Group { first_row: 0, rows, status: GroupStatus::OK },
            first_scale_row,
        };
        assert!(g(1, 0).scales_overlap(g(1, 0)) && g(129, 0).scales_overlap(g(1, 128)));
        assert!(!g(128, 0).scales_overlap(g(1, 128)) && !g(0, 0).scales_overlap(g(1, 0)));
    }
}
