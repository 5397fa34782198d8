//! Where the E8M0 scales of an MXFP8 matrix lie: the swizzled layout of 512-byte atoms.
//!
//! One scale byte `s` stands for `2^(s - 127)` (255 is NaN) and serves 32 consecutive elements of a row. An
//! atom holds the scales of 128 rows x 4 blocks of 32 elements, that is of a 128 x 128 block of elements:
//!
//! ```text
//! byte of the atom   0        4        8        12       16 ...  496                     511
//! row                0        32       64       96       1  ...  31      63      95      127
//! scale column       0 1 2 3  0 1 2 3  0 1 2 3  0 1 2 3  ...
//! ```
//!
//! Atoms follow each other along K first, then along the rows. Every expert begins at a multiple of 128 scale
//! rows, so the scales of one matrix of `[S, K]` elements take `S * K / 32` bytes with S the padded rows. It is
//! the layout that cuBLAS, CUTLASS and PyTorch call blocked, swizzled or 128x4, and that `tcgen05.cp` copies
//! without a shuffle.

/// Consecutive elements of a row that share a scale.
pub const VECTOR: u32 = 32;
/// Rows of an atom.
pub const ROWS: u32 = 128;
/// Scale columns of an atom: those of 128 elements.
pub const COLUMNS: u32 = 4;
/// Bytes of an atom.
pub const BYTES: u32 = ROWS * COLUMNS;
/// The scale byte that means NaN.
pub const NAN: u8 = 0xFF;
/// The scale byte that means one.
pub const ONE: u8 = 127;

/// Byte inside an atom of row `row % 128` and scale column `column % 4`.
#[inline(always)]
pub const fn offset_in_atom(row: u32, column: u32) -> u32 {
    row % 32 * 16 + row % ROWS / 32 * COLUMNS + column % COLUMNS
}

/// Byte inside a matrix of `k_blocks` atoms a row of atoms (K / 128) of scale row `row` and scale column
/// `column` (element / 32).
#[inline(always)]
pub const fn offset(row: u64, column: u64, k_blocks: u64) -> u64 {
    let atom = row / ROWS as u64 * k_blocks + column / COLUMNS as u64;
    atom * BYTES as u64
        + offset_in_atom((row % ROWS as u64) as u32, (column % COLUMNS as u64) as u32) as u64
}

/// The scale rows that `rows` rows take: the next multiple of 128.
#[inline(always)]
pub const fn padded_rows(rows: u64) -> u64 {
    rows.saturating_add(ROWS as u64 - 1) / ROWS as u64 * ROWS as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_of_an_atom_are_where_the_picture_says() {
        for (row, column, byte) in [
            (0, 0, 0),
            (0, 3, 3),
            (32, 0, 4),
            (64, 1, 9),
            (96, 3, 15),
            (1, 0, 16),
            (31, 0, 496),
            (127, 3, 511),
        ] {
            assert_eq!(offset_in_atom(row, column), byte, "row {row}, column {column}");
        }
    }

    #[test]
    fn every_byte_of_a_matrix_is_used_exactly_once() {
        for k_blocks in [1, 2, 3] {
            let mut seen = [false; 256 * 4 * 3];
            let seen = &mut seen[..256 * 4 * k_blocks as usize];
            for row in 0..256 {
                for column in 0..4 * k_blocks {
                    let byte = offset(row, column, k_blocks) as usize;
                    assert!(!core::mem::replace(&mut seen[byte], true), "{row}, {column}");
                }
            }
            assert!(seen.iter().all(|&seen| seen));
        }
    }

    #[test]
    fn atoms_run_along_k_first() {
        assert_eq!(offset(0, 4, 3), 512);
        assert_eq!(offset(128, 0, 3), 3 * 512);
    }

    #[test]
    fn rows_are_padded_to_whole_atoms() {
        assert_eq!([0, 1, 128, 129].map(padded_rows), [0, 128, 128, 256]);
        assert_eq!(padded_rows(u64::MAX), u64::MAX / 128 * 128);
    }
}
