//! How the rows of an expert are cut into tiles of tokens where tokens are the N side of the tensor core.
//!
//! N may be any multiple of 16, so a tile is as wide as its rows need. Its first row is a multiple of 64 inside the
//! expert, so that its scales begin at an even column of tensor memory (see [`super::umma::SCALE_ROWS_STEP`]).

use super::raster::blocks;
use super::umma::SCALE_ROWS_STEP;

/// Tokens of the largest tile of all: N is at most 256.
pub const MAX: u32 = 256;
/// N is a multiple of this (PTX ISA, "tcgen05.mma", shapes: for one CTA 8 would do, CUTLASS asks for 16; for a pair both
/// say 16).
pub const STEP: u32 = 16;

/// Number of tiles of an expert, of at most `max` rows.
#[inline(always)]
pub const fn count(rows: u32, max: u32) -> u32 {
    blocks(rows, max)
}

/// Rows from one tile's first row to the next one's: nearly equal parts, so that no tile is a sliver while another
/// is full. `rows` is not 0, and `max` a multiple of [`SCALE_ROWS_STEP`].
#[inline(always)]
pub const fn height(rows: u32, max: u32) -> u32 {
    let tiles = count(rows, max);
    match (rows + tiles - 1).checked_div(tiles) {
        Some(part) => blocks(part, SCALE_ROWS_STEP) * SCALE_ROWS_STEP,
        None => max,
    }
}

/// N of a tile of so many rows.
#[inline(always)]
pub const fn columns(rows: u32) -> u32 {
    blocks(rows, STEP) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::scale_atoms;

    /// Those of the kernels.
    const MAXIMA: [u32; 2] = [192, MAX];

    #[test]
    fn tiles_cover_the_rows_and_none_is_empty() {
        for max in MAXIMA {
            for rows in 1..5000 {
                let height = height(rows, max);
                assert!(height <= max && height.is_multiple_of(SCALE_ROWS_STEP));
                assert_eq!(blocks(rows, height), count(rows, max), "{rows} in tiles of {height}");
            }
        }
    }

    #[test]
    fn large_experts_are_cut_evenly() {
        for (rows, tiles, each) in
            [(1, 1, 64), (64, 1, 64), (65, 1, 128), (192, 1, 192), (193, 2, 128), (1024, 6, 192)]
        {
            assert_eq!((count(rows, 192), height(rows, 192)), (tiles, each), "{rows} rows");
        }
        for (rows, tiles, each) in
            [(1, 1, 64), (192, 1, 192), (193, 1, 256), (257, 2, 192), (385, 2, 256), (1024, 4, 256)]
        {
            assert_eq!((count(rows, 256), height(rows, 256)), (tiles, each), "{rows} rows");
        }
        for max in MAXIMA {
            assert_eq!(height(i32::MAX as u32, max), max);
        }
    }

    #[test]
    fn n_is_as_wide_as_the_rows_need_and_stays_in_the_padded_scales() {
        assert_eq!([1, 16, 17, 100, 192, 241].map(columns), [16, 16, 32, 112, 192, 256]);
        for first in [0, 64, 128, 192] {
            for rows in 1..=MAX {
                let padded = scale_atoms::padded_rows(u64::from(first + rows));
                assert!(u64::from(first + columns(rows)) <= padded);
            }
        }
    }

    /// Only tiles of an odd number of half atoms begin in the middle of one, and the largest such is of 192 rows.
    #[test]
    fn a_tile_never_needs_the_scales_of_three_atoms() {
        for max in MAXIMA {
            for rows in 1..5000 {
                let height = height(rows, max);
                for tile in 0..count(rows, max) {
                    let first = tile * height;
                    let last = first + columns(height.min(rows - first)) - 1;
                    assert!(last / scale_atoms::ROWS - first / scale_atoms::ROWS < 2, "{rows}");
                }
            }
        }
    }
}
