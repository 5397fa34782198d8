//! `cargo xtask candle`: the adapter for candle. Not a part of `cargo xtask test`: candle takes minutes to build, its
//! kernels many, and the compiler and libraries of its CUDA back end are 0.7 GB to fetch.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{doctor, interop, process, wheel, workspace};

/// NVIDIA's compiler of CUDA C++, what it needs, and what candle links, pinned: packages and versions.
const TOOLKIT: [(&str, &str); 8] = [
    ("nvidia-cuda-nvcc", "13.0.88"),
    ("nvidia-nvvm", "13.0.88"),
    ("nvidia-cuda-crt", "13.0.88"),
    ("nvidia-cuda-runtime", "13.0.96"),
    ("nvidia-cuda-cccl", "13.0.85"),
    ("nvidia-cuda-nvrtc", "13.0.88"),
    ("nvidia-cublas", "13.1.0.3"),
    ("nvidia-curand", "10.4.0.35"),
];

/// Lints and tests the adapter: on the CPU, then with candle's CUDA back end.
pub(crate) fn run() -> Result<()> {
    cpu_half()?;
    gpu_half(&Cuda::new()?)
}

fn cpu_half() -> Result<()> {
    let cargo = || {
        let mut cargo = workspace::cargo();
        // It is meant for the other half.
        cargo.env_remove("REQUIRE_GPU");
        cargo
    };
    let mut clippy = cargo();
    clippy.args(["clippy", "-p", "expert-gemm", "--features", "candle", "--all-targets"]);
    process::stream(clippy.args(["--", "-D", "warnings"]), "clippy of the adapter")?;

    let package = ["--release", "-p", "expert-gemm", "--features", "candle"];
    let mut tests = cargo();
    tests.arg("test").args(package).args(["--test", "interop_candle"]);
    process::stream(&mut tests, "tests of the adapter")?;
    let mut doctests = cargo();
    doctests.arg("test").args(package).args(["--doc", "interop::candle"]);
    process::stream(&mut doctests, "the example in its documentation")?;
    let mut example = cargo();
    example.arg("run").args(package).args(["--example", "candle"]);
    process::stream(&mut example, "example")
}

/// Compiles candle's kernels, and lints, links, runs and documents our use of its CUDA back end. Where there is no GPU,
/// what runs says so; `REQUIRE_GPU=1` makes that an error.
fn gpu_half(cuda: &Cuda) -> Result<()> {
    // One profile, so that candle's kernels are compiled once.
    let package = ["--release", "-p", "expert-gemm", "--features", "candle-cuda"];
    let mut clippy = cuda.cargo()?;
    clippy.arg("clippy").args(package).args(["--lib", "--example", "candle"]);
    clippy.args(["--test", "interop_candle_cuda", "--", "-D", "warnings"]);
    process::stream(&mut clippy, "clippy of the GPU half")?;
    let mut tests = cuda.cargo()?;
    tests.arg("test").args(package).args(["--test", "interop_candle_cuda"]);
    // Otherwise the harness holds back why a test is skipped.
    process::stream(tests.args(["--", "--nocapture"]), "tests of the GPU half")?;
    let mut example = cuda.cargo()?;
    example.arg("run").args(package).args(["--example", "candle"]);
    process::stream(&mut example, "example on the GPU")?;
    let mut doc = cuda.cargo()?;
    doc.env("RUSTDOCFLAGS", "-D warnings").arg("doc").args(package).arg("--no-deps");
    process::stream(&mut doc, "documentation of the adapter")
}

/// What candle's CUDA back end is compiled by, linked to and run with.
struct Cuda {
    toolkit: PathBuf,
    /// Has the emulated driver in `lib64`: nothing of the real one is to be had from the package index.
    driver: PathBuf,
}

impl Cuda {
    /// Fetches the toolkit if it is not here yet.
    fn new() -> Result<Self> {
        let folder = wheel::tools().join("cuda-13.0");
        if !folder.is_dir() {
            wheel::unpack(&TOOLKIT, &folder).context("cannot fetch the CUDA toolkit")?;
        }
        let toolkit = folder.join("nvidia/cu13");
        name_for_the_linker(&toolkit.join("lib"))?;
        Ok(Self { toolkit, driver: interop::emulated_cuda()? })
    }

    /// Cargo, for builds that find the toolkit and programs that find its libraries.
    fn cargo(&self) -> Result<Command> {
        let bin = self.toolkit.join("bin");
        let mut libraries = vec![self.toolkit.join("lib")];
        let mut cargo = workspace::cargo();
        if doctor::cuda_library().is_none() {
            // A program that links the driver does not start without one. cuBLAS would not run on emulated GPUs.
            libraries.push(self.driver.join("lib64"));
            cargo.env("CUDA_VISIBLE_DEVICES", "");
        }
        cargo
            .env("NVCC", bin.join("nvcc"))
            .env("PATH", workspace::folders_before("PATH", vec![bin])?);
        cargo.env("LD_LIBRARY_PATH", workspace::folders_before("LD_LIBRARY_PATH", libraries)?);
        // The linker looks into `lib` and `lib64` of both.
        cargo.env("CUDA_HOME", &self.toolkit).env("CUDA_PATH", &self.driver);
        // candle asks nvidia-smi for the GPU family unless it is told.
        cargo.env("CUDA_COMPUTE_CAP", "90");
        Ok(cargo)
    }
}

/// Gives the libraries of a folder the names that a linker looks for: a wheel has `libcublas.so.13` alone.
fn name_for_the_linker(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some((stem, _)) = name.split_once(".so.") else { continue };
        let link = folder.join(format!("{stem}.so"));
        if !link.exists() {
            symlink(&name, link)?;
        }
    }
    Ok(())
}
