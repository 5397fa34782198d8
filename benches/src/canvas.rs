//! What plots and drawings are made of: a card that follows the reader's light or dark theme, text, lines, boxes and marks.
//!
//! The bytes depend on the numbers only: coordinates are rounded to a tenth of a pixel, attributes are sorted.

use svg::Document;
use svg::node::element::{Line, Path, Polyline, Rectangle, Style, Text, Title};

/// A point in pixels, from the upper left corner.
pub(crate) type Point = (f64, f64);

const STYLE: &str = "
text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.head { font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
.card { fill: #ffffff }
.grid { stroke: #dfe4ea }
.rule { stroke: #59636e }
.ceiling { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 6 3 }
.path { fill: none; stroke: #0969da; stroke-width: 2 }
.ours { fill: #0969da; stroke: #ffffff; stroke-width: 0.6 }
.skewed { fill: #ffffff; stroke: #0969da; stroke-width: 1.3 }
.mean { fill: #1f2328 }
.peer { fill: none; stroke: #8c959f; stroke-width: 1.2 }
.p0 { fill: none; stroke: #bc4c00; stroke-width: 1.4 }
.p1 { fill: none; stroke: #1a7f37; stroke-width: 1.4 }
.p2 { fill: none; stroke: #8250df; stroke-width: 1.4 }
.p3 { fill: none; stroke: #bf3989; stroke-width: 1.4 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note { fill: #9198a1 }
.card { fill: #0d1117 }
.grid { stroke: #262c36 }
.rule { stroke: #9198a1 }
.ceiling { stroke: #9198a1 }
.path { stroke: #4493f8 }
.ours { fill: #4493f8; stroke: #0d1117 }
.skewed { fill: #0d1117; stroke: #4493f8 }
.mean { fill: #e6edf3 }
.peer { stroke: #7d8590 }
.p0 { stroke: #f0883e }
.p1 { stroke: #3fb950 }
.p2 { stroke: #a371f7 }
.p3 { stroke: #db61a2 }
}
";

/// What drawings have beside plots: fills that text is read on, and arrows.
const DRAWING_STYLE: &str = "
.mono { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.tiny { font: 9px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.cell { stroke: #ffffff; stroke-width: 1 }
.frame { fill: none; stroke: #1f2328; stroke-width: 1.6 }
.flow { fill: none; stroke: #59636e; stroke-width: 1.3 }
.tip { fill: #59636e }
.k0 { fill: #b6e3ff }
.k1 { fill: #aceebb }
.k2 { fill: #fae17d }
.k3 { fill: #e2ccff }
.k4 { fill: #ffcecb }
.k5 { fill: #ffd3a8 }
.k6 { fill: #b9f0e7 }
.k7 { fill: #d8dee4 }
.none { fill: #f3f5f7 }
@media (prefers-color-scheme: dark) {
.cell { stroke: #0d1117 }
.frame { stroke: #e6edf3 }
.flow { stroke: #9198a1 }
.tip { fill: #9198a1 }
.k0 { fill: #10457f }
.k1 { fill: #14532d }
.k2 { fill: #5c4a05 }
.k3 { fill: #4a2f7d }
.k4 { fill: #772a26 }
.k5 { fill: #6b3a0c }
.k6 { fill: #0d4f4a }
.k7 { fill: #3d444d }
.none { fill: #1b212a }
}
";

/// The shape of a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle that points up.
    Triangle,
    /// Two crossing strokes.
    Cross,
}

impl Mark {
    /// The path around the origin.
    fn path(self) -> &'static str {
        match self {
            Self::Circle => "m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0z",
            Self::Square => "m-3-3h6v6h-6z",
            Self::Diamond => "m0-4.2l4.2 4.2l-4.2 4.2l-4.2-4.2z",
            Self::Triangle => "m0-4l3.7 6.4h-7.4z",
            Self::Cross => "m-3.2-3.2l6.4 6.4m-6.4 0l6.4-6.4",
        }
    }
}

/// Where text is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Anchor {
    /// At its left end.
    Start,
    /// In the middle.
    Middle,
    /// At its right end.
    End,
}

/// A logarithmic scale: from numbers to pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The numbers at both ends.
    pub(crate) numbers: (f64, f64),
    /// The pixels at both ends.
    pub(crate) pixels: (f64, f64),
}

impl Scale {
    /// The pixel of a number; beyond the ends, that of the end.
    pub(crate) fn at(&self, number: f64) -> f64 {
        let ((low, high), (from, to)) = (self.numbers, self.pixels);
        from + (number.clamp(low, high) / low).ln() / (high / low).ln() * (to - from)
    }

    /// Whether a number lies between the ends.
    pub(crate) fn holds(&self, number: f64) -> bool {
        (self.numbers.0..=self.numbers.1).contains(&number)
    }
}

/// A drawing.
pub(crate) struct Canvas {
    document: Document,
}

impl Canvas {
    /// A card with a title, and a line below it that says what is shown.
    pub(crate) fn new(size: Point, title: &str, note: &str) -> Self {
        let (width, height) = size;
        let card = Rectangle::new()
            .set("class", "card")
            .set("width", "100%")
            .set("height", "100%")
            .set("rx", 8);
        let document = Document::new()
            .set("viewBox", (0, 0, pixels(width), pixels(height)))
            .set("width", pixels(width))
            .set("height", pixels(height))
            .set("role", "img")
            .add(Title::new(title))
            .add(Style::new(STYLE))
            .add(card);
        let mut canvas = Self { document };
        canvas.text((20.0, 30.0), Anchor::Start, "title", title);
        canvas.text((20.0, 50.0), Anchor::Start, "note", note);
        canvas
    }

    /// A card as [`Canvas::new`] makes it, for a drawing.
    pub(crate) fn drawing(size: Point, title: &str, note: &str) -> Self {
        let mut canvas = Self::new(size, title, note);
        canvas.add(Style::new(DRAWING_STYLE));
        canvas
    }

    /// Fills a box.
    pub(crate) fn cell(&mut self, at: Point, size: Point, class: &str) {
        let cell = Rectangle::new()
            .set("class", class)
            .set("x", pixels(at.0))
            .set("y", pixels(at.1))
            .set("width", pixels(size.0))
            .set("height", pixels(size.1));
        self.add(cell);
    }

    /// Fills a box and writes into its middle.
    pub(crate) fn labelled(&mut self, at: Point, size: Point, class: &str, text: &str) {
        self.cell(at, size, class);
        let middle = (at.0 + size.0 / 2.0, at.1 + size.1 / 2.0 + 4.0);
        self.text(middle, Anchor::Middle, "mono", text);
    }

    /// Joins points, with a tip at the last one.
    pub(crate) fn arrow(&mut self, points: &[Point]) {
        self.join(points, "flow");
        let &[.., (x0, y0), (x, y)] = points else { return };
        let length = (x - x0).hypot(y - y0);
        let (dx, dy) = ((x - x0) / length * 7.0, (y - y0) / length * 7.0);
        let corners = [
            (x, y),
            (x - dx - dy / 2.0, y - dy + dx / 2.0),
            (x - dx + dy / 2.0, y - dy - dx / 2.0),
        ];
        let corners = corners.map(|(x, y)| format!("{} {}", pixels(x), pixels(y)));
        self.add(Path::new().set("class", "tip").set("d", format!("M{}z", corners.join("L"))));
    }

    /// Writes a line of text with its baseline at a point.
    pub(crate) fn text(&mut self, at: Point, anchor: Anchor, class: &str, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = Text::new(content)
            .set("x", pixels(at.0))
            .set("y", pixels(at.1))
            .set("class", class)
            .set("text-anchor", anchor);
        self.add(text);
    }

    /// Writes a line of text that is turned around its middle.
    pub(crate) fn turned_text(&mut self, at: Point, degrees: f64, class: &str, content: &str) {
        let (x, y) = (pixels(at.0), pixels(at.1));
        let turn = format!("rotate({} {x} {y})", pixels(degrees));
        let text = Text::new(content)
            .set("x", x)
            .set("y", y)
            .set("class", class)
            .set("text-anchor", "middle")
            .set("transform", turn);
        self.add(text);
    }

    /// Draws a line.
    pub(crate) fn line(&mut self, from: Point, to: Point, class: &str) {
        let line = Line::new()
            .set("class", class)
            .set("x1", pixels(from.0))
            .set("y1", pixels(from.1))
            .set("x2", pixels(to.0))
            .set("y2", pixels(to.1));
        self.add(line);
    }

    /// Joins points.
    pub(crate) fn join(&mut self, points: &[Point], class: &str) {
        let points: Vec<String> =
            points.iter().map(|&(x, y)| format!("{},{}", pixels(x), pixels(y))).collect();
        self.add(Polyline::new().set("class", class).set("points", points.join(" ")));
    }

    /// Puts a mark, with a line that appears where the reader points at it.
    pub(crate) fn mark(&mut self, at: Point, mark: Mark, class: &str, says: &str) {
        let path = Path::new()
            .set("class", class)
            .set("d", format!("M{} {}{}", pixels(at.0), pixels(at.1), mark.path()));
        self.add(if says.is_empty() { path } else { path.add(Title::new(says)) });
    }

    /// A legend: marks with what they mean, in one line from a point on.
    pub(crate) fn legend(&mut self, at: Point, entries: &[(Mark, &str, &str)]) {
        let (mut x, y) = at;
        for &(mark, class, content) in entries {
            self.mark((x + 4.0, y - 4.0), mark, class, "");
            self.text((x + 14.0, y), Anchor::Start, "", content);
            // More than a letter of this size takes on average, in any of the fonts.
            x += 34.0 + 7.4 * content.chars().count() as f64;
        }
    }

    /// The text of the file.
    pub(crate) fn finish(self) -> String {
        self.document.to_string() + "\n"
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        svg::Node::append(&mut self.document, node);
    }
}

/// The class of a grid line: 1, which divides faster from slower, stands out.
pub(crate) fn grid_class(number: f64) -> &'static str {
    if (number - 1.0).abs() < 1e-9 { "rule" } else { "grid" }
}

/// A coordinate, to a tenth of a pixel.
fn pixels(x: f64) -> f64 {
    // Adding zero turns -0 into 0.
    (x * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_logarithmic_and_end_at_their_ends() {
        let scale = Scale { numbers: (1.0, 100.0), pixels: (0.0, 200.0) };
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert!((scale.at(1e9) - 200.0).abs() < 1e-9 && !scale.holds(1e9));
    }

    #[test]
    fn bytes_are_those_of_the_numbers() {
        let draw = || {
            let mut canvas = Canvas::new((100.0, 50.0), "a < b", "note");
            canvas.mark((1.0 / 3.0, -0.01), Mark::Cross, "ours", "case");
            canvas.finish()
        };
        assert_eq!(draw(), draw());
        assert!(draw().contains("a &lt; b") && draw().contains("M0.3 0m-3.2-3.2"), "{}", draw());
    }
}
