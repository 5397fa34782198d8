//! How the rows of a group are cut into the items that one warp quantises at a time.
//!
//! An item is at most 32 rows of one scale atom, taken so that the warp writes whole 16-byte lines of the atom:
//! a line holds the scales of four rows that are 32 apart. Blocks of 128 rows are cut into quarters of 8 lines;
//! a last block of at most 32 rows, which has one row a line, is a single item of all 32 lines.

use crate::abi::scale_atoms::ROWS;

/// Rows that are next to each other in an item.
pub const RUN: u32 = 8;
/// Runs of an item.
pub const RUNS: u32 = 4;
/// Bytes of a line of an atom.
pub const LINE_BYTES: u32 = 16;
/// Lines of an atom.
pub const LINES: u32 = 32;

/// At most 32 rows of a block of 128. Its first row exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    /// The block, counted from the group's first row.
    pub block: u32,
    /// First line of the atom that the item writes, and first row of run 0 inside the block.
    pub first_line: u32,
    /// Rows from one run to the next: 32 in a quarter, [`RUN`] where a line has one row.
    pub stride: u32,
}

/// Number of items of a group of `rows` rows.
#[inline(always)]
pub const fn count(rows: u32) -> u32 {
    let rest = rows % ROWS;
    let last = if rest == 0 {
        0
    } else if rest <= LINES {
        1
    } else {
        RUNS
    };
    rows / ROWS * RUNS + last
}

/// Most items that `rows` rows make in `groups` groups, however they are split. (More than one item takes 33 rows,
/// more than four a block of 128.)
#[inline(always)]
pub const fn max_count(rows: u64, groups: u64) -> u64 {
    let active = if groups < rows { groups } else { rows };
    let blocks = (rows + active * (ROWS as u64 - 1)) / ROWS as u64;
    let (by_blocks, by_rows) =
        (blocks * RUNS as u64, active + (RUNS as u64 - 1) * (rows / (LINES as u64 + 1)));
    if by_blocks < by_rows { by_blocks } else { by_rows }
}

/// Item `index`, below [`count`], of a group of `rows` rows.
#[inline(always)]
pub const fn item(index: u32, rows: u32) -> Item {
    let block = index / RUNS;
    if rows - block * ROWS <= LINES {
        Item { block, first_line: 0, stride: RUN }
    } else {
        Item { block, first_line: index % RUNS * RUN, stride: LINES }
    }
}

impl Item {
    /// Whether every line of the atom is the item's.
    #[inline(always)]
    pub const fn whole_atom(self) -> bool {
        self.stride == RUN
    }

    /// First row of a run, counted from the group's first row. It may lie beyond the last.
    #[inline(always)]
    pub const fn first_row(self, run: u32) -> u32 {
        self.block * ROWS + run * self.stride + self.first_line
    }

    /// Number of the item's runs that have rows of the group.
    #[inline(always)]
    pub const fn runs(self, rows: u32) -> u32 {
        let left = rows - self.block * ROWS - self.first_line;
        let runs = if self.whole_atom() { left.div_ceil(RUN) } else { left.div_ceil(LINES) };
        if runs < RUNS { runs } else { RUNS }
    }

    /// Byte, inside the lines of the item, of the first scale of row `row` of a run.
    #[inline(always)]
    pub const fn scale_offset(self, run: u32, row: u32) -> u32 {
        if self.whole_atom() { (run * RUN + row) * LINE_BYTES } else { row * LINE_BYTES + run * 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::scale_atoms;

    #[test]
    fn no_split_of_rows_makes_more_items_than_the_bound() {
        assert_eq!((max_count(0, 5), max_count(5, 0), max_count(8, 8)), (0, 0, 8));
        for first in 0..300u32 {
            for second in 0..300 {
                for third in [0, 1, 33, 128, 161] {
                    let items = count(first) + count(second) + count(third);
                    let bound = max_count(u64::from(first + second + third), 3);
                    assert!(u64::from(items) <= bound, "{first}, {second}, {third} rows");
                }
            }
        }
    }

    #[test]
    fn every_row_and_every_line_belongs_to_exactly_one_item() {
        for rows in [1u32, 7, 8, 9, 31, 32, 33, 64, 127, 128, 129, 160, 161, 255, 256, 300, 384] {
            let blocks = rows.div_ceil(ROWS);
            let mut row_seen = [false; 384];
            let mut line_seen = [[false; LINES as usize]; 3];
            for index in 0..count(rows) {
                let item = item(index, rows);
                assert!(item.block < blocks);
                let lines = if item.whole_atom() { LINES } else { RUN };
                for line in item.first_line..item.first_line + lines {
                    let seen = &mut line_seen[item.block as usize][line as usize];
                    assert!(!core::mem::replace(seen, true), "{rows} rows, line {line}");
                }
                assert!(item.first_row(item.runs(rows) - 1) < rows);
                assert!(item.runs(rows) == RUNS || item.first_row(item.runs(rows)) >= rows);
                for run in 0..RUNS {
                    for row in 0..RUN {
                        let in_group = item.first_row(run) + row;
                        let byte = item.first_line * LINE_BYTES + item.scale_offset(run, row);
                        assert_eq!(byte, scale_atoms::offset_in_atom(in_group, 0), "{item:?}");
                        if in_group < rows {
                            let seen = &mut row_seen[in_group as usize];
                            assert!(!core::mem::replace(seen, true), "{rows} rows, row {in_group}");
                        }
                    }
                }
            }
            assert!(row_seen[..rows as usize].iter().all(|&seen| seen), "{rows} rows");
            assert!(line_seen[..blocks as usize].iter().flatten().all(|&seen| seen));
        }
        assert_eq!(count(0), 0);
    }
}
