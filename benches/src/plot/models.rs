//! Time over that of an ideal kernel by rows per expert, one panel for each projection and number of experts.

use super::Data;
use crate::canvas::{self, Anchor, Canvas, Mark, Point, Scale};
use crate::models::{Model, Part, Projection};
use crate::peers::Peer;
use crate::standing::Standing;

const PANEL: Point = (210.0, 124.0);
const GAP: Point = (42.0, 40.0);
const LEFT: f64 = 60.0;
const TOP: f64 = 128.0;

/// Libraries by the first word of their version, with their mark.
const LIBRARIES: [(&str, Mark, &str); 4] = [
    ("DeepGEMM", Mark::Square, "p0"),
    ("sglang-kernel", Mark::Diamond, "p1"),
    ("Triton", Mark::Triangle, "p2"),
    ("PyTorch", Mark::Cross, "p3"),
];

const COLUMNS: [(Model, Part); 4] = [
    (Model::DeepseekV3, Part::GateUp),
    (Model::DeepseekV3, Part::Down),
    (Model::Qwen3_235b, Part::GateUp),
    (Model::Qwen3_235b, Part::Down),
];
const EXPERTS: [u32; 4] = [8, 32, 128, 256];

/// Draws a column for each projection and a row for each number of experts.
pub(super) fn draw(data: &Data) -> String {
    let standings = data.fp8.standings();
    let width = LEFT + 4.0 * PANEL.0 + 3.0 * GAP.0 + 24.0;
    let height = TOP + 4.0 * PANEL.1 + 3.0 * GAP.1 + 56.0;
    let note = format!(
        "FP8 grouped GEMM, balanced routing ({}). Ideal: the larger of bytes / 4.65 TB/s and FLOP / 1.5 PFLOP/s, plus 4 us a launch.",
        data.fp8.dates()
    );
    let title = "Time / ideal by mean rows per expert, on one H200";
    let mut canvas = Canvas::new((width, height), title, &note);
    let mut entries = vec![(Mark::Circle, "ours", "ours")];
    entries.extend(LIBRARIES.iter().map(|&(library, mark, class)| (mark, class, library)));
    canvas.legend((LEFT, 78.0), &entries);
    canvas.text(
        (width - 24.0, 78.0),
        Anchor::End,
        "note",
        "the best kernel of each library; beyond 3: not shown",
    );
    for (column, (model, part)) in COLUMNS.into_iter().enumerate() {
        let projection = Projection { model, part };
        let head = format!("{projection}, {} x {}", projection.n(), projection.k());
        let left = LEFT + column as f64 * (PANEL.0 + GAP.0);
        canvas.text((left, TOP - 14.0), Anchor::Start, "head", &head);
        for (row, experts) in EXPERTS.into_iter().enumerate() {
            let name = projection.to_string();
            let mut of: Vec<&Standing> = standings
                .iter()
                .filter(|s| s.name.projection == name && s.name.experts == experts)
                .filter(|s| s.name.distribution == "balanced")
                .collect();
            if of.is_empty() {
                continue;
            }
            of.sort_by_key(|standing| standing.name.mean_rows);
            let top = TOP + row as f64 * (PANEL.1 + GAP.1);
            let label = format!("{experts} experts");
            canvas.text((left + PANEL.0 - 4.0, top + 14.0), Anchor::End, "note", &label);
            panel(&mut canvas, (left, top), &of, data);
        }
    }
    let middle = width / 2.0;
    canvas.text((middle, height - 14.0), Anchor::Middle, "", "mean rows per expert");
    canvas.turned_text((20.0, TOP + (height - TOP) / 2.0), -90.0, "", "time / ideal");
    canvas.finish()
}

fn panel(canvas: &mut Canvas, (left, top): Point, standings: &[&Standing], data: &Data) {
    let bottom = top + PANEL.1;
    let x = Scale { numbers: (0.8, 10_500.0), pixels: (left, left + PANEL.0) };
    let y = Scale { numbers: (1.0, 3.0), pixels: (bottom, top) };
    for number in [1.0, 8.0, 64.0, 512.0, 4096.0] {
        canvas.line((x.at(number), top), (x.at(number), bottom), "grid");
        canvas.text((x.at(number), bottom + 16.0), Anchor::Middle, "note", &number.to_string());
    }
    for number in [1.0, 1.25, 1.5, 2.0, 3.0] {
        let class = canvas::grid_class(number);
        canvas.line((left, y.at(number)), (left + PANEL.0, y.at(number)), class);
        canvas.text((left - 6.0, y.at(number) + 4.0), Anchor::End, "note", &number.to_string());
    }
    for standing in standings {
        let case = &standing.ours.case;
        for &(library, mark, class) in &LIBRARIES {
            let times = data.fp8.peers.iter().flat_map(|peers| peers.times(case));
            let own = times.filter(|(peer, _)| peer.same_operation && is_of(peer, library));
            let Some((peer, us)) = own.min_by(|(_, p), (_, q)| p.total_cmp(q)) else { continue };
            let ratio = us / standing.ideal_us;
            if y.holds(ratio) {
                let at = (x.at(f64::from(standing.name.mean_rows)), y.at(ratio));
                canvas.mark(at, mark, class, &format!("{case}: {} {us:.1} us", peer.name));
            }
        }
    }
    let ours: Vec<(Point, &Standing)> = standings
        .iter()
        .map(|standing| {
            let ratio = standing.ours.us / standing.ideal_us;
            ((x.at(f64::from(standing.name.mean_rows)), y.at(ratio)), *standing)
        })
        .collect();
    canvas.join(&ours.iter().map(|&(at, _)| at).collect::<Vec<_>>(), "path");
    for (at, standing) in ours {
        let says = format!("{}: {:.1} us", standing.ours.case, standing.ours.us);
        canvas.mark(at, Mark::Circle, "ours", &says);
    }
}

fn is_of(peer: &Peer, library: &str) -> bool {
    peer.version.starts_with(library)
}
