//! `cargo xtask selftest`: asks this machine's GPU whether what the kernels assume is so.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::{process, workspace};

/// Arguments that the program itself understands.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to the program as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Exit code of something that could not be run.
const NOT_RUN: u8 = 2;

/// Builds and runs the program, and ends as it does.
pub(crate) fn run(args: &Args) -> ExitCode {
    let mut command = workspace::cargo();
    command.args(["run", "--release", "--quiet", "-p", "expert-gemm-selftest", "--"]);
    stamp(&mut command);
    let status = command.args(&args.arguments).status();
    // Cargo hands the program's code on, and has 101 for a build that failed.
    match status.ok().and_then(|status| status.code()) {
        Some(code @ 0..=2) => ExitCode::from(code as u8),
        _ => ExitCode::from(NOT_RUN),
    }
}

/// Tells the program that cargo builds which commit it comes from: its report is read elsewhere.
pub(crate) fn stamp(command: &mut Command) {
    let git = |arguments: &[&str]| {
        let mut git = workspace::program("git");
        process::capture(git.args(arguments), "asking git").ok().map(|(said, _)| said)
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    let changed = git(&["status", "--porcelain"]).is_none_or(|said| !said.trim().is_empty());
    let changes = if changed { " with changes" } else { "" };
    command.env("EXPERT_GEMM_COMMIT", format!("{}{changes}", head.trim()));
}
