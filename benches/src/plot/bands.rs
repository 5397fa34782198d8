//! Our time over that of the best peer, every case of a band in one row.

use super::Data;
use crate::canvas::{self, Anchor, Canvas, Mark, Scale};
use crate::names::{Band, geometric_mean};
use crate::standing::Standing;
use std::collections::BTreeMap;

const LEFT: f64 = 150.0;
const WIDTH: f64 = 640.0;
const TOP: f64 = 110.0;
const ROW: f64 = 22.0;
const SECTION: f64 = 34.0;

/// Draws the bands of all operations below each other.
pub(super) fn draw(data: &Data) -> String {
    let sections: Vec<(String, BTreeMap<Band, Vec<Standing>>)> = [
        ("FP8 grouped GEMM", &data.fp8),
        ("MXFP8 grouped GEMM; its best peer is mostly PyTorch's bf16", &data.mxfp8),
        ("MXFP8 quantiser", &data.quant),
    ]
    .into_iter()
    .map(|(title, of)| {
        let mut bands: BTreeMap<Band, Vec<Standing>> = BTreeMap::new();
        for standing in of.standings() {
            if standing.best.is_some() {
                bands.entry(standing.name.band()).or_default().push(standing);
            }
        }
        (format!("{title} ({})", of.dates()), bands)
    })
    .collect();
    let rows: usize = sections.iter().map(|(_, bands)| bands.len()).sum();
    let height = TOP + sections.len() as f64 * SECTION + rows as f64 * ROW;
    let mut canvas = Canvas::new(
        (LEFT + WIDTH + 120.0, height + 60.0),
        "Time against the best peer of each case, on one H200",
        "Left of 1 ours is faster than every peer that was measured. One dot a case; the diamond is the geometric mean of a band.",
    );
    canvas
        .legend((LEFT, 78.0), &[(Mark::Circle, "ours", "a case"), (Mark::Diamond, "mean", "mean")]);
    let x = Scale { numbers: (0.3, 1.45), pixels: (LEFT, LEFT + WIDTH) };
    for number in [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4] {
        let class = canvas::grid_class(number);
        canvas.line((x.at(number), TOP - 6.0), (x.at(number), height), class);
        canvas.text((x.at(number), height + 18.0), Anchor::Middle, "note", &number.to_string());
    }
    let middle = LEFT + WIDTH / 2.0;
    canvas.text((middle, height + 40.0), Anchor::Middle, "", "our time / best peer's time");
    canvas.text((LEFT + WIDTH + 20.0, TOP - 12.0), Anchor::Start, "note", "mean (cases)");

    let mut y = TOP;
    for (title, bands) in &sections {
        canvas.text((20.0, y + 18.0), Anchor::Start, "head", title);
        y += SECTION;
        for (band, standings) in bands {
            row(&mut canvas, &x, y, &label(band), standings);
            y += ROW;
        }
    }
    canvas.finish()
}

fn row(canvas: &mut Canvas, x: &Scale, y: f64, label: &str, standings: &[Standing]) {
    canvas.text((LEFT - 12.0, y + 4.0), Anchor::End, "", label);
    for (i, standing) in standings.iter().enumerate() {
        let (Some(ratio), Some((peer, _))) = (standing.ratio(), standing.best) else { continue };
        let says = format!("{}: {ratio:.3} of {peer}", standing.ours.case);
        // Spread over the height of the row, so that equal cases stay apart.
        let offset = (i * 7 % 11) as f64 - 5.0;
        canvas.mark((x.at(ratio), y + offset), Mark::Circle, "ours", &says);
    }
    if let Some(mean) = geometric_mean(standings.iter().filter_map(Standing::ratio)) {
        canvas.mark((x.at(mean), y), Mark::Diamond, "mean", "");
        let said = format!("{mean:.2} ({})", standings.len());
        canvas.text((LEFT + WIDTH + 20.0, y + 4.0), Anchor::Start, "", &said);
    }
}

fn label(band: &Band) -> String {
    band.to_string().replace("<=", "\u{2264}")
}
