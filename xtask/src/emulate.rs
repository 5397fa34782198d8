//! `cargo xtask emulate`: one problem in the emulator, by hand.

use std::ffi::OsString;

use anyhow::Result;

use crate::{process, workspace};

/// Arguments of `emulate`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// --experts, --rows, --n, --k, --output, --timing, --seed, --sms, --opcodes, --timeline
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs the program.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--release", "--quiet", "-p", "ptx-emulator", "--bin", "emulate", "--"]);
    process::stream(command.args(&args.arguments), "emulate")
}
