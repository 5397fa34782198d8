//! `selftest`: what a GPU does, beside what the kernels assume.

use anyhow::{Context as _, Result};
use clap::Parser;
use expert_gemm_selftest::bench::Which;
use expert_gemm_selftest::fact::Fact;
use expert_gemm_selftest::facts;
use expert_gemm_selftest::report::{Outcome, Report};
use expert_gemm_selftest::supervise::{Process, ask_all, collect};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Ask this machine's GPU, one tile for each, whether what the kernels assume about it is so
///
/// Ends with 0 if all is confirmed, 1 if something is refuted, 2 if something could not be asked.
#[derive(Parser)]
struct Args {
    /// Ask the emulator instead of a GPU: `sm_90`, `sm_100` or `sm_103`
    #[arg(long, value_name = "FAMILY", value_parser = Which::emulated)]
    emulated: Option<Which>,
    /// Write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Ask only facts whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Name all facts with their claims, and ask none
    #[arg(long)]
    list: bool,
    /// Seconds after which a fact without an answer counts as refuted
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Ask in this process, from this fact on; for the program itself
    #[arg(long, value_name = "FACT", hide = true)]
    child: Option<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(Outcome::Confirmed) => ExitCode::SUCCESS,
        Ok(Outcome::Refuted) => ExitCode::from(1),
        Ok(Outcome::NotRun) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<Outcome> {
    let mut wanted = facts::all();
    wanted.retain(|fact| fact.id.contains(&args.only));
    let which = args.emulated.unwrap_or(Which::Real);
    if args.list {
        for fact in &wanted {
            println!("{:<24} {}", fact.id, fact.claim);
        }
        return Ok(Outcome::Confirmed);
    }
    if let Some(first) = &args.child {
        let first = wanted.iter().position(|fact| fact.id == first).context("no such fact")?;
        ask_all(which, &wanted[first..])?;
        return Ok(Outcome::Confirmed);
    }
    let program = std::env::current_exe()?;
    let start = |left: &[Fact]| {
        let mut command = Command::new(&program);
        // The same arguments, and where to begin.
        command.args(std::env::args_os().skip(1)).args(["--child", left[0].id]);
        let process = Process::start(&mut command, Duration::from_secs(args.patience));
        process.into_iter().flatten()
    };
    let (head, facts) =
        collect(&wanted, start, |answer| println!("{answer}")).map_err(anyhow::Error::msg)?;
    let report = Report { head, facts };
    println!("\n{}{report}", report.head);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("written to {}", path.display());
    }
    let capability = report.head.capability;
    let here = |id: &str| {
        let fact = wanted.iter().find(|fact| fact.id == id);
        fact.is_some_and(|fact| fact.families.iter().any(|family| family.runs_on(capability)))
    };
    Ok(report.outcome(here))
}
