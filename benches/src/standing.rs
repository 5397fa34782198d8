//! Where the kernels stand: against an ideal kernel and against the best peer of each case, by band.

use crate::count::FLOOR_US;
use crate::names::{Band, Name, geometric_mean};
use crate::peers::{OpPeers, PeerTable};
use crate::record::{CaseRecord, Record};
use crate::table::table;
use std::collections::BTreeMap;

/// Ours may be this much slower than the best peer before a case is listed: two runs differ by as much.
const NOTICEABLE: f64 = 1.02;

/// Marks a peer that was not measured in the run: its time is that of an older table, scaled.
const SCALED: &str = " (scaled)";

/// One case against its peers.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// Ours.
    pub ours: &'a CaseRecord,
    /// The parts of its name.
    pub name: Name<'a>,
    /// Microseconds of an ideal kernel, with what any launch costs by this method.
    pub ideal_us: f64,
    /// The fastest peer of the same operation.
    pub best: Option<(&'a str, f64)>,
    /// Microseconds of the kernel that ours takes the place of.
    pub replaced_us: Option<f64>,
}

impl Standing<'_> {
    /// Our time over the best peer's: above 1 is slower.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.ours.us / self.best?.1)
    }
}

/// The cases of an operation against its peers.
pub fn standings<'a>(
    record: &'a Record,
    op: &str,
    peers: Option<&'a OpPeers>,
) -> Vec<Standing<'a>> {
    let cases = record.cases.iter().filter(|case| case.op == op);
    cases
        .filter_map(|ours| {
            let replaced = peers.and_then(OpPeers::replaced);
            Some(Standing {
                ours,
                name: Name::parse(&ours.case)?,
                ideal_us: ours.ideal_us + FLOOR_US,
                best: peers.and_then(|p| p.best(&ours.case)).map(|(peer, us)| (&*peer.name, us)),
                replaced_us: peers.and_then(|p| p.time(&ours.case, &replaced?.name)),
            })
        })
        .collect()
}

/// The bands of every operation of a record, and the cases that a peer does faster.
pub fn report(record: &Record, peers: Option<&PeerTable>) -> String {
    let whose = peers.map_or("no peers were measured on this GPU".to_owned(), |table| {
        format!("peers  {}, driver {}, {}", table.gpu, table.driver, table.date)
    });
    let head = format!(
        "ours   {}\n{whose}\ntime / ideal, geometric means; ideal = max(bytes / 4.65 TB/s, FLOP / 1.5 PFLOP/s) \
         + {FLOOR_US:.1} us\n",
        record.meta.title()
    );
    let mut ops: Vec<&str> = record.cases.iter().map(|case| &*case.op).collect();
    ops.dedup();
    let of_op = |op: &str| {
        let op_peers = peers.and_then(|table| table.operation(op));
        let standings = standings(record, op, op_peers);
        format!("\n{op}\n{}{}", bands(&standings, op_peers), behind(&standings))
    };
    ops.into_iter().map(of_op).fold(head, |head, part| head + &part)
}

fn bands(standings: &[Standing], peers: Option<&OpPeers>) -> String {
    let mut bands: BTreeMap<Band, Vec<&Standing>> = BTreeMap::new();
    for standing in standings {
        bands.entry(standing.name.band()).or_default().push(standing);
    }
    let mut rows: Vec<Vec<String>> =
        bands.iter().map(|(band, of)| row(band.to_string(), of)).collect();
    rows.push(row("all".to_owned(), &standings.iter().collect::<Vec<_>>()));
    let replaced = peers.and_then(OpPeers::replaced).map_or("replaced", |peer| &*peer.name);
    let header =
        ["band", "cases", "ours", "best peer", replaced, "ours / best peer", "faster", "slower"];
    table(&header, &rows)
}

fn row(band: String, of: &[&Standing]) -> Vec<String> {
    let mean = |number: &dyn Fn(&Standing) -> Option<f64>| {
        let mean = geometric_mean(of.iter().filter_map(|standing| number(standing)));
        mean.map_or("-".to_owned(), |mean| format!("{mean:.3}"))
    };
    let count = |slower: bool| {
        let ratios = of.iter().filter_map(|standing| standing.ratio());
        ratios.filter(|&ratio| (ratio > 1.0) == slower).count().to_string()
    };
    vec![
        band,
        of.len().to_string(),
        mean(&|s| Some(s.ours.us / s.ideal_us)),
        mean(&|s| Some(s.best?.1 / s.ideal_us)),
        mean(&|s| Some(s.replaced_us? / s.ideal_us)),
        mean(&|s| s.ratio()),
        count(false),
        count(true),
    ]
}

