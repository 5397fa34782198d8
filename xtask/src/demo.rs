//! `cargo xtask demo`, `bench` and `plot`: programs of the benchmark package, built for speed.

use std::ffi::OsString;

use anyhow::Result;

use crate::{process, workspace};

/// Arguments that the program itself understands.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to the program as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs one of the programs.
pub(crate) fn run(program: &str, args: &Args) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--release", "-p", "expert-gemm-benches", "--bin", program, "--"]);
    process::stream(command.args(&args.arguments), program)
}
