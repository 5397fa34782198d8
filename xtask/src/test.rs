//! `cargo xtask test`: every check that a change must pass. CI runs nothing else.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{build_ptx, capi, interop, mutants, package, process, ptxas, tidy, ui, workspace};

/// For whom the output is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Somebody watches: cargo decides on colours and progress bars.
    Terminal,
    /// A log: neither.
    Plain,
}

/// One check.
struct Step {
    name: &'static str,
    run: fn(Output) -> Result<()>,
}

const STEPS: [Step; 14] = [
    Step { name: "tidy", run: |_| tidy::run() },
    Step { name: "fmt", run: |o| cargo(o, "fmt", &["fmt", "--all", "--check"]) },
    Step { name: "build-ptx", run: |_| build_ptx::run(&build_ptx::Args::check()) },
    Step { name: "ptxas", run: |_| ptxas::run(&ptxas::Args::all()) },
    Step { name: "clippy", run: clippy },
    // The numerical tests need an optimised build, and a second profile would build everything twice.
    Step {
        name: "tests",
        run: |o| cargo(o, "tests", &["test", "--workspace", "--release", "--no-fail-fast"]),
    },
    Step { name: "examples", run: examples },
    Step { name: "interop", run: |_| interop::run() },
    Step { name: "C examples", run: |_| capi::c_examples() },
    Step { name: "python", run: |_| capi::python() },
    Step { name: "mutants", run: |_| mutants::run(&mutants::Args::sample()) },
    Step { name: "package", run: |_| package::run() },
    Step { name: "doc", run: doc },
    Step { name: "peers", run: |_| peers() },
];

/// The examples that need no feature, with their arguments.
const EXAMPLES: [(&str, &[&str]); 5] = [
    ("grouped_gemm", &[]),
    ("cuda_graph", &[]),
    ("mxfp8_layer", &["--cpu"]),
    ("moe_layer", &["--cpu"]),
    ("moe_layer", &["--cpu", "--mxfp8"]),
];

/// Runs every step, a failed one included, and then says which failed.
pub(crate) fn run(output: Output) -> ExitCode {
    let mut results: Vec<(&str, Duration, bool)> = Vec::new();
    for step in &STEPS {
        println!("\n=== {} ===", step.name);
        let start = Instant::now();
        let result = (step.run)(output);
        if let Err(error) = &result {
            println!("error: {error:#}");
        }
        let (took, passed) = (start.elapsed(), result.is_ok());
        println!("=== {}: {}, {} ===", step.name, verdict(passed), seconds(took));
        results.push((step.name, took, passed));
    }
    let (table, failed) = summary(&results);
    print!("\n{table}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn clippy(output: Output) -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    cargo(output, "clippy", &arguments)
}

/// The examples check their own results; on the CPU where they can be told so, to do the same on every machine. `interop`
/// runs them on an emulated GPU.
fn examples(output: Output) -> Result<()> {
    for (example, arguments) in EXAMPLES {
        let package = ["run", "--release", "-p", "expert-gemm", "--example", example, "--"];
        cargo(output, example, &[&package[..], arguments].concat())?;
    }
    Ok(())
}

/// The scripts of benches/peers need a GPU; what can be said without one is that they are Python.
fn peers() -> Result<()> {
    let parse = "import ast, glob\nfor name in glob.glob('benches/peers/*.py'):\n    \
                 ast.parse(open(name).read(), name)";
    process::stream(workspace::program("python3").args(["-c", parse]), "python")
}

fn doc(output: Output) -> Result<()> {
    let mut command = command(output);
    command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps"]);
    process::stream(&mut command, "doc")
}

fn cargo(output: Output, name: &str, arguments: &[&str]) -> Result<()> {
    process::stream(command(output).args(arguments), name)
}

fn command(output: Output) -> Command {
    let mut command = workspace::cargo();
    if output == Output::Plain {
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
    }
    command
}

fn verdict(passed: bool) -> &'static str {
    if passed { "passed" } else { "FAILED" }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn summary(results: &[(&str, Duration, bool)]) -> (String, usize) {
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|(name, took, ok)| vec![(*name).to_owned(), seconds(*took), verdict(*ok).to_owned()])
        .collect();
    let failed = results.iter().filter(|(_, _, passed)| !passed).count();
    let passed = results.len() - failed;
    let table = ui::table(&["step", "time", "result"], &rows);
    (format!("{table}{passed} passed, {failed} failed\n"), failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_the_steps() {
        let second = Duration::from_secs(1);
        let (text, failed) = summary(&[("fmt", second, true), ("doc", second, false)]);
        assert_eq!(failed, 1);
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
        assert!(text.contains("FAILED"));
    }
}
