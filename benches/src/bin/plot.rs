//! Draws the plots of `docs/plots` from records, and the drawings of layouts and kernels from the code.

use anyhow::{Context as _, Result};
use clap::Parser;
use expert_gemm_benches::record::Record;
use expert_gemm_benches::{drawings, plot};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draw roofline, ratio to the best peer and time over ideal, and the pictures of layouts and kernels, as SVG
#[derive(Parser)]
struct Args {
    /// Records to draw from; by default those that docs/plots shows. The newest of them that holds most of an operation's cases counts
    records: Vec<PathBuf>,
    /// Where to write the pictures: into plots, layouts and kernels of this folder
    #[arg(long, default_value = "docs")]
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
        plot::shown(Path::new("benches/record"))?
    } else {
        args.records.iter().map(|path| Record::read(path)).collect::<Result<_>>()?
    };
    for (file, text) in plot::draw(&records)? {
        write(&args.out.join("plots").join(file), &text)?;
    }
    for (file, text) in drawings::draw() {
        write(&args.out.join(file), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
