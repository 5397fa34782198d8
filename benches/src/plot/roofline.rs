//! Operations per byte against operations per second, below the two ceilings.

use super::Data;
use crate::canvas::{Anchor, Canvas, Mark, Point, Scale};
use crate::count::{IDEAL_BYTES_PER_S, IDEAL_FLOPS_PER_S};
use crate::standing::Standing;

const PANEL: Point = (400.0, 300.0);
const LEFT: f64 = 70.0;
const GAP: f64 = 70.0;
const TOP: f64 = 120.0;

/// Draws the two products side by side.
pub(super) fn draw(data: &Data) -> String {
    let mut canvas = Canvas::new(
        (2.0 * PANEL.0 + LEFT + GAP + 20.0, TOP + PANEL.1 + 80.0),
        "Roofline: grouped GEMM on one H200",
        "Every case: FLOP per byte that has to move against TFLOP/s. The roof is 4.65 TB/s of memory and 1.5 PFLOP/s of FP8.",
    );
    let entries = [
        (Mark::Circle, "ours", "ours, balanced"),
        (Mark::Circle, "skewed", "ours, Zipf"),
        (Mark::Cross, "peer", "best peer of the case"),
    ];
    canvas.legend((LEFT, 78.0), &entries);
    let panels = [(&data.fp8, "FP8"), (&data.mxfp8, "MXFP8 in f16 or bf16")];
    for (i, (of, title)) in panels.into_iter().enumerate() {
        let left = LEFT + i as f64 * (PANEL.0 + GAP);
        let head = format!("{title} ({})", of.dates());
        canvas.text((left, TOP - 12.0), Anchor::Start, "head", &head);
        panel(&mut canvas, left, &of.standings());
    }
    canvas.finish()
}

fn panel(canvas: &mut Canvas, left: f64, standings: &[Standing]) {
    let bottom = TOP + PANEL.1;
    let x = Scale { numbers: (1.0, 10_000.0), pixels: (left, left + PANEL.0) };
    let y = Scale { numbers: (2.0, 2000.0), pixels: (bottom, TOP) };
    for number in [1.0, 10.0, 100.0, 1000.0, 10_000.0] {
        canvas.line((x.at(number), TOP), (x.at(number), bottom), "grid");
        canvas.text((x.at(number), bottom + 18.0), Anchor::Middle, "note", &number.to_string());
    }
    for number in [2.0, 10.0, 100.0, 1000.0] {
        canvas.line((left, y.at(number)), (left + PANEL.0, y.at(number)), "grid");
        canvas.text((left - 8.0, y.at(number) + 4.0), Anchor::End, "note", &number.to_string());
    }
    canvas.text((left + PANEL.0 / 2.0, bottom + 40.0), Anchor::Middle, "", "FLOP / byte");
    canvas.turned_text((left - 45.0, TOP + PANEL.1 / 2.0), -90.0, "", "TFLOP/s");

    let (slope, flat) = (IDEAL_BYTES_PER_S * 1e-12, IDEAL_FLOPS_PER_S * 1e-12);
    let from = y.numbers.0 / slope;
    let roof = |intensity: f64| (x.at(intensity), y.at((intensity * slope).min(flat)));
    canvas.line(roof(from.max(x.numbers.0)), roof(flat / slope), "ceiling");
    canvas.line(roof(flat / slope), roof(x.numbers.1), "ceiling");
    let (start, end) = (roof(10.0), roof(100.0));
    let degrees = (end.1 - start.1).atan2(end.0 - start.0).to_degrees();
    let (middle_x, middle_y) = roof(30.0);
    canvas.turned_text((middle_x - 8.0, middle_y - 8.0), degrees, "note", "4.65 TB/s");
    canvas.text((x.at(2600.0), y.at(flat) - 6.0), Anchor::Middle, "note", "1500 TFLOP/s");

    // Those of others first: ours lie above.
    for standing in standings {
        let Some((peer, us)) = standing.best else { continue };
        let at = |rate: f64| (x.at(intensity(standing)), y.at(rate));
        let says = format!("{}: {peer} {us:.1} us", standing.ours.case);
        let theirs = standing.ours.tflops * standing.ours.us / us;
        canvas.mark(at(theirs), Mark::Cross, "peer", &says);
    }
    for standing in standings {
        let ours = standing.ours;
        let class = if standing.name.distribution == "balanced" { "ours" } else { "skewed" };
        let says = format!("{}: {:.1} us, {:.0} TFLOP/s", ours.case, ours.us, ours.tflops);
        canvas.mark((x.at(intensity(standing)), y.at(ours.tflops)), Mark::Circle, class, &says);
    }
}

/// FLOP per byte.
fn intensity(standing: &Standing) -> f64 {
    standing.ours.tflops / standing.ours.gbps * 1e3
}
