//! `cargo xtask doctor`: what this machine has and lacks.

use std::path::Path;

use anyhow::Result;

use crate::{process, toolchain, ui, wheel, workspace};

/// One thing that some command needs.
struct Finding {
    what: String,
    /// What was found, or nothing.
    found: Option<String>,
    /// What to do when it is missing, and who needs it.
    remedy: &'static str,
}

/// Prints a table, below it a remedy for each gap, and what the library can run here. Gaps are no failure: most machines
/// lack a GPU.
pub(crate) fn run() -> Result<()> {
    let findings = findings();
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            let state = if finding.found.is_some() { "yes" } else { "no" };
            let detail = finding.found.clone().unwrap_or_default();
            vec![format!("{:<3}  {:<17}  {detail}", state, finding.what)]
        })
        .collect();
    print!("{}", ui::table(&[&format!("{:<3}  {:<17}  found", "has", "what")], &rows));
    for finding in findings.iter().filter(|finding| finding.found.is_none()) {
        println!("\n{} is missing: {}", finding.what, finding.remedy);
    }
    report()
}

/// What the library says that this machine can run, as a service would log it.
fn report() -> Result<()> {
    let mut example = workspace::cargo();
    // Optimised as everything else that is run here: there is one build of the library.
    example.args(["run", "--release", "--quiet", "-p", "expert-gemm", "--example", "doctor"]);
    let (report, _) = process::capture(&mut example, "building the library and asking it")?;
    print!("\n{report}");
    Ok(())
}

fn findings() -> Vec<Finding> {
    let mut findings = vec![
        finding(
            "rustc",
            toolchain::version().ok(),
            "install Rust with rustup; it reads rust-toolchain.toml and fetches the pinned version.",
        ),
        finding(
            "rust-src",
            toolchain::has_rust_src().ok().filter(|has| *has).map(|_| "in the sysroot".to_owned()),
            "`cargo xtask setup` adds it. Only building PTX needs it.",
        ),
        finding(
            "C compiler",
            first_line("cc", &["--version"]),
            "install gcc or clang; Rust links with it.",
        ),
        finding(
            "python3",
            first_line("python3", &["--version"]),
            "install Python 3; it fetches the assembler.",
        ),
        finding(
            "pip",
            first_line("python3", &["-m", "pip", "--version"]),
            "install pip for Python 3 (python3-pip); it fetches the assembler.",
        ),
    ];
    for tool in [wheel::PTXAS, wheel::NVDISASM].into_iter().chain(wheel::OTHER_PTXAS) {
        findings.push(Finding {
            what: format!("{} {}", tool.program, tool.version),
            found: tool.installed().map(|path| workspace::shown(&path)),
            remedy: "`cargo xtask setup` fetches it. Only building and checking PTX needs it.",
        });
    }
    let gpu = ["--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"];
    findings.push(finding(
        "NVIDIA driver",
        cuda_library(),
        "install NVIDIA's driver (580 or newer) to run kernels. Without it the demo and the tests use the CPU backend.",
    ));
    findings.push(finding(
        "NVIDIA GPU",
        first_line("nvidia-smi", &gpu),
        "kernels run on Hopper (H100, H200). Everything else, tests included, runs without one.",
    ));
    findings
}

fn finding(what: &str, found: Option<String>, remedy: &'static str) -> Finding {
    Finding { what: what.to_owned(), found, remedy }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = workspace::program(program);
    let (out, _) = process::capture(command.args(arguments), "looking around").ok()?;
    out.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Where the loader would find the driver's library.
pub(crate) fn cuda_library() -> Option<String> {
    const NAME: &str = "libcuda.so.1";
    let cache =
        process::capture(workspace::program("ldconfig").arg("-p"), "looking for the driver")
            .map(|(out, _)| out)
            .unwrap_or_default();
    let cached = cache.lines().find(|line| line.trim_start().starts_with(NAME));
    if let Some((_, path)) = cached.and_then(|line| line.split_once("=> ")) {
        return Some(path.trim().to_owned());
    }
    let folders = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    folders
        .split(':')
        .filter(|folder| !folder.is_empty())
        .chain(["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib"])
        .map(|folder| Path::new(folder).join(NAME))
        .find(|path| path.exists())
        .map(|path| path.display().to_string())
}
