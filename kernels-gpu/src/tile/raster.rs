//! In which order the tiles of one group are computed.
//!
//! CTAs take consecutive tiles at the same time, so consecutive tiles should share operands in L2. The
//! row blocks of a group are cut into panels of nearly equal height, at most [`PANEL`]; inside a panel
//! the row block moves fastest. With 132 CTAs, 16 row blocks and about 8 column blocks are then in
//! flight together, each loaded from memory once.

/// Largest height of a panel, in row blocks.
pub const PANEL: u32 = 16;

/// Number of tiles of `edge` that cover `extent`.
#[inline(always)]
pub const fn blocks(extent: u32, edge: u32) -> u32 {
    extent / edge + !extent.is_multiple_of(edge) as u32
}

/// Row blocks of `TILE` that cover `rows`. Where there are `TALL` ones, the last one takes up to half a block more, if it is the
/// only one or `takes_more`.
#[inline(always)]
pub const fn row_blocks<const TILE: u32, const TALL: bool>(rows: u32, takes_more: bool) -> u32 {
    let whole = rows / TILE;
    let little = !rows.is_multiple_of(TILE) && rows % TILE <= TILE / 2;
    if TALL && little && (whole == 1 || (whole > 1 && takes_more)) {
        whole
    } else {
        blocks(rows, TILE)
    }
}

/// Row block and column block of tile `index` in a group of `row_blocks` x `col_blocks`.
///
/// `index` is below `row_blocks * col_blocks`, and neither count is 0.
#[inline(always)]
pub const fn tile(index: u32, row_blocks: u32, col_blocks: u32) -> (u32, u32) {
    tile_in_panels::<PANEL>(index, row_blocks, col_blocks)
}

/// The same with panels of another height.
#[inline(always)]
pub const fn tile_in_panels<const PANEL: u32>(
    index: u32,
    row_blocks: u32,
    col_blocks: u32,
) -> (u32, u32) {
    let panels = blocks(row_blocks, PANEL);
    let height = quotient(row_blocks + panels - 1, panels);
    let panel_tiles = height * col_blocks;
    let panel = quotient(index, panel_tiles);
    let inside = index - panel * panel_tiles;
    let first = panel * height;
    let left = row_blocks - first;
    let rows = if left < height { left } else { height };
    let col = quotient(inside, rows);
    (first + inside - col * rows, col)
}

/// `a / b` without the panicking path that a division by a variable would bring into the PTX.
#[inline(always)]
pub(crate) const fn quotient(a: u32, b: u32) -> u32 {
    match a.checked_div(b) {
        Some(q) => q,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_visited_exactly_once() {
        for row_blocks in 1..=70 {
            for col_blocks in [1, 2, 7, 32] {
                let mut seen = [[false; 32]; 70];
                for index in 0..row_blocks * col_blocks {
                    let (row, col) = tile(index, row_blocks, col_blocks);
                    assert!(row < row_blocks && col < col_blocks);
                    let seen = &mut seen[row as usize][col as usize];
                    assert!(!*seen, "tile {row},{col} of {row_blocks}x{col_blocks} twice");
                    *seen = true;
                }
            }
        }
    }

    #[test]
    fn the_last_row_block_may_be_tall() {
        let flat = |rows| [false, true].map(|more| row_blocks::<128, false>(rows, more));
        let tall = |rows| [false, true].map(|more| row_blocks::<128, true>(rows, more));
        for (rows, flat_blocks, tall_blocks) in [
            (0, 0, [0, 0]),
            (1, 1, [1, 1]),
            (128, 1, [1, 1]),
            (129, 2, [1, 1]),
            (192, 2, [1, 1]),
            (193, 2, [2, 2]),
            (256, 2, [2, 2]),
            (257, 3, [3, 2]),
            (320, 3, [3, 2]),
            (321, 3, [3, 3]),
            (u32::MAX, 1 << 25, [1 << 25, 1 << 25]),
        ] {
            assert_eq!(flat(rows), [flat_blocks; 2], "{rows} rows");
            assert_eq!(tall(rows), tall_blocks, "{rows} rows");
        }
    }

    #[test]
    fn panels_are_nearly_equal() {
        // 17 row blocks are a panel of 9 and one of 8, not one of 16 and one of 1.
        assert_eq!(tile(8, 17, 4), (8, 0));
        assert_eq!(tile(9, 17, 4), (0, 1));
        assert_eq!(tile(36, 17, 4), (9, 0));
        assert_eq!(tile(67, 17, 4), (16, 3));
    }

    #[test]
    fn one_row_block_walks_along_the_columns() {
        for col in 0..32 {
            assert_eq!(tile(col, 1, 32), (0, col));
        }
    }

    #[test]
    fn blocks_round_up_without_wrapping() {
        assert_eq!(blocks(0, 128), 0);
        assert_eq!(blocks(1, 128), 1);
        assert_eq!(blocks(128, 128), 1);
        assert_eq!(blocks(u32::MAX, 128), 1 << 25);
    }
}
