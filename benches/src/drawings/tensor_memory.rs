//! Tensor memory of the Blackwell kernels: what the 512 columns hold, and how scales lie in them.

use crate::canvas::{Anchor, Canvas, Point};
use expert_gemm::abi::scale_atoms::{COLUMNS, ROWS, offset_in_atom};
use expert_gemm::abi::{mxfp8_gemm_sm100 as one, mxfp8_gemm_sm100_pair as pair};
use expert_gemm_kernels::tile::umma::{COLUMNS_PER_ATOM, ROWS_PER_SCALE_COLUMN, SCALE_ROWS_STEP};

const ALL: u32 = 512;
const LEFT: f64 = 30.0;
const TALL: f64 = 34.0;
/// Atoms of scales in a slot of one CTA: one of weights and two of tokens, or two of each.
const ONE_ATOMS: u32 = 4;
/// Atoms of scales in a set of a pair, and the number of sets.
const PAIR_ATOMS: u32 = 3;
const PAIR_SETS: u32 = 4;

fn x(column: u32) -> f64 {
    LEFT + f64::from(column) * 1.65
}

fn bar(canvas: &mut Canvas, y: f64, from: u32, past: u32, class: &str, says: &str) {
    let class = format!("cell {class}");
    canvas.labelled((x(from), y), (x(past) - x(from), TALL), &class, says);
}

fn edges(canvas: &mut Canvas, y: f64, columns: &[u32]) {
    for &column in columns {
        canvas.text((x(column), y + TALL + 14.0), Anchor::Middle, "note", &column.to_string());
    }
}

pub(super) fn draw_columns() -> String {
    let mut canvas = Canvas::drawing(
        (x(ALL) + 30.0, 366.0),
        "Tensor memory of the sm_100 kernels: 128 lanes x 512 columns of 32 bits",
        "A sum has a lane for each output column and a column for each token. By the documents; not run on hardware.",
    );
    let y = 96.0;
    canvas.text(
        (LEFT, y - 12.0),
        Anchor::Start,
        "head",
        "mxfp8_gemm_sm100: one CTA, tiles of up to 192 tokens",
    );
    let scales = 2 * one::MAX_TOKENS;
    bar(&mut canvas, y, 0, one::MAX_TOKENS, "k0", "sum 0");
    bar(&mut canvas, y, one::MAX_TOKENS, scales, "k1", "sum 1");
    let slot = ONE_ATOMS * COLUMNS_PER_ATOM;
    for number in 0..one::STAGES {
        let from = scales + number * slot;
        bar(&mut canvas, y, from, from + slot, "k2", &format!("s{number}"));
    }
    let end = scales + one::STAGES * slot;
    bar(&mut canvas, y, end, ALL, "none", "unused");
    edges(&mut canvas, y, &[0, one::MAX_TOKENS, scales, end, ALL]);

    let end = ALL - PAIR_SETS * PAIR_ATOMS * COLUMNS_PER_ATOM;
    for (y, tokens) in [(194.0, pair::MAX_TOKENS), (292.0, end - pair::MAX_TOKENS)] {
        let head = format!("mxfp8_gemm_sm100_pair: each CTA of a pair, tiles of {tokens} tokens");
        canvas.text((LEFT, y - 12.0), Anchor::Start, "head", &head);
        let second = end - tokens;
        bar(&mut canvas, y, 0, tokens.min(second), "k0", "sum 0");
        if second < tokens {
            bar(&mut canvas, y, second, tokens, "k4", "both");
        } else {
            bar(&mut canvas, y, tokens, second, "none", "");
        }
        bar(&mut canvas, y, tokens.max(second), end, "k1", "sum 1");
        for set in 0..PAIR_SETS {
            let columns = PAIR_ATOMS * COLUMNS_PER_ATOM;
            let from = end + set * columns;
            bar(&mut canvas, y, from, from + columns, "k2", &format!("s{set}"));
        }
        edges(&mut canvas, y, &[0, second, tokens, end, ALL]);
    }
    canvas.finish()
}

pub(super) fn draw_scales() -> String {
    const TOP: f64 = 116.0;
    const CELL: Point = (96.0, 20.0);
    let left = 110.0;
    let lanes = [0, 1, 2, 30, 31];
    let quarter = lanes.len() as f64 * CELL.1 + 16.0;
    let mut canvas = Canvas::drawing(
        (left + 4.0 * CELL.0 + 400.0, TOP + 4.0 * quarter + 20.0),
        "An atom of scales in tensor memory: 4 columns, the same in all four quarters of the lanes",
        "tcgen05.cp.32x128b.warpx4 brings the atom's 16-byte lines to lanes and its words to columns. By the documents; not run on hardware.",
    );
    for column in 0..COLUMNS_PER_ATOM {
        let at = (left + (column as f64 + 0.5) * CELL.0, TOP - 10.0);
        canvas.text(at, Anchor::Middle, "note", &format!("column {column}"));
    }
    for part in 0..4 {
        let top = TOP + part as f64 * quarter;
        for (i, lane) in lanes.into_iter().enumerate() {
            // A gap stands for lanes 3 to 29.
            let y = top + i as f64 * CELL.1 + if i > 2 { 8.0 } else { 0.0 };
            let says = format!("lane {}", part * 32 + lane);
            canvas.text((left - 10.0, y + 14.0), Anchor::End, "note", &says);
            for row in (0..ROWS).filter(|&row| offset_in_atom(row, 0) / 16 == lane) {
                let column = offset_in_atom(row, 0) % 16 / COLUMNS;
                assert_eq!(column, row / ROWS_PER_SCALE_COLUMN, "where the product looks");
                let at = (left + column as f64 * CELL.0, y);
                canvas.labelled(at, CELL, &format!("cell k{column}"), &format!("row {row}"));
            }
        }
    }
    let half = format!("that of row {SCALE_ROWS_STEP}. CUTLASS begins there too.");
    let lines = [
        "A word holds the row's four scale bytes, one for each",
        "step of 32 elements; two fields of the instruction",
        "descriptor choose byte 0 to 3. So one copy serves",
        "the four products of a K block.",
        "",
        "A tile that begins in the middle of an atom is given",
        "an address two columns further on:",
        half.as_str(),
    ];
    for (i, line) in lines.iter().enumerate() {
        let at = (left + 4.0 * CELL.0 + 30.0, TOP + 16.0 + i as f64 * 20.0);
        canvas.text(at, Anchor::Start, "", line);
    }
    canvas.finish()
}
