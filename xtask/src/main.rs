//! The project's own commands: `cargo xtask <command>`.
//!
//! Each command fetches what it needs by itself, so on a fresh clone nothing else has to be typed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod artifacts;
mod build_ptx;
mod bundle;
mod candle;
mod capi;
mod cfg;
mod collections;
mod demo;
mod doctor;
mod emulate;
mod golden;
mod interop;
mod items;
mod manifest;
mod mutants;
mod package;
mod pages;
mod post;
mod process;
mod ptxas;
mod ptxas_log;
mod sass;
mod selftest;
mod setup;
mod stamp;
mod test;
mod tidy;
mod toolchain;
mod ui;
mod wheel;
mod workspace;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's own commands", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch everything that a kernel author needs: rust-src and the pinned NVIDIA tools
    Setup,
    /// Say what this machine has and lacks, and the remedy for each gap
    Doctor,
    /// Build the device crate to PTX under host/ptx, or compare with what is committed there
    BuildPtx(build_ptx::Args),
    /// Assemble the committed PTX and hold registers, spills and instruction counts to their budgets
    Ptxas(ptxas::Args),
    /// Run every check that a change must pass
    Test,
    /// The same as `test`, without colours and progress bars
    Ci,
    /// Check the house rules only
    Tidy,
    /// Run one projection of a real model on this machine
    #[command(disable_help_flag = true)]
    Demo(demo::Args),
    /// Measure the kernels on this machine
    #[command(disable_help_flag = true)]
    Bench(demo::Args),
    /// Draw docs/plots from the records of measurements, and the pictures of docs/layouts and docs/kernels
    #[command(disable_help_flag = true)]
    Plot(demo::Args),
    /// Ask this machine's GPU, one tile for each, whether what the kernels assume about it is so
    #[command(disable_help_flag = true)]
    Selftest(selftest::Args),
    /// Run one problem in the emulator and print what it took
    Emulate(emulate::Args),
    /// Count how many deliberate faults of the shipped kernels the emulator finds
    Mutants(mutants::Args),
    /// Build the C library, and run its examples and the tests of the Python package
    Capi,
    /// Lint, test and run the adapters for cudarc, cust and `DLPack`, on an emulated driver
    Interop,
    /// Lint and test the adapter for candle, with the CUDA compiler and libraries that its GPU half needs
    Candle,
    /// Pack the crates as their users get them, and build a new project on the packages
    Package,
    /// Collect the test and benchmark programs for a GPU machine that has no cargo
    Bundle(bundle::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup => setup::run(),
        Command::Doctor => doctor::run(),
        Command::BuildPtx(args) => build_ptx::run(&args),
        Command::Ptxas(args) => ptxas::run(&args),
        Command::Test => return test::run(test::Output::Terminal),
        Command::Ci => return test::run(test::Output::Plain),
        Command::Tidy => tidy::run(),
        Command::Demo(args) => demo::run("demo", &args),
        Command::Bench(args) => demo::run("bench", &args),
        Command::Plot(args) => demo::run("plot", &args),
        Command::Selftest(args) => return selftest::run(&args),
        Command::Emulate(args) => emulate::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::Capi => capi::c_examples().and_then(|()| capi::python()),
        Command::Interop => interop::run(),
        Command::Candle => candle::run(),
        Command::Package => package::run(),
        Command::Bundle(args) => bundle::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of contexts, without a backtrace: these are faults of the tree, not of this
            // program.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
