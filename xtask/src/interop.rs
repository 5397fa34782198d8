//! `cargo xtask interop`: the adapters for other libraries, and our own use of the driver, on a `libcuda` whose GPUs are
//! emulated.
//!
//! Their features are off by default and need what a build without CUDA lacks: cust links `libcuda`, and cudarc's memory
//! is to be had from a driver only. The emulated driver is both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{artifacts, process, workspace};

/// Every feature that needs no framework.
const FEATURES: &str = "mock,tracing,cudarc,cust,dlpack";
const TESTS: [&str; 5] = ["cuda", "interop_cudarc", "interop_cust", "interop_dlpack", "tracing"];
/// What is true of hardware and its compiler alone.
const ONLY_HARDWARE: [&str; 3] = [
    "a_launch_costs_the_host_less",
    "every_kernel_loads_within_its_registers",
    "a_module_of_a_future_version",
];
const EXAMPLES: [(&str, &[&str]); 8] = [
    ("cudarc", &[]),
    ("cust", &[]),
    ("dlpack", &[]),
    ("grouped_gemm", &[]),
    ("cuda_graph", &[]),
    ("mxfp8_layer", &[]),
    ("moe_layer", &[]),
    ("moe_layer", &["--mxfp8"]),
];

/// Lints, tests and documents the features, and runs the examples.
pub(crate) fn run() -> Result<()> {
    let folder = emulated_cuda()?;
    let package = ["-p", "expert-gemm", "--features", FEATURES];

    // Each alone, as its users have it, and then all of them with what is made for them.
    for feature in FEATURES.split(',') {
        let alone = ["-p", "expert-gemm", "--lib", "--features", feature];
        clippy(&folder, &alone)?;
    }
    clippy(&folder, &[&package[..], &["--all-targets"]].concat())?;

    let mut tests = cargo(&folder)?;
    tests.args(["test", "--release"]).args(package);
    for test in TESTS {
        tests.args(["--test", test]);
    }
    tests.arg("--").args(ONLY_HARDWARE.map(|test| ["--skip", test]).concat());
    // A test that finds no device is to fail, not to be skipped.
    process::stream(tests.env("REQUIRE_GPU", "1"), "tests of the adapters")?;

    // A little of what `gpu_soak` asks of a GPU: that its threads, streams and comparisons do what they say.
    let mut soak = cargo(&folder)?;
    soak.args(["test", "--release", "-p", "expert-gemm-tests", "--test", "gpu_soak"]);
    soak.env("EXPERT_GEMM_SOAK_LAUNCHES", "200").env("EXPERT_GEMM_SOAK_WORK", "100000");
    process::stream(soak.env("REQUIRE_GPU", "1"), "a short soak")?;

    let mut doctests = cargo(&folder)?;
    doctests.args(["test", "--release", "--doc"]).args(package).arg("interop");
    process::stream(&mut doctests, "examples in the documentation of the adapters")?;

    for (example, arguments) in EXAMPLES {
        let mut command = cargo(&folder)?;
        command.args(["run", "--release"]).args(package).args(["--example", example, "--"]);
        process::stream(command.args(arguments).env("REQUIRE_GPU", "1"), example)?;
    }

    let mut doc = cargo(&folder)?;
    doc.env("RUSTDOCFLAGS", "-D warnings").arg("doc").args(package).arg("--no-deps");
    process::stream(&mut doc, "documentation of the adapters")
}

fn clippy(folder: &Path, what: &[&str]) -> Result<()> {
    let mut clippy = cargo(folder)?;
    clippy.arg("clippy").arg("--quiet").args(what).args(["--", "-D", "warnings"]);
    process::stream(&mut clippy, "clippy of the adapters")
}

/// Cargo, for programs that are to find the emulated driver when they are linked and when they run.
fn cargo(folder: &Path) -> Result<Command> {
    let mut command = workspace::cargo();
    let libraries = workspace::folders_before("LD_LIBRARY_PATH", vec![folder.join("lib64")])?;
    command.env("CUDA_LIBRARY_PATH", folder).env("LD_LIBRARY_PATH", libraries);
    // It is for hardware, and the emulated GPUs would hide too.
    command.env_remove("CUDA_VISIBLE_DEVICES");
    Ok(command)
}

/// Builds the emulated driver, and lays it out as a CUDA folder: apart, so that nobody else takes it for the driver.
pub(crate) fn emulated_cuda() -> Result<PathBuf> {
    let built = artifacts::build(&["build", "-p", "emulated-cuda"])?;
    let (_, built) = built
        .iter()
        .find(|(name, _)| name == "libemulated_cuda.so")
        .context("cargo built no emulated driver")?;
    let folder = workspace::root().join(".tools/emulated-cuda");
    let libraries = folder.join("lib64");
    if libraries.exists() {
        // A running program keeps the old one, as the new one is another file.
        fs::remove_dir_all(&libraries)?;
    }
    fs::create_dir_all(&libraries)?;
    // By the name of the driver on every machine, and by that which a linker asks for. They must be one file: a process
    // that links one and loads the other would have two drivers that know nothing of each other.
    let driver = libraries.join("libcuda.so.1");
    fs::copy(built, &driver).with_context(|| format!("writing {}", driver.display()))?;
    fs::hard_link(&driver, libraries.join("libcuda.so"))?;
    Ok(folder)
}
