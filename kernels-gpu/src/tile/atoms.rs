//! What the thread that owns a row of a group writes of a scale atom.
//!
//! A line of an atom holds the scales of four rows that are 32 apart, each a word of four. A row writes its own word;
//! the last row of a line also writes the words that follow, which belong to rows that the group does not have. The
//! lines of a group that ends with fewer than 32 rows in its last block have one row each at most; those without any
//! are shared out among its rows.

use crate::abi::scale_atoms::{COLUMNS, ROWS};

/// Rows that are quantised together: neighbours in the packed input.
pub const RUN: u32 = 8;
/// Lines of an atom.
pub const LINES: u32 = 32;
/// Bytes of a line.
pub const LINE_BYTES: u32 = 16;
/// Words of a line: one a row.
pub const LINE_ROWS: u32 = ROWS / LINES;
const _: () = assert!(LINE_BYTES == LINE_ROWS * COLUMNS);

/// What a row writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The block of 128 rows, counted from the group's first row.
    pub block: u32,
    /// The row's line of the atom.
    pub line: u32,
    /// The row's word of the line.
    pub word: u32,
    /// Whether the words after it have no rows, and are the row's to blank.
    pub last: bool,
    /// The lines without rows that are the row's to blank: the first, and the one after the last, which comes before
    /// it if there are none.
    pub blanks: [u32; 2],
}

impl Place {
    /// Where the scales of row `row` of a group of `rows` rows go. Without a meaning if the group has no such row.
    #[inline(always)]
    pub const fn new(row: u32, rows: u32) -> Self {
        let (block, inside) = (row / ROWS, row % ROWS);
        // Rows of the group from the block's first on.
        let left = rows.wrapping_sub(block * ROWS);
        let few = if left < LINES { left } else { LINES };
        // The first power of two of them share the blank lines out.
        let log = (few | 1).ilog2();
        let each = (LINES - few + (1 << log) - 1) >> log;
        let (first, past) = (few + inside * each, few + (inside + 1) * each);
        let past = if past < LINES { past } else { LINES };
        let blanks = if inside >> log == 0 { [first, past] } else { [LINES; 2] };
        let (line, word) = (inside % LINES, inside / LINES);
        Self { block, line, word, last: inside + LINES >= left, blanks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::scale_atoms::{BYTES, offset_in_atom};

    /// The byte of the atom that a row's word begins at.
    fn byte(place: Place) -> u32 {
        place.line * LINE_BYTES + place.word * COLUMNS
    }

    #[test]
    fn a_row_goes_where_the_layout_says() {
        for rows in [1, 31, 128, 400] {
            for row in 0..rows {
                let place = Place::new(row, rows);
                assert_eq!((place.block, byte(place)), (row / ROWS, offset_in_atom(row, 0)));
            }
        }
    }

    #[test]
    fn every_word_of_every_atom_is_written_once() {
        for rows in 1..=300 {
            let mut seen = [0; 3 * (BYTES / COLUMNS) as usize];
            for row in 0..rows {
                let place = Place::new(row, rows);
                let atom = place.block * BYTES / COLUMNS;
                let own = atom + place.line * LINE_ROWS + place.word;
                let past = if place.last { (own | (LINE_ROWS - 1)) + 1 } else { own + 1 };
                for word in own..past {
                    seen[word as usize] += 1;
                }
                let [first, end] = place.blanks;
                for word in first * LINE_ROWS..end * LINE_ROWS {
                    seen[(atom + word) as usize] += 1;
                }
            }
            let words = (rows.div_ceil(ROWS) * BYTES / COLUMNS) as usize;
            assert!(seen[..words].iter().all(|&times| times == 1), "{rows} rows");
            assert!(seen[words..].iter().all(|&times| times == 0), "{rows} rows");
        }
    }

    #[test]
    fn blank_lines_are_shared_out_evenly() {
        let blanks = |row, rows| {
            let [first, past] = Place::new(row, rows).blanks;
            past.saturating_sub(first)
        };
        let most = |rows| (0..rows).map(|row| blanks(row, rows)).max();
        assert_eq!([1, 2, 4, 8, 16, 31, 32].map(most), [31, 15, 7, 3, 1, 1, 0].map(Some));
        assert_eq!([5, 9, 128 + 8, 400].map(most), [7, 3, 3, 1].map(Some));
    }
}
