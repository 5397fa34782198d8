//! Packed rows and the tables that say whose they are.

use crate::canvas::{Anchor, Canvas};
use expert_gemm::abi::{GroupStatus, Problem};

/// Rows, N and K of the launch.
const LAUNCH: Problem = Problem { rows: 24, n: 256, k: 128 };
/// `(M, N, K)` and first row of each expert.
const ENTRIES: [([i32; 3], i32, &str); 5] = [
    ([6, 256, 128], 0, "used as given"),
    ([0, 256, 128], 6, "no rows: ordinary, and nothing of it is read"),
    ([2, 256, 128], 6, "used as given"),
    ([9, 256, 128], 11, "used as given; rows may be left out before it"),
    ([8, 256, 128], 20, "past row 23: skipped, reported PAST_THE_END"),
];
const TOP: f64 = 106.0;
const ROW: f64 = 17.0;

pub(super) fn draw() -> String {
    let left = 70.0;
    let mut canvas = Canvas::drawing(
        (1010.0, TOP + LAUNCH.rows as f64 * ROW + 30.0),
        "Grouped rows: offsets, sizes, holes",
        "24 packed rows, 5 experts. The tables stay on the device; every entry is judged before it is used.",
    );
    canvas.text((left, TOP - 14.0), Anchor::Start, "head", "a, output: packed rows");
    for row in 0..LAUNCH.rows {
        let at = (left, TOP + row as f64 * ROW);
        canvas.labelled(at, (170.0, ROW), "cell none", "nobody's");
        canvas.text((left - 8.0, at.1 + 12.0), Anchor::End, "tiny", &row.to_string());
    }
    let (table, columns) = (330.0, [0.0, 56.0, 112.0, 168.0, 224.0, 306.0]);
    canvas.text(
        (table, TOP - 14.0),
        Anchor::Start,
        "head",
        "problem_sizes [E, 3], expert_offsets [E], i32",
    );
    for (x, head) in columns.iter().zip(["expert", "M", "N", "K", "offset", ""]) {
        canvas.text((table + x, TOP + 12.0), Anchor::Start, "note", head);
    }
    for (expert, &(size, offset, says)) in ENTRIES.iter().enumerate() {
        let group = LAUNCH.group(size, offset);
        assert_eq!(group.status == GroupStatus::OK, expert != 4, "the sentence says otherwise");
        let class = format!("cell k{expert}");
        for row in group.first_row..group.first_row + group.rows {
            let at = (left, TOP + row as f64 * ROW);
            canvas.labelled(at, (170.0, ROW), &class, &format!("expert {expert}"));
        }
        let y = TOP + 24.0 + expert as f64 * 26.0;
        canvas.cell(
            (table - 8.0, y),
            (600.0, 22.0),
            if group.rows == 0 { "cell none" } else { &class },
        );
        let [m, n, k] = size;
        for (x, number) in columns.iter().zip([expert as i32, m, n, k, offset]) {
            canvas.text((table + x, y + 15.0), Anchor::Start, "mono", &number.to_string());
        }
        canvas.text((table + columns[5] - 30.0, y + 15.0), Anchor::Start, "", says);
    }
    let lines = [
        "Offsets need not be dense, ascending or aligned: an expert's rows are offset .. offset + M.",
        "Rows that no expert owns are neither read as anybody's nor written: the output keeps their bytes.",
        "A refused entry has no rows: negative sizes or offsets, past the end, another N or K than the launch's.",
        "A tile has rows of one expert only. Its copies may bring its neighbour's rows; they are never stored.",
        "Experts that overlap are both computed; rows that they share hold either result (OVERLAP).",
    ];
    for (i, line) in lines.iter().enumerate() {
        let y = TOP + 190.0 + i as f64 * 22.0;
        canvas.text((table - 8.0, y), Anchor::Start, "", line);
    }
    canvas.finish()
}
