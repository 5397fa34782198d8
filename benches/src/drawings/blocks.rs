//! Scales of the FP8 product: one for 1 x 128 activations, one for 128 x 128 weights.

use super::thousands;
use crate::canvas::{Anchor, Canvas};
use expert_gemm::abi::SCALE_BLOCK;

const BLOCKS: u32 = 3;
const TOP: f64 = 112.0;
const BLOCK_WIDTH: f64 = 92.0;
const ROW: f64 = 22.0;
const ROWS: u32 = 5;
/// Blocks of 128 rows of the weights.
const ROW_BLOCKS: u32 = 2;

pub(super) fn draw() -> String {
    let second = TOP + ROWS as f64 * ROW + 74.0;
    let tall = 58.0;
    let bottom = second + ROW_BLOCKS as f64 * tall;
    let mut canvas = Canvas::drawing(
        (780.0, bottom + 34.0),
        "Scales of the FP8 product: 1 x 128 and 128 x 128",
        "K = 384, 5 rows of activations, N = 256. A number is the index of the f32 that the block is multiplied by.",
    );
    let (left, right) = (90.0, 520.0);
    let k = BLOCKS * SCALE_BLOCK;
    canvas.text((left, TOP - 30.0), Anchor::Start, "head", &format!("a [T, {k}] e4m3"));
    canvas.text((right, TOP - 30.0), Anchor::Start, "head", "scales_a [T, K / 128] f32");
    canvas.text(
        (left, second - 30.0),
        Anchor::Start,
        "head",
        &format!("b [E, 256, {k}] e4m3, one expert"),
    );
    canvas.text(
        (right, second - 30.0),
        Anchor::Start,
        "head",
        "scales_b [E, N / 128, K / 128] f32",
    );
    for block in 0..BLOCKS {
        let x = left + (block as f64 + 0.5) * BLOCK_WIDTH;
        let from = block * SCALE_BLOCK;
        let says = format!("k {from}..{}", from + SCALE_BLOCK - 1);
        for top in [TOP, second] {
            canvas.text((x, top - 8.0), Anchor::Middle, "note", &says);
        }
    }
    let fill = |block: u32| format!("cell k{}", block % 8);
    for row in 0..ROWS {
        let y = TOP + row as f64 * ROW;
        canvas.text((left - 10.0, y + 15.0), Anchor::End, "note", &format!("row {row}"));
        for block in 0..BLOCKS {
            let index = (row * BLOCKS + block).to_string();
            let class = fill(block);
            canvas.labelled(
                (left + block as f64 * BLOCK_WIDTH, y),
                (BLOCK_WIDTH, ROW),
                &class,
                &index,
            );
            canvas.labelled((right + block as f64 * 46.0, y), (46.0, ROW), &class, &index);
        }
    }
    for block_row in 0..ROW_BLOCKS {
        let y = second + block_row as f64 * tall;
        let from = block_row * SCALE_BLOCK;
        let rows = format!("n {from}..{}", thousands(from + SCALE_BLOCK - 1));
        canvas.text((left - 10.0, y + tall / 2.0 + 4.0), Anchor::End, "note", &rows);
        for block in 0..BLOCKS {
            let index = (block_row * BLOCKS + block).to_string();
            let class = fill(block);
            canvas.labelled(
                (left + block as f64 * BLOCK_WIDTH, y),
                (BLOCK_WIDTH, tall),
                &class,
                &index,
            );
            let at = (right + block as f64 * 46.0, second + block_row as f64 * ROW);
            canvas.labelled(at, (46.0, ROW), &class, &index);
        }
    }
    canvas.text((right, bottom - 20.0), Anchor::Start, "note", "expert e begins N / 128 x K / 128");
    canvas.text((right, bottom - 4.0), Anchor::Start, "note", "numbers further on");
    canvas.finish()
}
