//! A suite in a process of its own.

use crate::suite;
use expert_gemm::ptx::{PTX_DIR_VARIABLE, PtxModule};
use ptx_emulator::mutate::Mutant;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The option by which a child knows what it is for; the kernel's symbol follows.
pub(crate) const SUITE: &str = "--suite";

/// Longest time for one run: many times what the whole suite takes on the kernels as they are.
const PATIENCE: Duration = Duration::from_mins(2);

/// What happened to a mutant.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Seen, and how.
    Killed(String),
    /// Passed everything.
    Survived,
    /// Took the emulator down, which counts as seen but should not happen.
    Crashed(String),
}

/// A run of a kernel's suite, on a mutant or on the module as it is.
pub(crate) struct Job<'a> {
    /// The module.
    pub(crate) ptx: &'a PtxModule,
    /// The kernel.
    pub(crate) symbol: &'a str,
    /// The fault.
    pub(crate) mutant: Option<&'a Mutant>,
}

impl Job<'_> {
    /// Runs it in a child; `number` is this job's alone.
    pub(crate) fn run(&self, number: usize) -> Result<Fate, String> {
        let folder = format!("ptx-mutants-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let fate = self.run_in(&folder);
        let _ = fs::remove_dir_all(&folder);
        fate.map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn run_in(&self, folder: &Path) -> std::io::Result<Fate> {
        let PtxModule { name, arch, text } = self.ptx;
        let modules = folder.join(arch.name());
        fs::create_dir_all(&modules)?;
        let text = self.mutant.map_or_else(|| text.to_string(), |mutant| mutant.apply(text));
        fs::write(modules.join(format!("{name}.ptx")), text)?;
        let child = Command::new(std::env::current_exe()?)
            .args([SUITE, self.symbol])
            .env(PTX_DIR_VARIABLE, folder)
            // One core for each child: the parent keeps all of them busy.
            .env("RAYON_NUM_THREADS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        wait(child)
    }
}

fn wait(mut child: Child) -> std::io::Result<Fate> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(Fate::Killed("takes too long".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(match output.status.code() {
        Some(suite::PASSED) => Fate::Survived,
        Some(suite::SEEN) => Fate::Killed(said),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Fate::Crashed(said.lines().take(3).collect::<Vec<_>>().join(" "))
        }
    })
}
