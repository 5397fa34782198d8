//! Which thread of a warpgroup holds which sum.

use crate::canvas::{Anchor, Canvas, Point};
use expert_gemm_kernels::tile::fragment::{GROUP_COLS, WARP_ROWS, col, row};

const TOP: f64 = 116.0;
const CELL: Point = (44.0, 22.0);
/// Columns that are drawn: two groups.
const COLUMNS: u32 = 2 * GROUP_COLS;

/// Row and column of a register of a lane, inside the 16 rows of its warp.
fn place(lane: u32, register: u32) -> (u32, u32) {
    let group = register / 4 * GROUP_COLS;
    (row(lane) + 8 * (register / 2 % 2), group + col(lane) + register % 2)
}

pub(super) fn draw() -> String {
    let height = WARP_ROWS as f64 * CELL.1;
    let left = 190.0;
    let mut canvas = Canvas::drawing(
        (left + 60.0 + COLUMNS as f64 * CELL.0 + 40.0, TOP + height + 62.0),
        "The accumulator of wgmma, 64 x N: lane and register of each sum",
        "Warp w of the warpgroup holds rows 16 w to 16 w + 15. Columns go on by eights: registers 8 to 11 are columns 16 to 23, and so on.",
    );
    canvas.text((30.0, TOP - 26.0), Anchor::Start, "head", "64 rows");
    for warp in 0..4 {
        let at = (30.0, TOP + warp as f64 * height / 4.0);
        canvas.labelled(
            at,
            (100.0, height / 4.0),
            if warp == 0 { "cell k7" } else { "cell none" },
            &format!("warp {warp}"),
        );
    }
    canvas.arrow(&[(134.0, TOP + height / 8.0), (left + 18.0, TOP + height / 8.0)]);
    let left = left + 60.0;
    canvas.text(
        (left, TOP - 26.0),
        Anchor::Start,
        "head",
        "the 16 rows of a warp, columns 0 to 15; lane : register",
    );
    for column in 0..COLUMNS {
        let x = left + (column as f64 + 0.5) * CELL.0;
        canvas.text((x, TOP - 6.0), Anchor::Middle, "note", &column.to_string());
    }
    for r in 0..WARP_ROWS {
        let y = TOP + (r as f64 + 0.7) * CELL.1;
        canvas.text((left - 8.0, y), Anchor::End, "note", &r.to_string());
    }
    for lane in 0..32 {
        for register in 0..COLUMNS / 2 {
            let (r, c) = place(lane, register);
            let at = (left + c as f64 * CELL.0, TOP + r as f64 * CELL.1);
            let class = format!("cell k{}", register / 2 % 4);
            canvas.labelled(at, CELL, &class, &format!("{lane}:{register}"));
        }
    }
    let says = "register i of lane l: row l / 4 + 8 (i / 2 mod 2), column 8 (i / 4) + 2 (l mod 4) + i mod 2. The epilogues hand 8 x 8 such blocks to stmatrix.";
    canvas.text((30.0, TOP + height + 34.0), Anchor::Start, "note", says);
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptx_emulator::semantics::fragment::wgmma_d;

    #[test]
    fn the_picture_is_the_fragment_that_was_compared_with_hardware() {
        for lane in 0..32 {
            for register in 0..COLUMNS / 2 {
                assert_eq!(place(lane, register), wgmma_d(lane, register));
            }
        }
    }
}
