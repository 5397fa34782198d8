//! Runs every case of a collection on a GPU and keeps what it left: `capture NAME --out FILE`.
//!
//! The cases run in a child process, because a fault takes the device away from the process that caused it: after
//! a fault the next child goes on with the next case, and the summary names what failed.

use expert_gemm::Device;
use ptx_emulator::capture::{COLLECTIONS, Case, Collection, Corpus, Record, Runner};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Faults after which the parent gives up.
const MOST_FAULTS: usize = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let collection = arguments.first().and_then(|name| Collection::named(name));
    let result = match (collection, arguments.get(1..)) {
        (Some(collection), Some(["--out", out])) => capture(&collection, Path::new(out)),
        (Some(collection), Some(["--from", first, folder])) => {
            work(&collection, first, Path::new(folder))
        }
        _ => {
            let names = COLLECTIONS.map(|collection| collection.name).join(" | ");
            Err(format!("usage: capture ({names}) --out FILE").into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn output_file(folder: &Path, case: usize) -> PathBuf {
    folder.join(format!("{case}.out"))
}

/// A child: runs the cases from `first` on, and leaves a file for each.
fn work(collection: &Collection, first: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut runner = Runner::new(Device::open(0)?);
    for (index, case) in (collection.cases)().iter().enumerate().skip(first.parse()?) {
        let output = runner.run(case)?;
        // The same program on the same inputs must leave the same bytes, or it is no fact.
        if runner.run(case)? != output {
            return Err("two runs differ".into());
        }
        fs::write(output_file(folder, index), output)?;
    }
    Ok(())
}

fn capture(collection: &Collection, out: &Path) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let info = Device::open(0)?.info().clone();
    println!("{info}, driver for CUDA {}", info.driver_version);
    let folder = std::env::temp_dir().join(format!("capture-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let cases = (collection.cases)();
    let mut faults = 0;
    let mut first = 0;
    while first < cases.len() && faults < MOST_FAULTS {
        let mut child = Command::new(std::env::current_exe()?);
        let arguments = [collection.name, "--from", &first.to_string()];
        let child = child.args(arguments).arg(&folder).output()?;
        let done = (first..cases.len()).find(|&i| !output_file(&folder, i).exists());
        let Some(failed) = done else { break };
        faults += 1;
        let said = String::from_utf8_lossy(&child.stderr);
        println!("FAILED {}: {}", cases[failed].name, said.trim());
        first = failed + 1;
    }
    let corpus = collect(&folder, cases, info.name, info.driver_version.to_string())?;
    fs::remove_dir_all(&folder)?;
    corpus.write(BufWriter::new(File::create(out)?))?;
    println!(
        "{} tiles of {} cases in {}, {} bytes, {faults} cases failed, {:.1} s",
        corpus.tiles(),
        corpus.records.len(),
        out.display(),
        fs::metadata(out)?.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Reads what the children left, and prints the totals of each program.
fn collect(
    folder: &Path,
    cases: Vec<Case>,
    device: String,
    driver: String,
) -> Result<Corpus, Box<dyn Error>> {
    let mut records = Vec::new();
    // Cases, tiles and bytes of each program.
    let mut summary: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for (index, case) in cases.into_iter().enumerate() {
        let file = output_file(folder, index);
        if !file.exists() {
            continue;
        }
        let output = fs::read(file)?;
        let line = summary.entry(case.symbol).or_default();
        for (sum, part) in line.iter_mut().zip([1, u64::from(case.tiles), output.len() as u64]) {
            *sum += part;
        }
        let fingerprint = case.fingerprint();
        records.push(Record { name: case.name, fingerprint, tiles: case.tiles, output });
    }
    println!("{:<20} {:>6} {:>6} {:>9}", "program", "cases", "tiles", "bytes");
    for (symbol, [cases, tiles, bytes]) in &summary {
        println!("{symbol:<20} {cases:>6} {tiles:>6} {bytes:>9}");
    }
    Ok(Corpus { device, driver, records })
}
