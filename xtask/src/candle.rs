//! `cargo xtask candle`: the adapter for candle. Not a part of `cargo xtask test`: candle takes minutes to build, and its
//! kernels many.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{process, wheel, workspace};

/// NVIDIA's compiler of CUDA C++ and what it needs, pinned: packages and versions.
const TOOLKIT: [(&str, &str); 5] = [
    ("nvidia-cuda-nvcc", "13.0.88"),
    ("nvidia-nvvm", "13.0.88"),
    ("nvidia-cuda-crt", "13.0.88"),
    ("nvidia-cuda-runtime", "13.0.96"),
    ("nvidia-cuda-cccl", "13.0.85"),
];

/// Lints and tests the adapter on the CPU, and checks its GPU half against candle's CUDA back end.
pub(crate) fn run() -> Result<()> {
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "-p", "expert-gemm", "--features", "candle", "--all-targets"]);
    process::stream(clippy.args(["--", "-D", "warnings"]), "clippy of the adapter")?;

    let package = ["--release", "-p", "expert-gemm", "--features", "candle"];
    let mut tests = workspace::cargo();
    tests.arg("test").args(package).args(["--test", "interop_candle"]);
    process::stream(&mut tests, "tests of the adapter")?;
    let mut doctests = workspace::cargo();
    doctests.arg("test").args(package).args(["--doc", "interop::candle"]);
    process::stream(&mut doctests, "the example in its documentation")?;
    let mut example = workspace::cargo();
    example.arg("run").args(package).args(["--example", "candle"]);
    process::stream(&mut example, "example")?;

    gpu_half()
}

/// Compiles candle's kernels, and lints and documents our use of its CUDA back end. Nothing is linked: that would take
/// cuBLAS and cuRAND.
fn gpu_half() -> Result<()> {
    let bin = toolkit()?;
    let path = std::env::join_paths(
        [bin.clone()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let cargo = || {
        let mut cargo = workspace::cargo();
        // candle asks nvidia-smi for the GPU family unless it is told.
        cargo.env("NVCC", bin.join("nvcc")).env("PATH", &path).env("CUDA_COMPUTE_CAP", "90");
        cargo
    };
    let package = ["-p", "expert-gemm", "--features", "candle-cuda"];
    let mut clippy = cargo();
    clippy.arg("clippy").args(package).args(["--lib", "--example", "candle"]);
    process::stream(clippy.args(["--", "-D", "warnings"]), "clippy of the GPU half")?;
    let mut doc = cargo();
    doc.env("RUSTDOCFLAGS", "-D warnings").arg("doc").args(package).arg("--no-deps");
    process::stream(&mut doc, "documentation of the adapter")
}

/// The folder of nvcc, which is fetched first if it is not here yet.
fn toolkit() -> Result<PathBuf> {
    let folder = wheel::tools().join("nvcc-13.0");
    let bin = folder.join("nvidia/cu13/bin");
    if !bin.join("nvcc").is_file() {
        wheel::unpack(&TOOLKIT, &folder).context("cannot fetch nvcc")?;
    }
    Ok(bin)
}
