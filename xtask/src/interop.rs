//! `cargo xtask interop`: the adapters for other libraries, on a `libcuda` whose GPUs are emulated.
//!
//! Their features are off by default and need what a build without CUDA lacks: cust links `libcuda`, and cudarc's memory
//! is to be had from a driver only. The emulated driver is both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Everything that can be built without CUDA and without a framework.
const FEATURES: &str = "mock,tracing,cudarc,cust,dlpack";
const TESTS: [&str; 4] = ["interop_cudarc", "interop_cust", "interop_dlpack", "tracing"];
const EXAMPLES: [&str; 3] = ["cudarc", "cust", "dlpack"];

/// Lints, tests and documents the features, and runs the examples.
pub(crate) fn run() -> Result<()> {
    let folder = emulated_cuda()?;
    let package = ["-p", "expert-gemm", "--features", FEATURES];

    let mut clippy = cargo(&folder);
    clippy.arg("clippy").args(package).args(["--all-targets", "--", "-D", "warnings"]);
    process::stream(&mut clippy, "clippy of the adapters")?;

    let mut tests = cargo(&folder);
    tests.args(["test", "--release"]).args(package);
    for test in TESTS {
        tests.args(["--test", test]);
    }
    // A test that finds no device is to fail, not to be skipped.
    process::stream(tests.env("REQUIRE_GPU", "1"), "tests of the adapters")?;

    let mut doctests = cargo(&folder);
    doctests.args(["test", "--release", "--doc"]).args(package).arg("interop");
    process::stream(&mut doctests, "examples in the documentation of the adapters")?;

    for example in EXAMPLES {
        let mut command = cargo(&folder);
        command.args(["run", "--release"]).args(package).args(["--example", example]);
        process::stream(&mut command, example)?;
    }

    let mut doc = cargo(&folder);
    doc.env("RUSTDOCFLAGS", "-D warnings").arg("doc").args(package).arg("--no-deps");
    process::stream(&mut doc, "documentation of the adapters")
}

/// Cargo, for programs that are to find the emulated driver when they are linked and when they run.
fn cargo(folder: &Path) -> Command {
    let mut command = workspace::cargo();
    let mut library_path = folder.join("lib64").into_os_string();
    if let Some(more) = std::env::var_os("LD_LIBRARY_PATH").filter(|more| !more.is_empty()) {
        library_path.push(":");
        library_path.push(more);
    }
    command.env("CUDA_LIBRARY_PATH", folder).env("LD_LIBRARY_PATH", library_path);
    command
}

/// Builds the emulated driver, and lays it out as a CUDA folder: apart, so that nobody else takes it for the driver.
fn emulated_cuda() -> Result<PathBuf> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--quiet", "-p", "emulated-cuda"]);
    build.arg("--message-format=json");
    let (messages, _) = process::capture(&mut build, "building the emulated driver")?;
    let built = library(&messages).context("cargo built no emulated driver")?;
    let folder = workspace::root().join(".tools/emulated-cuda");
    fs::create_dir_all(folder.join("lib64"))?;
    // By the name that a linker asks for, and by that of the driver on every machine.
    for name in ["libcuda.so", "libcuda.so.1"] {
        let place = folder.join("lib64").join(name);
        // A running program may have the old one open: it keeps it, if the new one is another file.
        let _ = fs::remove_file(&place);
        fs::copy(&built, &place).with_context(|| format!("writing {}", place.display()))?;
    }
    Ok(folder)
}

/// The shared library among cargo's messages.
fn library(messages: &str) -> Option<PathBuf> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut of_the_driver = parsed.filter(|message: &serde_json::Value| {
        message["target"]["name"].as_str() == Some("emulated_cuda")
    });
    let files = of_the_driver.find_map(|message| message["filenames"].as_array().cloned())?;
    let paths = files.iter().filter_map(|file| file.as_str()).map(PathBuf::from);
    paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"other"},"filenames":["/t/libother.so"]}
{"reason":"compiler-artifact","target":{"name":"emulated_cuda"},"filenames":["/t/libemulated_cuda.so"]}
not json
{"reason":"build-finished","success":true}"#;
        assert_eq!(library(messages), Some(PathBuf::from("/t/libemulated_cuda.so")));
        assert_eq!(library("{}"), None);
    }
}
