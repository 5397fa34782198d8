//! Results of GPUs against the emulator: the same programs on the same inputs leave the same bytes.

mod common;

use common::Emulated;
use expert_gemm_tests::gpu::say;
use ptx_emulator::Timing;
use ptx_emulator::capture::{COLLECTIONS, Case, Collection, Corpus, Record, Runner, wgmma_half};
use ptx_emulator::semantics::tensor::{WGMMA_BF16, WGMMA_F16};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

fn corpus(collection: &Collection, file: &str) -> Corpus {
    let path = folder().join(file);
    let file = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; run `capture {}` on a GPU", path.display(), collection.name)
    });
    Corpus::read(&file[..]).expect("the file is whole")
}

/// Each record with its case.
fn pairs<'a>(corpus: &'a Corpus, cases: &'a [Case]) -> Vec<(&'a Case, &'a Record)> {
    let by_name: BTreeMap<&str, &Case> =
        cases.iter().map(|case| (case.name.as_str(), case)).collect();
    let pair = |record: &'a Record| {
        let case = by_name.get(record.name.as_str()).copied();
        let case = case.unwrap_or_else(|| panic!("{}: no such case", record.name));
        let of_case = (case.fingerprint(), case.tiles, case.output_bytes);
        let of_record = (record.fingerprint, record.tiles, record.output.len());
        assert_eq!(of_case, of_record, "{}: the case has changed, capture again", case.name);
        (case, record)
    };
    corpus.records.iter().map(pair).collect()
}

/// Runs one case and says what differs.
fn replay(case: &Case, record: &Record, timing: Timing) -> Result<(), String> {
    let emulated = Emulated::timed(timing, 4);
    let outcome = Runner::new(emulated.device.clone()).run(case);
    let reports = emulated.reports();
    let describe =
        |what: String| format!("{} ({timing:?}): {what} {}", case.name, reports.join("\n  "));
    let output = outcome.map_err(|error| describe(error.to_string()))?;
    let differing = output.iter().zip(&record.output).filter(|(a, b)| a != b).count();
    if differing > 0 || output.len() != record.output.len() {
        let first = output.iter().zip(&record.output).position(|(a, b)| a != b);
        return Err(describe(format!("{differing} bytes differ, first {first:?}")));
    }
    if reports.is_empty() { Ok(()) } else { Err(describe(String::new())) }
}

fn replay_all(collection: &Collection, file: &str) {
    let corpus = corpus(collection, file);
    let cases = (collection.cases)();
    let runs: Vec<_> = pairs(&corpus, &cases)
        .into_iter()
        .flat_map(|(case, record)| common::timings(7).map(|timing| (case, record, timing)))
        .collect();
    let failures: Vec<(&str, String)> = runs
        .par_iter()
        .filter_map(|&(case, record, timing)| {
            Some((case.symbol, replay(case, record, timing).err()?))
        })
        .collect();
    say(&format!(
        "{} tiles of {} cases (of {}) from {} replayed, {} runs failed",
        corpus.tiles(),
        corpus.records.len(),
        cases.len(),
        corpus.device,
        failures.len()
    ));
    let mut by_program: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (symbol, failure) in &failures {
        by_program.entry(symbol).or_default().push(failure);
    }
    for (symbol, failures) in &by_program {
        let first = failures[0].lines().next().unwrap_or_default();
        say(&format!("{symbol}: {} runs, such as {first}", failures.len()));
    }
    assert!(failures.is_empty(), "{} of {} runs failed", failures.len(), runs.len());
    assert!(corpus.tiles() >= collection.least_tiles, "{} tiles", corpus.tiles());
}

#[test]
fn every_captured_tile_is_replayed_without_a_difference() {
    for collection in COLLECTIONS {
        for file in collection.files {
            replay_all(&collection, file);
        }
    }
}

/// A file that nobody lists would be replayed by nobody, and one with a wrong name would claim another GPU.
#[test]
fn every_file_is_listed_and_named_after_its_gpu() {
    let listed: BTreeSet<String> = COLLECTIONS
        .iter()
        .flat_map(|collection| collection.files)
        .map(|&file| file.into())
        .collect();
    let found = std::fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("a file").file_name());
    let found: BTreeSet<String> = found
        .filter_map(|name| name.into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "bin"))
        .collect();
    assert_eq!(found, listed);
    for collection in COLLECTIONS {
        for file in collection.files {
            let gpu = file.split(['_', '.']).next().unwrap_or_default().to_uppercase();
            let device = corpus(&collection, file).device;
            assert!(device.split_whitespace().any(|word| word == gpu), "{file} is of {device}");
        }
    }
}

/// A replay that finds nothing wrong proves something only if it can find something.
#[test]
fn a_changed_byte_is_seen() {
    let corpus = corpus(&COLLECTIONS[0], COLLECTIONS[0].files[0]);
    let cases = (COLLECTIONS[0].cases)();
    let (case, record) = pairs(&corpus, &cases)[0];
    let mut changed = record.clone();
    changed.output[77] ^= 1;
    assert!(replay(case, &changed, Timing::Early).is_err());
}

/// What a capture of 16-bit operands would hold if the hardware did what the emulator does: the programs are right.
#[test]
fn the_programs_of_16_bits_do_what_their_model_says() {
    let cases = [("bf16", WGMMA_BF16), ("f16", WGMMA_F16)].map(|(name, rule)| {
        let collection = Collection::named(name).expect("a collection");
        (collection.cases)().into_iter().map(move |case| (case, rule)).collect::<Vec<_>>()
    });
    let failures: Vec<String> = cases
        .concat()
        .par_iter()
        .filter_map(|(case, rule)| {
            assert_eq!(Some(rule.element), wgmma_half::element(case.symbol));
            let output = wgmma_half::output(case, |acc, a, b| rule.dot(acc, a, b));
            let Case { name, tiles, .. } = case.clone();
            let record = Record { name, fingerprint: case.fingerprint(), tiles, output };
            replay(case, &record, Timing::Early).err()
        })
        .collect();
    assert!(failures.is_empty(), "{} cases: {}", failures.len(), failures[0]);
}
