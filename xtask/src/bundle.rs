//! `cargo xtask bundle`: the test and benchmark programs and the C library, for a GPU machine that has no cargo.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::{artifacts, process, ui, workspace};

/// Arguments of `bundle`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these programs, such as `selftest` (default: all)
    programs: Vec<String>,
    /// Where to put the programs (default: .bundle in the workspace)
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The largest bundle, in bytes: it has to travel.
const LARGEST: u64 = 80 << 20;

/// Programs that cargo builds together: how, and which those are.
struct Build {
    arguments: &'static [&'static str],
    makes: fn(&str) -> bool,
}

const BUILDS: [Build; 5] = [
    Build {
        // What needs no GPU runs where cargo is.
        arguments: &["test", "--no-run", "--test", "gpu_*", "-p", "expert-gemm-tests"],
        makes: |program| program.starts_with("gpu_"),
    },
    Build {
        arguments: &["build", "--bins", "-p", "expert-gemm-benches"],
        makes: |program| ["bench", "demo", "lessons"].contains(&program),
    },
    Build {
        arguments: &["build", "--bin", "capture", "-p", "ptx-emulator"],
        makes: |program| program == "capture",
    },
    Build {
        arguments: &["build", "--bin", "selftest", "-p", "expert-gemm-selftest"],
        makes: |program| program == "selftest",
    },
    Build {
        arguments: &["build", "-p", "expert-gemm-capi"],
        makes: |program| program == "libexpert_gemm.so",
    },
];

/// Builds, strips and collects.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(program) = unknown(&args.programs) {
        bail!("no bundle holds `{program}`");
    }
    let own = workspace::root().join(".bundle");
    if args.out.is_none() && own.exists() {
        // Only the default folder is ours to empty.
        fs::remove_dir_all(&own)?;
    }
    let out = args.out.clone().unwrap_or(own);
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;

    let mut programs = Vec::new();
    for Build { arguments, makes } in &BUILDS {
        if args.programs.is_empty() || args.programs.iter().any(|program| makes(program)) {
            let built = artifacts::build(arguments)?;
            programs.extend(built.into_iter().filter(|(program, _)| makes(program)));
        }
    }
    if !args.programs.is_empty() {
        programs.retain(|(name, _)| args.programs.contains(name));
    }
    ensure!(!programs.is_empty(), "no program is called {}", args.programs.join(" or "));
    let mut rows = Vec::new();
    let mut total = 0;
    for (name, program) in programs {
        let target = out.join(&name);
        strip(&program, &target)?;
        let bytes = fs::metadata(&target)?.len();
        total += bytes;
        rows.push(vec![name, megabytes(bytes)]);
    }
    rows.push(vec!["total".to_owned(), megabytes(total)]);
    print!("{}", ui::table(&["program", "MiB"], &rows));
    let limit = megabytes(LARGEST);
    ensure!(total < LARGEST, "the bundle has {} MiB, the limit is {limit}", megabytes(total));
    Ok(())
}

/// The first that no build makes.
fn unknown(programs: &[String]) -> Option<&String> {
    programs.iter().find(|program| !BUILDS.iter().any(|build| (build.makes)(program)))
}

/// Copies a program without its symbols and debug information: it has to travel.
fn strip(program: &Path, target: &Path) -> Result<()> {
    let mut command = workspace::program("strip");
    command.arg("--strip-all").arg("-o").arg(target).arg(program);
    process::capture(&mut command, "stripping")
        .with_context(|| format!("{}: strip comes with the C compiler", program.display()))?;
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_no_build_makes_is_named() {
        let named = |names: &[&str]| {
            unknown(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).cloned()
        };
        assert_eq!(named(&["selftest", "gpu_capture", "demo", "libexpert_gemm.so"]), None);
        assert_eq!(named(&["selftest", "self-test"]).as_deref(), Some("self-test"));
    }
}
