//! Boxes in columns, and arrows between them.

use crate::canvas::{Anchor, Canvas, Point};

const LEFT: f64 = 20.0;
const TOP: f64 = 104.0;
const ROW: f64 = 88.0;
const GAP: f64 = 62.0;
const LINE: f64 = 15.0;
/// A bend by less than this is drawn straight.
const KINK: f64 = 8.0;

/// A drawing of a kernel: memory and warps from left to right.
pub(super) struct Flow {
    canvas: Canvas,
    widths: &'static [f64],
}

/// A box, as arrows see it.
#[derive(Clone, Copy)]
pub(super) struct Box {
    at: Point,
    size: Point,
}

/// What fills a box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Global memory.
    Global,
    /// Shared memory.
    Shared,
    /// Tensor memory or registers.
    Sums,
    /// Warps.
    Warps,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Global => "k7",
            Self::Shared => "k0",
            Self::Sums => "k2",
            Self::Warps => "k1",
        }
    }
}

impl Flow {
    /// Columns with these heads and widths, and so many rows.
    pub(super) fn new(
        title: &str,
        note: &str,
        columns: &[&str],
        widths: &'static [f64],
        rows: f64,
    ) -> Self {
        let width = LEFT * 2.0 + widths.iter().sum::<f64>() + (widths.len() - 1) as f64 * GAP;
        let mut canvas = Canvas::drawing((width, TOP + rows * ROW + 34.0), title, note);
        let mut x = LEFT;
        for (head, width) in columns.iter().zip(widths) {
            canvas.text((x + width / 2.0, TOP - 16.0), Anchor::Middle, "head", head);
            x += width + GAP;
        }
        Self { canvas, widths }
    }

    /// A box in a column, from one row on and so many rows high, with a head and lines below it.
    pub(super) fn place(
        &mut self,
        kind: Kind,
        (column, row, rows): (usize, f64, f64),
        head: &str,
        lines: &[&str],
    ) -> Box {
        let before = &self.widths[..column];
        let x = LEFT + before.iter().sum::<f64>() + column as f64 * GAP;
        let (at, size) = ((x, TOP + row * ROW), (self.widths[column], rows * ROW - 14.0));
        self.canvas.cell(at, size, &format!("cell {}", kind.class()));
        let middle = at.0 + size.0 / 2.0;
        let first = at.1 + (size.1 - lines.len() as f64 * LINE) / 2.0 + 4.0;
        self.canvas.text((middle, first), Anchor::Middle, "head", head);
        for (i, line) in lines.iter().enumerate() {
            let at = (middle, first + (i + 1) as f64 * LINE);
            self.canvas.text(at, Anchor::Middle, "", line);
        }
        Box { at, size }
    }

    /// An arrow between neighbouring columns, in either direction. `ports` say how far down each box it begins and
    /// ends, `bend` how far into the gap it turns.
    pub(super) fn across(&mut self, from: Box, to: Box, ports: (f64, f64), bend: f64) {
        let (y0, y1) = (from.at.1 + from.size.1 * ports.0, to.at.1 + to.size.1 * ports.1);
        let (x0, x1) = if from.at.0 < to.at.0 {
            (from.at.0 + from.size.0 + 2.0, to.at.0 - 2.0)
        } else {
            (from.at.0 - 2.0, to.at.0 + to.size.0 + 2.0)
        };
        let turn = x0 + (x1 - x0) * bend;
        if (y0 - y1).abs() < KINK {
            self.canvas.arrow(&[(x0, y1), (x1, y1)]);
        } else {
            self.canvas.arrow(&[(x0, y0), (turn, y0), (turn, y1), (x1, y1)]);
        }
    }

    /// An arrow to the right between columns that are not neighbours, straight, where no box is in the way.
    pub(super) fn wide(&mut self, from: Box, to: Box, port: f64) {
        let y = from.at.1 + from.size.1 * port;
        self.canvas.arrow(&[(from.at.0 + from.size.0 + 2.0, y), (to.at.0 - 2.0, y)]);
    }

    /// An arrow to the right between columns that are not neighbours, below the boxes of the row.
    pub(super) fn around(&mut self, from: Box, to: Box, port: f64) {
        let (x0, x1) = (from.at.0 + from.size.0 + 2.0, to.at.0 - 2.0);
        let (y0, y1) = (from.at.1 + from.size.1 / 2.0, to.at.1 + to.size.1 * port);
        let below = from.at.1 + from.size.1 + 7.0;
        let (out, back) = (x0 + GAP / 4.0, x1 - GAP / 4.0);
        self.canvas.arrow(&[
            (x0, y0),
            (out, y0),
            (out, below),
            (back, below),
            (back, y1),
            (x1, y1),
        ]);
    }

    /// An arrow between boxes of one column, so far from their left side.
    pub(super) fn along(&mut self, from: Box, to: Box, port: f64) {
        let x = from.at.0 + from.size.0 * port;
        let down = from.at.1 < to.at.1;
        let (y0, y1) = if down {
            (from.at.1 + from.size.1 + 1.0, to.at.1 - 1.0)
        } else {
            (from.at.1 - 1.0, to.at.1 + to.size.1 + 1.0)
        };
        self.canvas.arrow(&[(x, y0), (x, y1)]);
    }

    /// The text of the file, with a line below everything.
    pub(super) fn finish(mut self, rows: f64, below: &str) -> String {
        self.canvas.text((LEFT, TOP + rows * ROW + 16.0), Anchor::Start, "note", below);
        self.canvas.finish()
    }
}
