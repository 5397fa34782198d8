//! The tables of docs/comparison.md are those of the records.

use expert_gemm_benches::names::{Name, Rows, geometric_mean};
use expert_gemm_benches::peers::{OpPeers, PeerTable};
use expert_gemm_benches::record::Record;
use std::path::Path;

/// The records that the page compares, by operation.
const RECORDS: [(&str, &str); 7] = [
    ("es_fp8_blockwise_scaled_grouped_mm", "record/h200/2026-11-23.json"),
    ("es_fp8_blockwise_scaled_grouped_mm", "record/h200-with-peers/2026-11-28-fp8-halves.json"),
    (
        "es_fp8_blockwise_scaled_grouped_mm",
        "record/h200-with-peers/2026-11-28-fp8-between-halves.json",
    ),
    ("es_sm100_mxfp8_blockscaled_grouped_mm", "record/h200/2026-11-26.json"),
    ("es_sm100_mxfp8_blockscaled_grouped_mm", "record/h200-with-peers/2026-11-27-mxfp8-later.json"),
    ("es_sm100_mxfp8_blockscaled_grouped_mm", "record/h100-with-peers/2026-11-27-mxfp8.json"),
    ("es_sm100_mxfp8_blockscaled_grouped_quant", "record/h200/2026-11-26.json"),
];

/// The library of a peer.
fn library(version: &str) -> &str {
    version.split([' ', ',']).next().unwrap_or_default()
}

/// The row of a library: by rows of an expert and over all, our time over its best for each case, as a geometric mean, with
/// the number of cases that ours does faster.
fn row(record: &Record, peers: &OpPeers, of: &str) -> String {
    let mut cells = vec![of.to_owned()];
    for band in Rows::ALL.map(Some).into_iter().chain([None]) {
        let ours = record.cases.iter().filter(|case| case.op == peers.op);
        let ratios: Vec<f64> = ours
            .filter(|case| {
                let name = Name::parse(&case.case).expect("a name");
                band.is_none_or(|band| name.band().rows == band)
            })
            .filter_map(|case| {
                let times = peers.times(&case.case);
                let its = times.filter(|(p, _)| p.same_operation && library(&p.version) == of);
                let best = its.map(|(_, us)| us).min_by(f64::total_cmp)?;
                Some(case.us / best)
            })
            .collect();
        let faster = ratios.iter().filter(|&&ratio| ratio < 1.0).count();
        cells.push(match geometric_mean(ratios.iter().copied()) {
            Some(mean) => format!("{mean:.2} ({faster} of {})", ratios.len()),
            None => "-".to_owned(),
        });
    }
    format!("| {} |", cells.join(" | "))
}

#[test]
fn the_page_has_the_row_of_every_library() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(package.join("../docs/comparison.md")).expect("the page");
    let mut missing = Vec::new();
    for (op, path) in RECORDS {
        let record = Record::read(&package.join(path)).expect("the record");
        let table = PeerTable::for_record(&record).expect("the peers").expect("peers of the GPU");
        let peers = table.operation(op).expect("peers of the operation");
        let mut libraries: Vec<&str> = Vec::new();
        for peer in peers.peers.iter().filter(|peer| peer.same_operation) {
            let library = library(&peer.version);
            if !libraries.contains(&library) {
                libraries.push(library);
            }
        }
        let rows = libraries.iter().map(|library| row(&record, peers, library));
        missing.extend(rows.filter(|row| !page.contains(row.as_str())));
    }
    assert!(missing.is_empty(), "docs/comparison.md lacks these rows:\n{}", missing.join("\n"));
}
