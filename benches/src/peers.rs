//! What other libraries need for the same cases.
//!
//! A table of `benches/peers` is one run of many peers on one GPU. A record may also carry the times of peers that were
//! measured in its own run, between ours; those come first.

use crate::record::{Record, slug};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The tables of `benches/peers`, newest last.
const TABLES: [&str; 1] = [include_str!("../peers/h200-2026-11-23.json")];

/// A kernel of another library.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    /// Its column.
    pub name: String,
    /// Whether it computes what the operation does, possibly from another layout. The others are context: bf16, coarser
    /// scales, scales in another order.
    pub same_operation: bool,
    /// Library and version.
    pub version: String,
    /// Which of its kernels; the operation's own name for the kernel that ours takes the place of.
    pub what: String,
}

/// The peers of an operation.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct OpPeers {
    /// Operation.
    pub op: String,
    /// Columns.
    pub peers: Vec<Peer>,
    /// By case, microseconds of each column; `null` where the peer was not measured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cases: BTreeMap<String, Vec<Option<f64>>>,
}

/// A peer's time in a record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PeerTime {
    /// Median microseconds, by the method of the record.
    pub us: f64,
    /// If it was not measured in this run: the peer by which the figure of an older table was scaled, which was measured
    /// in both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled_by: Option<String>,
}

/// Peers of one GPU.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
pub struct PeerTable {
    /// Name of the GPU.
    pub gpu: String,
    /// Version of the driver.
    pub driver: String,
    /// Day of the run.
    pub date: String,
    /// Columns and times of each operation.
    pub operations: Vec<OpPeers>,
}

impl PeerTable {
    /// The newest table of a GPU; `None` if there is none.
    ///
    /// # Errors
    /// If a table is malformed.
    pub fn of(gpu: &str) -> Result<Option<Self>> {
        let tables: Vec<Self> =
            TABLES.iter().map(|text| Ok(serde_json::from_str(text)?)).collect::<Result<_>>()?;
        Ok(tables.into_iter().rfind(|table| slug(&table.gpu) == slug(gpu)))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// If there is no such file, or it holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no table of peers", path.display()))
    }

    /// The peers that a record carries; `None` if it carries none.
    pub fn in_record(record: &Record) -> Option<Self> {
        let operations: Vec<OpPeers> = record
            .meta
            .peers
            .iter()
            .map(|columns| {
                let cases = record.cases.iter().filter(|case| case.op == columns.op);
                let times = |case: &crate::record::CaseRecord| {
                    let time = |peer: &Peer| Some(case.peers.get(&peer.name)?.us);
                    (case.case.clone(), columns.peers.iter().map(time).collect())
                };
                OpPeers { cases: cases.map(times).collect(), ..columns.clone() }
            })
            .collect();
        let meta = &record.meta;
        let (gpu, driver, date) = (meta.gpu.clone(), meta.driver.clone(), meta.date.clone());
        (!operations.is_empty()).then_some(Self { gpu, driver, date, operations })
    }

    /// The peers of a record's own run, or else the newest table of its GPU.
    ///
    /// # Errors
    /// If a table is malformed.
    pub fn for_record(record: &Record) -> Result<Option<Self>> {
        Self::in_record(record).map_or_else(|| Self::of(&record.meta.gpu), |table| Ok(Some(table)))
    }

    /// The peers of an operation.
    pub fn operation(&self, op: &str) -> Option<&OpPeers> {
        self.operations.iter().find(|operation| operation.op == op)
    }
}

impl OpPeers {
    /// All peers that were measured on a case, with microseconds.
    pub fn times(&self, case: &str) -> impl Iterator<Item = (&Peer, f64)> {
        let times = self.cases.get(case).into_iter().flatten();
        self.peers.iter().zip(times).filter_map(|(peer, us)| Some((peer, (*us)?)))
    }

    /// The fastest peer of the same operation.
    pub fn best(&self, case: &str) -> Option<(&Peer, f64)> {
        let same = self.times(case).filter(|(peer, _)| peer.same_operation);
        same.min_by(|(_, p), (_, q)| p.total_cmp(q))
    }

    /// The kernel that ours takes the place of.
    pub fn replaced(&self) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.what == self.op)
    }

    /// The time of one peer.
    pub fn time(&self, case: &str, name: &str) -> Option<f64> {
        self.times(case).find(|(peer, _)| peer.name == name).map(|(_, us)| us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CaseRecord, Meta};
    use crate::shapes::{Set, quant_name};
    use crate::suites::Suite;

    #[test]
    fn the_table_holds_every_case_of_its_set() {
        let table = PeerTable::of("NVIDIA H200").unwrap().unwrap();
        assert!(PeerTable::of("NVIDIA B200").unwrap().is_none());
        let products: Vec<String> = Set::Peers
            .groups()
            .iter()
            .flat_map(|(_, cases)| cases.iter().map(ToString::to_string))
            .collect();
        let quant: Vec<String> = Set::Peers.quant_cases().iter().map(quant_name).collect();
        let all =
            [(Suite::Fp8, &products), (Suite::Mxfp8Mm, &products), (Suite::Mxfp8Quant, &quant)];
        for (suite, cases) in all {
            let peers = table.operation(suite.op_name()).unwrap();
            assert_eq!(peers.cases.len(), cases.len());
            assert!(peers.cases.values().all(|times| times.len() == peers.peers.len()));
            assert!(cases.iter().all(|case| peers.best(case).is_some()));
        }
        let fp8 = table.operation(Suite::Fp8.op_name()).unwrap();
        assert_eq!(fp8.replaced().unwrap().name, "sgl_es");
        let (best, us) = fp8.best("dsv3_gateup/E32/M8/balanced").unwrap();
        assert_eq!((&*best.name, us), ("triton_ptr", 227.36));
    }

    #[test]
    fn peers_of_a_records_own_run_are_found() {
        let peer = |name: &str, same_operation| Peer {
            name: name.to_owned(),
            same_operation,
            ..Peer::default()
        };
        let peers = vec![peer("bf16", false), peer("slow", true), peer("quick", true)];
        let columns = OpPeers { op: "op".to_owned(), peers, cases: BTreeMap::new() };
        let times = [("bf16", 1.0), ("quick", 2.0), ("slow", 3.0)];
        let times = times.map(|(name, us)| (name.to_owned(), PeerTime { us, scaled_by: None }));
        let case = CaseRecord {
            op: "op".to_owned(),
            case: "case".to_owned(),
            peers: times.into(),
            ..CaseRecord::default()
        };
        let meta = Meta { peers: vec![columns], ..Meta::default() };
        let record = Record { meta, cases: vec![case] };
        let text = serde_json::to_string(&record).unwrap();
        let table = PeerTable::in_record(&serde_json::from_str(&text).unwrap()).unwrap();
        let (best, us) = table.operation("op").unwrap().best("case").unwrap();
        assert_eq!((&*best.name, us), ("quick", 2.0));
        assert!(PeerTable::in_record(&Record::default()).is_none());
    }
}
