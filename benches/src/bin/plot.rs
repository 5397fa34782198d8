//! Draws the plots of `docs/plots` from records.

use anyhow::{Context as _, Result};
use clap::Parser;
use expert_gemm_benches::plot;
use expert_gemm_benches::record::Record;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draw roofline, ratio to the best peer and time over ideal, as SVG
#[derive(Parser)]
struct Args {
    /// Records to draw from; by default all of the H200. The newest of them that holds most of an operation's cases counts
    records: Vec<PathBuf>,
    /// Where to write the plots
    #[arg(long, default_value = "docs/plots")]
    out: PathBuf,
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
    let records = if args.records.is_empty() {
        plot::records(Path::new("benches/record/h200"))?
    } else {
        args.records.iter().map(|path| Record::read(path)).collect::<Result<_>>()?
    };
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    for (file, text) in plot::draw(&records)? {
        let path = args.out.join(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
