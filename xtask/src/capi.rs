//! The interfaces for other languages, as their users meet them: C programs that a C compiler builds, and the Python
//! package on the same library.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{artifacts, process, workspace};

/// What a program that links the archive needs of the system.
const SYSTEM: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// `libexpert_gemm` as a shared library and as an archive.
struct Library {
    shared: PathBuf,
    archive: PathBuf,
}

impl Library {
    fn build() -> Result<Self> {
        let built = artifacts::build(&["build", "-p", "expert-gemm-capi"])?;
        let find = |name: &str| {
            let found = built.iter().find(|(built, _)| built == name);
            found.map(|(_, path)| path.clone()).with_context(|| format!("cargo built no {name}"))
        };
        Ok(Self { shared: find("libexpert_gemm.so")?, archive: find("libexpert_gemm.a")? })
    }
}

/// Compiles every C example, warnings as errors, against both libraries, and runs it on the CPU, and where there is
/// one on the GPU: without one the example says so, and `REQUIRE_GPU=1` makes that an error.
pub(crate) fn c_examples() -> Result<()> {
    let library = Library::build()?;
    let capi = workspace::root().join("capi");
    let out = library.shared.with_file_name("capi-examples");
    fs::create_dir_all(&out)?;
    let mut examples = Vec::new();
    for entry in fs::read_dir(capi.join("examples"))? {
        let path = entry?.path();
        examples.extend(path.extension().is_some_and(|extension| extension == "c").then_some(path));
    }
    examples.sort();
    ensure!(!examples.is_empty(), "there is no C example");
    for example in &examples {
        let stem = example.file_stem().unwrap_or_default().to_string_lossy();
        for (linked, library) in [("shared", &library.shared), ("static", &library.archive)] {
            let program = out.join(format!("{stem}-{linked}"));
            compile(&capi, example, library, &program)?;
            let mut on_cpu = workspace::program(&program);
            process::stream(on_cpu.arg("--cpu"), &format!("{stem}, {linked}, on the CPU"))?;
            if linked == "shared" {
                process::stream(&mut workspace::program(&program), &stem)?;
            }
        }
    }
    Ok(())
}

fn compile(capi: &Path, example: &Path, library: &Path, program: &Path) -> Result<()> {
    let mut cc = workspace::program("cc");
    cc.args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-I"]);
    cc.arg(capi.join("include")).arg(example).arg(library).arg("-o").arg(program).args(SYSTEM);
    if let Some(folder) = library.parent() {
        cc.arg(format!("-Wl,-rpath,{}", folder.display()));
    }
    process::capture(&mut cc, &format!("compiling {}", workspace::shown(example))).map(drop)
}

/// The tests of the Python package, with nothing but Python itself.
pub(crate) fn python() -> Result<()> {
    let library = Library::build()?;
    let package = workspace::root().join("python");
    let mut python = workspace::program("python3");
    python.args(["-m", "unittest", "discover", "-s", "tests", "-t", "."]).current_dir(&package);
    python.env("EXPERT_GEMM_LIB", &library.shared).env("PYTHONDONTWRITEBYTECODE", "1");
    process::stream(&mut python, "the Python tests")
}