/// The cases that a peer does noticeably faster, the worst first.
fn behind(standings: &[Standing]) -> String {
    let mut behind: Vec<(&Standing, f64)> = standings
        .iter()
        .filter_map(|standing| Some((standing, standing.ratio()?)))
        .filter(|(_, ratio)| *ratio > NOTICEABLE)
        .collect();
    if behind.is_empty() {
        return String::new();
    }
    behind.sort_by(|(_, p), (_, q)| q.total_cmp(p));
    let rows: Vec<Vec<String>> = behind
        .iter()
        .filter_map(|(standing, ratio)| {
            let (peer, us) = standing.best?;
            let times = [standing.ours.us, us].map(|us| format!("{us:.1}"));
            let [ours, best] = times;
            let name = standing.ours.case.clone();
            let scaled = standing.ours.peers.get(peer).is_some_and(|time| time.scaled_by.is_some());
            let peer = format!("{peer}{}", if scaled { SCALED } else { "" });
            Some(vec![name, ours, best, format!("{ratio:.3}"), peer])
        })
        .collect();
    let header = ["slower than the best peer by more than 2 %", "us", "best us", "ratio", "peer"];
    format!("\n{}", table(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{Peer, PeerTime};

    fn record(times: &[(&str, f64)]) -> Record {
        let case = |&(case, us): &(&str, f64)| CaseRecord {
            op: "op".to_owned(),
            case: case.to_owned(),
            us,
            ideal_us: 96.0,
            ..CaseRecord::default()
        };
        Record { cases: times.iter().map(case).collect(), ..Record::default() }
    }

    fn table(best: [f64; 2]) -> PeerTable {
        let peer = |name: &str, what: &str| Peer {
            name: name.to_owned(),
            same_operation: true,
            what: what.to_owned(),
            ..Peer::default()
        };
        let cases = ["a/E8/M8/zipf", "b/E8/M8/zipf"].map(str::to_owned);
        let cases =
            cases.into_iter().zip(best).map(|(case, us)| (case, vec![Some(200.0), Some(us)]));
        let peers = vec![peer("theirs", "op"), peer("best", "another")];
        let operations = vec![OpPeers { op: "op".to_owned(), peers, cases: cases.collect() }];
        PeerTable { operations, ..PeerTable::default() }
    }

    #[test]
    fn bands_hold_means_and_counts_and_what_is_behind_is_listed() {
        let record = record(&[("a/E8/M8/zipf", 110.0), ("b/E8/M8/zipf", 110.0)]);
        let report = report(&record, Some(&table([100.0, 121.0])));
        let line = report.lines().find(|line| line.starts_with("m <= 16, zipf")).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        // The root of 1.1 / 1.1: one faster, one slower.
        assert_eq!(cells[4..], ["2", "1.100", "1.100", "2.000", "1.000", "1", "1"], "{report}");
        let listed: Vec<&str> = report.lines().filter(|line| line.ends_with("best")).collect();
        assert_eq!(listed.len(), 1, "{report}");
        assert!(listed[0].starts_with("a/E8/M8/zipf") && listed[0].contains("1.100"));
    }

    #[test]
    fn a_peer_that_was_not_measured_is_marked() {
        let mut record = record(&[("a/E8/M8/zipf", 110.0)]);
        let table = table([100.0, 121.0]);
        assert!(!report(&record, Some(&table)).contains("(scaled)"));
        let time = PeerTime { us: 100.0, scaled_by: Some("theirs".to_owned()) };
        record.cases[0].peers.insert("best".to_owned(), time);
        assert!(report(&record, Some(&table)).contains("best (scaled)"));
    }

    #[test]
    fn without_peers_only_the_ideal_is_a_measure() {
        let record = record(&[("a/E8/M8/zipf", 150.0)]);
        let report = report(&record, None);
        assert!(report.contains("no peers") && report.contains("1.500"), "{report}");
    }
}
