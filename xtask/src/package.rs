//! `cargo xtask package`: the crates as their users get them. They are packed, what was packed is compared with what a user
//! needs, and a new project outside of the workspace builds on them and runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{process, workspace};

/// The crates that are published, those that others need first.
const CRATES: [&str; 2] = ["expert-gemm-kernels", "expert-gemm"];
/// Of every crate of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What a package may have; the PTX alone is 2.8 MiB of text, and a sixth of it compressed.
const LARGEST: u64 = 1 << 20;
/// How long a user may wait for the first build, dependencies included.
const LONGEST: Duration = Duration::from_mins(1);

/// The first program of a user: needs no GPU.
const PROGRAM: &str = r#"use expert_gemm::cpu::{self, HostOutput, HostTensors};
use expert_gemm::{ElementType, Fp8GroupedMm};

fn main() -> expert_gemm::Result<()> {
    println!("{}", expert_gemm::doctor());
    let problem = Fp8GroupedMm { rows: 1, experts: 1, n: 128, k: 128, output: ElementType::F16 };
    let tensors = HostTensors {
        a: &[0x38; 128], // 1.0 as e4m3
        b: &vec![0x38; 128 * 128],
        scales_a: &[1.0],
        scales_b: &[0.5],
        problem_sizes: &[[1, 128, 128]],
        expert_offsets: &[0],
    };
    let mut output = vec![Default::default(); 128];
    cpu::fp8_grouped_mm(&problem, &tensors, HostOutput::F16(&mut output))?;
    assert!(output.iter().all(|value| f32::from(*value) == 64.0));
    println!("128 times 64");
    Ok(())
}
"#;

/// Packs, looks at the contents, and builds the first project of a user.
pub(crate) fn run() -> Result<()> {
    for name in CRATES {
        let (listed, _) =
            process::capture(&mut package(&["-p", name, "--list"]), &format!("listing {name}"))?;
        let files: Vec<&str> = listed.lines().collect();
        check(name, &files)?;
        println!("{name}: {} files, all of them needed", files.len());
    }
    // Cargo's own build of what it has packed would keep the sources of the first crate under this version in its home,
    // and take those again after a change. The project below builds the same files.
    let all = CRATES.map(|name| ["-p", name]).concat();
    process::capture(package(&all).arg("--no-verify"), "packing the crates")?;
    for name in CRATES {
        let packed = packed(name);
        let bytes = fs::metadata(&packed)
            .with_context(|| format!("no package at {}", workspace::shown(&packed)))?
            .len();
        ensure!(bytes < LARGEST, "{name} is packed into {bytes} bytes, the limit is {LARGEST}");
        println!("{name}: {} KiB packed", bytes >> 10);
    }
    first_project()
}

/// `cargo package` without the network, of the tree as it is.
fn package(arguments: &[&str]) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["package", "--offline", "--allow-dirty", "--quiet"]).args(arguments);
    cargo
}

/// The file that is published.
fn packed(name: &str) -> PathBuf {
    workspace::root().join("target/package").join(format!("{name}-{VERSION}.crate"))
}

/// Refuses a package that holds what no user needs, or lacks what the law or a reader asks for.
fn check(name: &str, files: &[&str]) -> Result<()> {
    for must in ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs"] {
        ensure!(files.contains(&must), "the package of {name} lacks {must}");
    }
    let more: Vec<&&str> = files.iter().filter(|file| !needed(file)).collect();
    if !more.is_empty() {
        bail!("the package of {name} holds {more:?}: change `include` in its Cargo.toml");
    }
    Ok(())
}

/// Sources without their tests, PTX, and what cargo adds by itself.
fn needed(file: &str) -> bool {
    let by_cargo = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig"];
    let by_us = ["README.md", "LICENSE-APACHE", "LICENSE-MIT"];
    let source = file.starts_with("src/") && has_extension(file, "rs");
    let test = file.ends_with("/tests.rs") || file.ends_with("_tests.rs");
    let ptx = file.starts_with("ptx/")
        && (has_extension(file, "ptx") || file.ends_with("/manifest.json"));
    by_cargo.contains(&file) || by_us.contains(&file) || source && !test || ptx
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// Builds a new project on the unpacked crates with stable Rust, default features and nothing of CUDA, and runs it.
fn first_project() -> Result<()> {
    let project = workspace::root().join("target/first-project");
    if project.exists() {
        fs::remove_dir_all(&project)?;
    }
    fs::create_dir_all(project.join("src"))?;
    for name in CRATES {
        let mut tar = workspace::program("tar");
        tar.arg("-xzf").arg(packed(name)).arg("-C").arg(&project);
        process::capture(&mut tar, "unpacking")?;
    }
    let [kernels, host] = CRATES.map(|name| format!("{name}-{VERSION}"));
    // A workspace of its own, as it lies inside of ours.
    let manifest = format!(
        "[package]\nname = \"first-project\"\nedition = \"2024\"\n\n[dependencies]\nexpert-gemm = {{ path = \"{host}\" }}\n\n\
         [patch.crates-io]\nexpert-gemm-kernels = {{ path = \"{kernels}\" }}\n\n[workspace]\n"
    );
    fs::write(project.join("Cargo.toml"), manifest)?;
    fs::write(project.join("src/main.rs"), PROGRAM)?;
    // The versions that this workspace was tested with are on the machine already.
    fs::copy(workspace::root().join("Cargo.lock"), project.join("Cargo.lock"))?;

    let mut build = workspace::cargo();
    build.current_dir(&project).args(["build", "--offline", "--quiet"]);
    build.env("CARGO_TARGET_DIR", project.join("target")).env_remove("RUSTC_BOOTSTRAP");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().contains("CUDA"))
    {
        build.env_remove(name);
    }
    let start = Instant::now();
    process::capture(&mut build, "building a new project on the packages")?;
    let took = start.elapsed();
    println!("a new project on them: built in {:.1} s, dependencies included", took.as_secs_f64());
    ensure!(took < LONGEST, "that is longer than {} s", LONGEST.as_secs());
    let program = project.join("target/debug/first-project");
    process::stream(&mut workspace::program(program), "the new project")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_holds_sources_ptx_and_licences_only() {
        for file in ["Cargo.toml", "LICENSE-MIT", "src/ops/mod.rs", "ptx/sm_90a/a.ptx"] {
            assert!(needed(file), "{file}");
        }
        for file in ["src/plan/tests.rs", "src/cpu/fp8_tests.rs", "tests/cuda.rs", "ptx/a.cubin"] {
            assert!(!needed(file), "{file}");
        }
        let whole = ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs"];
        assert!(check("a", &whole).is_ok());
        let lacking = check("a", &whole[..3]).expect_err("no licence").to_string();
        assert!(lacking.contains("lacks LICENSE-MIT"), "{lacking}");
        let more = check("a", &[&whole[..], &["notes.txt"]].concat()).expect_err("too much");
        assert!(more.to_string().contains("notes.txt"));
    }
}
