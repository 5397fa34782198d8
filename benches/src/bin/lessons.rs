//! Measures the kernels of the lessons, and the shipped one, on this machine's GPU.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use expert_gemm::Device;
use expert_gemm_benches::lessons::{check, figures, fill_pages, measure_all};
use expert_gemm_benches::record::Record;
use expert_gemm_benches::session;
use expert_gemm_tests::lessons;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure the kernels of docs/lessons on this machine's GPU
#[derive(Parser)]
struct Args {
    /// Only cases whose name (`<case>/<kernel>`) contains one of these, separated by commas
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// Where to write the record
    #[arg(long, default_value = "docs/lessons/h200.json")]
    out: PathBuf,
    /// Write the figures of the record into the pages beside it, and measure nothing. Needs no GPU
    #[arg(long)]
    pages: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.pages {
        let folder = args.out.parent().context("the record is in no folder")?;
        return fill_pages(folder, &Record::read(&args.out)?, false);
    }
    let device = Device::open(0).context("measuring needs a GPU")?;
    let lessons = lessons::load(&device)?;
    check(&device, &lessons)?;
    let (timer, meta) = session::begin(&device)?;
    let wants =
        |name: &str| args.cases.is_empty() || args.cases.iter().any(|part| name.contains(&**part));
    let cases = measure_all(&device, &timer, &lessons, &wants)?;
    ensure!(!cases.is_empty(), "no case has such a name");
    let record = Record { meta, cases };
    print!("\n{}", figures(&record, "all")?);
    let wrong = record.cases.iter().filter(|case| case.outputs_equal != case.outputs_sampled);
    let wrong: Vec<&str> = wrong.map(|case| &*case.case).collect();
    ensure!(wrong.is_empty(), "outputs are not as promised in {}", wrong.join(", "));
    record.write(&args.out)?;
    println!("\nwritten to {}", args.out.display());
    Ok(())
}
