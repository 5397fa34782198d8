//! MXFP8 scales: inside an atom, and how atoms follow each other.

use super::thousands;
use crate::canvas::{Anchor, Canvas};
use expert_gemm::abi::scale_atoms::{BYTES, COLUMNS, ROWS, VECTOR, offset, offset_in_atom};
use expert_gemm::abi::{Problem, ScaledProblem};

const LINES: u32 = BYTES / 16;
const WORDS: u32 = 16 / COLUMNS;

pub(super) fn draw_atom() -> String {
    const TOP: f64 = 106.0;
    const LINE: f64 = 15.0;
    const WORD: f64 = 112.0;
    let left = 92.0;
    let mut canvas = Canvas::drawing(
        (left + WORDS as f64 * WORD + 190.0, TOP + LINES as f64 * LINE + 24.0),
        "An atom of MXFP8 scales: 128 rows x 4 columns, 512 bytes",
        "A word holds the four scale bytes of a row for 128 elements; rows that are 32 apart lie side by side.",
    );
    for word in 0..WORDS {
        let x = left + (word as f64 + 0.5) * WORD;
        let says = format!("bytes {}..{}", word * COLUMNS, word * COLUMNS + COLUMNS - 1);
        canvas.text((x, TOP - 10.0), Anchor::Middle, "note", &says);
    }
    for row in 0..ROWS {
        let byte = offset_in_atom(row, 0);
        let (line, word) = (byte / 16, byte % 16 / COLUMNS);
        let at = (left + word as f64 * WORD, TOP + line as f64 * LINE);
        canvas.labelled(
            at,
            (WORD, LINE),
            &format!("cell k{}", row / 32),
            &format!("row {row}: c0..c3"),
        );
    }
    for line in 0..LINES {
        let y = TOP + line as f64 * LINE + 11.0;
        canvas.text((left - 10.0, y), Anchor::End, "tiny", &(line * 16).to_string());
    }
    let x = left + WORDS as f64 * WORD + 18.0;
    let lines = [
        "byte (row, column) =",
        "  row % 32 * 16",
        "  + row / 32 * 4",
        "  + column",
        "",
        "column c is for",
        "elements 32 c to",
        "32 c + 31 of 128",
    ];
    for (i, line) in lines.iter().enumerate() {
        canvas.text((x, TOP + 20.0 + i as f64 * 18.0), Anchor::Start, "mono", line);
    }
    canvas.finish()
}

pub(super) fn draw_matrix() -> String {
    const K_BLOCKS: u32 = 3;
    const ATOM_ROWS: u32 = 4;
    const TOP: f64 = 112.0;
    const ATOM: (f64, f64) = (120.0, 62.0);
    const SIZES: [i32; 3] = [130, 0, 5];
    const STARTS: [i32; 3] = [0, 256, 256];
    let left = 150.0;
    let scale_rows = ATOM_ROWS * ROWS;
    let problem = Problem { rows: 135, n: 128, k: K_BLOCKS * VECTOR * COLUMNS };
    let judge = ScaledProblem { problem, scale_rows };
    let mut canvas = Canvas::drawing(
        (left + K_BLOCKS as f64 * ATOM.0 + 250.0, TOP + ATOM_ROWS as f64 * ATOM.1 + 26.0),
        "MXFP8 scales of grouped rows: atoms along K first",
        "Experts of 130, 0 and 5 rows, K = 384: blockscale_offsets = [0, 256, 256]. In an atom, its first byte in the tensor.",
    );
    for block in 0..K_BLOCKS {
        let x = left + (block as f64 + 0.5) * ATOM.0;
        let from = block * ROWS;
        canvas.text((x, TOP - 10.0), Anchor::Middle, "note", &format!("k {from}..{}", from + 127));
    }
    let y_of = |row: u32| TOP + f64::from(row) / f64::from(ROWS) * ATOM.1;
    for atom_row in 0..ATOM_ROWS {
        for block in 0..K_BLOCKS {
            let at = (left + block as f64 * ATOM.0, y_of(atom_row * ROWS));
            canvas.cell(at, ATOM, "cell none");
        }
    }
    let mut first_row = 0;
    for (expert, (&rows, &start)) in SIZES.iter().zip(&STARTS).enumerate() {
        let group = judge.group([rows, 128, problem.k as i32], first_row, start);
        let (from, rows) = (group.first_scale_row, group.group.rows);
        first_row += rows as i32;
        if rows == 0 {
            continue;
        }
        let own = y_of(from + rows) - y_of(from);
        let class = format!("k{expert}");
        canvas.cell((left, y_of(from)), (K_BLOCKS as f64 * ATOM.0, own.max(4.0)), &class);
        let says = format!("expert {expert}: {from}..{}", from + rows - 1);
        canvas.text((left - 10.0, y_of(from) + 14.0), Anchor::End, "", &says);
        let past = from + rows.next_multiple_of(ROWS);
        let says = format!("nobody: {}..{}, written as 0", from + rows, past - 1);
        let x = left + K_BLOCKS as f64 * ATOM.0 + 12.0;
        canvas.text((x, y_of(past) - ATOM.1 / 2.0 + 4.0), Anchor::Start, "note", &says);
        if past == (ATOM_ROWS - 1) * ROWS {
            let says = format!("{past}..{}: never written", scale_rows - 1);
            canvas.text((x, y_of(past) + ATOM.1 / 2.0 + 4.0), Anchor::Start, "note", &says);
        }
    }
    for atom_row in 0..ATOM_ROWS {
        for block in 0..K_BLOCKS {
            let at = (left + block as f64 * ATOM.0, y_of(atom_row * ROWS));
            let (row, column) = (u64::from(atom_row * ROWS), u64::from(block * COLUMNS));
            let byte = offset(row, column, u64::from(K_BLOCKS)) as u32;
            let middle = (at.0 + ATOM.0 / 2.0, at.1 + ATOM.1 / 2.0 + 6.0);
            canvas.text(middle, Anchor::Middle, "mono", &format!("byte {}", thousands(byte)));
            canvas.cell(at, ATOM, "frame");
        }
    }
    canvas.finish()
}
