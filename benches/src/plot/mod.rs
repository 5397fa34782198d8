//! Plots of records, as SVG in `docs/plots`.

mod bands;
mod models;
mod roofline;

use crate::peers::{OpPeers, PeerTable};
use crate::record::Record;
use crate::standing::{Standing, standings};
use crate::suites::Suite;
use anyhow::{Context as _, Result};
use std::path::Path;

/// Draws one plot.
type Draw = fn(&Data) -> String;

/// What a file of `docs/plots` is called, and what draws it.
const PLOTS: [(&str, Draw); 3] = [
    ("roofline.svg", roofline::draw),
    ("best_peer.svg", bands::draw),
    ("time_over_ideal.svg", models::draw),
];

/// The records that `docs/plots` shows, below `benches/record`: of each operation the newest, of two of one day the last.
const SHOWN: [&str; 3] = [
    "h200/2026-11-27.json",
    "h200-with-peers/2026-11-27-mxfp8-later.json",
    "h200-with-peers/2026-11-28-fp8-halves.json",
];

/// An operation's record and peers.
struct OpData {
    op: &'static str,
    date: String,
    record: Record,
    peers: Option<OpPeers>,
    peers_date: String,
}

impl OpData {
    /// From the newest of some records that hold most of the operation's cases.
    fn newest(suite: Suite, records: &[Record]) -> Result<Self> {
        let op = suite.op_name();
        let count = |record: &Record| record.cases.iter().filter(|case| case.op == op).count();
        let most = records.iter().map(count).max().unwrap_or(0);
        let record = records
            .iter()
            .filter(|record| count(record) > most / 2)
            .max_by(|p, q| p.meta.date.cmp(&q.meta.date))
            .with_context(|| format!("no record holds {op}"))?
            .clone();
        let table = PeerTable::for_record(&record)?;
        let peers_date = table.as_ref().map_or("never".to_owned(), |table| table.date.clone());
        let peers = table.and_then(|table| table.operation(op).cloned());
        Ok(Self { op, date: record.meta.date.clone(), record, peers, peers_date })
    }

    /// When both were measured.
    fn dates(&self) -> String {
        format!("ours {}, peers {}", self.date, self.peers_date)
    }

    fn standings(&self) -> Vec<Standing<'_>> {
        standings(&self.record, self.op, self.peers.as_ref())
    }
}

/// What the plots show.
struct Data {
    fp8: OpData,
    mxfp8: OpData,
    quant: OpData,
}

/// Draws every plot from some records, of each operation from the newest that holds most of its cases.
///
/// # Errors
/// If an operation is in no record.
pub fn draw(records: &[Record]) -> Result<Vec<(&'static str, String)>> {
    let newest = |suite| OpData::newest(suite, records);
    let (fp8, mxfp8) = (newest(Suite::Fp8)?, newest(Suite::Mxfp8Mm)?);
    let data = Data { fp8, mxfp8, quant: newest(Suite::Mxfp8Quant)? };
    Ok(PLOTS.iter().map(|(file, draw)| (*file, draw(&data))).collect())
}

/// The records that `docs/plots` shows, from the folder of all records.
///
/// # Errors
/// If one cannot be read.
pub fn shown(folder: &Path) -> Result<Vec<Record>> {
    SHOWN.iter().map(|path| Record::read(&folder.join(path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_plots_are_those_of_the_records() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let records = shown(&package.join("record")).unwrap();
        for (file, drawn) in draw(&records).unwrap() {
            let path = package.join("../docs/plots").join(file);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == drawn, "docs/plots/{file} is stale: run `cargo xtask plot`");
        }
    }

    #[test]
    fn a_record_of_a_few_cases_does_not_hide_a_full_one() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut records = shown(&package.join("record")).unwrap();
        let mut few = records[0].clone();
        few.meta.date = "2999-01-01".to_owned();
        few.cases.truncate(5);
        records.push(few);
        assert_ne!(OpData::newest(Suite::Fp8, &records).unwrap().date, "2999-01-01");
    }
}
