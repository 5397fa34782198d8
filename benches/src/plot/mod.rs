//! Plots of records, as SVG in `docs/plots`.

mod bands;
mod models;
mod roofline;

use crate::peers::{OpPeers, PeerTable};
use crate::record::Record;
use crate::standing::{Standing, standings};
use crate::suites::Suite;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Draws one plot.
type Draw = fn(&Data) -> String;

/// What a file of `docs/plots` is called, and what draws it.
const PLOTS: [(&str, Draw); 3] = [
    ("roofline.svg", roofline::draw),
    ("best_peer.svg", bands::draw),
    ("time_over_ideal.svg", models::draw),
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

/// The records of a folder.
///
/// # Errors
/// If the folder or a record in it cannot be read.
pub fn records(folder: &Path) -> Result<Vec<Record>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| Record::read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_plots_are_those_of_the_newest_records() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let records = records(&package.join("record/h200")).unwrap();
        for (file, drawn) in draw(&records).unwrap() {
            let path = package.join("../docs/plots").join(file);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == drawn, "docs/plots/{file} is stale: run `cargo xtask plot`");
        }
    }

    #[test]
    fn a_record_of_a_few_cases_does_not_hide_a_full_one() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut records = records(&package.join("record/h200")).unwrap();
        let mut few = records[0].clone();
        few.meta.date = "2999-01-01".to_owned();
        few.cases.truncate(5);
        records.push(few);
        assert_ne!(OpData::newest(Suite::Fp8, &records).unwrap().date, "2999-01-01");
    }
}
