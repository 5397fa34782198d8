//! `cargo xtask mutants`: how many deliberate faults of the shipped kernels the emulator's suite finds.

use anyhow::Result;

use crate::{process, workspace};

/// Arguments of `mutants`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only of this kernel (the name of its module)
    #[arg(long)]
    kernel: Option<String>,
    /// Try only this many, drawn with the seed; all kernels have their share
    #[arg(long)]
    sample: Option<usize>,
    /// Seed of the sample
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Try the mutants whose names begin so
    #[arg(long)]
    only: Option<String>,
    /// Try every mutant there is: thousands
    #[arg(long)]
    all: bool,
}

impl Args {
    /// The sample that every change is tested with.
    pub(crate) fn sample() -> Self {
        Self { kernel: None, sample: Some(40), seed: 1, only: None, all: false }
    }
}

/// Builds and runs the program, whose last line is the score.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--release", "--quiet", "-p", "ptx-emulator", "--bin", "mutants", "--"]);
    if let Some(kernel) = &args.kernel {
        command.args(["--kernel", kernel]);
    }
    if let Some(sample) = args.sample {
        command.args(["--sample", &sample.to_string()]);
    }
    command.args(["--seed", &args.seed.to_string()]);
    if let Some(only) = &args.only {
        command.args(["--only", only]);
    }
    if args.all {
        command.arg("--all");
    }
    process::stream(&mut command, "mutants")
}
