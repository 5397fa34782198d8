//! What the plots are drawn with: a card that follows the reader's light or dark theme, text, lines and marks.
//!
//! The bytes depend on the numbers only: coordinates are rounded to a tenth of a pixel, attributes are sorted.

use svg::Document;
use svg::node::element::{Line, Path, Polyline, Rectangle, Style, Text, Title};

/// A point in pixels, from the upper left corner.
pub(super) type Point = (f64, f64);

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

/// The shape of a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
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
pub(super) enum Anchor {
    /// At its left end.
    Start,
    /// In the middle.
    Middle,
    /// At its right end.
    End,
}

/// A logarithmic scale: from numbers to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// The numbers at both ends.
    pub(super) numbers: (f64, f64),
    /// The pixels at both ends.
    pub(super) pixels: (f64, f64),
}

impl Scale {
    /// The pixel of a number; beyond the ends, that of the end.
    pub(super) fn at(&self, number: f64) -> f64 {
        let ((low, high), (from, to)) = (self.numbers, self.pixels);
        from + (number.clamp(low, high) / low).ln() / (high / low).ln() * (to - from)
    }

    /// Whether a number lies between the ends.
    pub(super) fn holds(&self, number: f64) -> bool {
        (self.numbers.0..=self.numbers.1).contains(&number)
    }
}

/// A drawing.
pub(super) struct Canvas {
    document: Document,
}

impl Canvas {
    /// A card with a title, and a line below it that says what is shown.
    pub(super) fn new(size: Point, title: &str, note: &str) -> Self {
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

    /// Writes a line of text with its baseline at a point.
    pub(super) fn text(&mut self, at: Point, anchor: Anchor, class: &str, content: &str) {
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
    pub(super) fn turned_text(&mut self, at: Point, degrees: f64, class: &str, content: &str) {
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
    pub(super) fn line(&mut self, from: Point, to: Point, class: &str) {
        let line = Line::new()
            .set("class", class)
            .set("x1", pixels(from.0))
            .set("y1", pixels(from.1))
            .set("x2", pixels(to.0))
            .set("y2", pixels(to.1));
        self.add(line);
    }

    /// Joins points.
    pub(super) fn join(&mut self, points: &[Point], class: &str) {
        let points: Vec<String> =
            points.iter().map(|&(x, y)| format!("{},{}", pixels(x), pixels(y))).collect();
        self.add(Polyline::new().set("class", class).set("points", points.join(" ")));
    }

    /// Puts a mark, with a line that appears where the reader points at it.
    pub(super) fn mark(&mut self, at: Point, mark: Mark, class: &str, says: &str) {
        let path = Path::new()
            .set("class", class)
            .set("d", format!("M{} {}{}", pixels(at.0), pixels(at.1), mark.path()));
        self.add(if says.is_empty() { path } else { path.add(Title::new(says)) });
    }

    /// A legend: marks with what they mean, in one line from a point on.
    pub(super) fn legend(&mut self, at: Point, entries: &[(Mark, &str, &str)]) {
        let (mut x, y) = at;
        for &(mark, class, content) in entries {
            self.mark((x + 4.0, y - 4.0), mark, class, "");
            self.text((x + 14.0, y), Anchor::Start, "", content);
            // More than a letter of this size takes on average, in any of the fonts.
            x += 34.0 + 7.4 * content.chars().count() as f64;
        }
    }

    /// The text of the file.
    pub(super) fn finish(self) -> String {
        self.document.to_string() + "\n"
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        svg::Node::append(&mut self.document, node);
    }
}

/// The class of a grid line: 1, which divides faster from slower, stands out.
pub(super) fn grid_class(number: f64) -> &'static str {
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
