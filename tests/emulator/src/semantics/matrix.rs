//! `ldmatrix` and `stmatrix`, shape m8n8 with 16-bit elements (PTX ISA 9.7.14.5.15 and .16; confirmed on
//! an H200).
//!
//! Register `i` of every lane belongs to matrix `i`. The address of row `r` of matrix `i` comes from lane
//! `8 * i + r`; a row is 16 contiguous bytes.

/// Bytes in one row of a matrix.
pub const ROW_BYTES: u32 = 16;

/// How many matrices an instruction moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// `.x1`
    X1,
    /// `.x2`
    X2,
    /// `.x4`
    X4,
}

impl Count {
    /// Matrices, and registers of each lane.
    pub const fn matrices(self) -> u32 {
        match self {
            Self::X1 => 1,
            Self::X2 => 2,
            Self::X4 => 4,
        }
    }

    /// The lanes whose addresses are used: 0 up to this.
    pub const fn address_lanes(self) -> u32 {
        8 * self.matrices()
    }
}

/// The lane that gives the address of a row.
pub const fn address_lane(matrix: u32, row: u32) -> u32 {
    8 * matrix + row
}

/// The element in half 0 (low) or 1 (high) of a lane's register, as (row, column).
pub const fn element(lane: u32, half: u32, trans: bool) -> (u32, u32) {
    let (major, minor) = (lane / 4, 2 * (lane % 4) + half);
    if trans { (minor, major) } else { (major, minor) }
}

/// The inverse of [`element`]: (lane, half) of an element.
pub const fn owner(row: u32, column: u32, trans: bool) -> (u32, u32) {
    let (major, minor) = if trans { (column, row) } else { (row, column) };
    (4 * major + minor / 2, minor % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_one_place() {
        for trans in [false, true] {
            let mut seen = [false; 64];
            for lane in 0..32 {
                for half in 0..2 {
                    let (row, column) = element(lane, half, trans);
                    assert_eq!(owner(row, column, trans), (lane, half));
                    assert!(!std::mem::replace(&mut seen[(row * 8 + column) as usize], true));
                }
            }
            assert!(seen.iter().all(|&s| s));
        }
        assert_eq!(element(5, 1, false), (1, 3));
        assert_eq!(element(5, 1, true), (3, 1));
    }

    #[test]
    fn every_address_lane_serves_one_row() {
        for (count, lanes) in [(Count::X1, 8), (Count::X2, 16), (Count::X4, 32)] {
            assert_eq!(count.address_lanes(), lanes);
            let rows = (0..count.matrices()).flat_map(|m| (0..8).map(move |r| address_lane(m, r)));
            assert!(rows.eq(0..lanes));
        }
    }
}
