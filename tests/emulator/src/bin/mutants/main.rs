//! Runs the suite on mutants of the shipped kernels: `mutants [--sample N] [--seed S] [--only NAME] [--all]`.
//!
//! Each mutant runs in a child process, because a fault may well keep a launch from ending, or break the emulator
//! itself. The last line is `mutants: killed K of N`; the exit status says whether that is enough.

mod suite;

use ptx_emulator::mutate::{self, Mutant};
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The module that is mutated.
const MODULE: &str = include_str!("../../../../../host/ptx/sm_90a/fp8_block_sm90.ptx");

/// Why mutants that survive do, by name.
const SURVIVORS: &str = include_str!("../../../mutants-survivors.md");

/// Mutants of one kind.
const PER_KIND: usize = 8;

/// Longest time for one mutant: many times what the whole suite takes on the kernels as they are.
const PATIENCE: Duration = Duration::from_mins(2);

/// Share of mutants that must be killed, in percent.
const WANTED: usize = 95;

/// What happened to a mutant.
enum Fate {
    /// Seen, and how.
    Killed(String),
    /// Passed everything.
    Survived,
    /// Took the emulator down, which counts as seen but should not happen.
    Crashed(String),
}

struct Options {
    sample: Option<usize>,
    seed: u64,
    only: Option<String>,
    all: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, output] = &arguments[..]
        && option == "--suite"
    {
        return suite::run(output);
    }
    let done = options(&arguments).and_then(|options| run(&options));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { sample: None, seed: 1, only: None, all: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--sample" => options.sample = Some(parse(value()?)?),
            "--seed" => options.seed = parse(value()?)?,
            "--only" => options.only = Some(value()?.clone()),
            "--all" => options.all = true,
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(options)
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn chosen(options: &Options) -> Vec<(String, Mutant)> {
    let all = mutate::all(MODULE);
    if let Some(only) = &options.only {
        return all.into_iter().filter(|(name, _)| name.starts_with(only.as_str())).collect();
    }
    let selected = if options.all { all } else { mutate::select(&all, PER_KIND, 1) };
    match options.sample {
        Some(count) => mutate::sample(selected, count, options.seed),
        None => selected,
    }
}

fn run(options: &Options) -> Result<bool, String> {
    // A suite that fails without any fault would kill everything.
    let folder = std::env::temp_dir().join(format!("ptx-mutants-{}", std::process::id()));
    for entry in ["bf16", "f16"] {
        if let Fate::Killed(why) | Fate::Crashed(why) = judge(&folder, "original", MODULE, entry)? {
            return Err(format!("the suite fails on the kernels as they are: {why}"));
        }
    }
    let mutants = chosen(options);
    let fates: Vec<Mutex<Option<Fate>>> = mutants.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some((name, mutant)), Some(slot)) = (mutants.get(index), fates.get(index))
                    else {
                        break;
                    };
                    let output = mutant.entry.rsplit('_').next().unwrap_or_default();
                    let fate = judge(&folder, name, &mutant.apply(MODULE), output);
                    let fate = fate.unwrap_or_else(Fate::Crashed);
                    *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(fate);
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, mutants.len(), start);
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&folder);
    let fates = fates.into_iter().map(|fate| fate.into_inner().ok().flatten());
    Ok(report(&mutants, fates.collect(), start.elapsed()))
}

/// Runs the suite on one text in a child.
fn judge(folder: &Path, name: &str, text: &str, output: &str) -> Result<Fate, String> {
    let folder = folder.join(name);
    let module: PathBuf = folder.join("sm_90a/fp8_block_sm90.ptx");
    let io = |error: std::io::Error| format!("{}: {error}", module.display());
    fs::create_dir_all(folder.join("sm_90a")).map_err(io)?;
    fs::write(&module, text).map_err(io)?;
    let program = std::env::current_exe().map_err(io)?;
    let child = Command::new(program)
        .args(["--suite", output])
        .env(expert_gemm::ptx::PTX_DIR_VARIABLE, &folder)
        // One core for each child: the parent keeps all of them busy.
        .env("RAYON_NUM_THREADS", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    let fate = wait(child).map_err(io);
    let _ = fs::remove_dir_all(&folder);
    fate
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

fn progress(done: usize, of: usize, start: Instant) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let seconds = start.elapsed().as_secs();
        let _ = write!(stderr, "\r{done} of {of} mutants, {seconds} s ");
        if done == of {
            let _ = writeln!(stderr);
        }
    }
}

/// Prints everything, and says whether enough were killed.
fn report(mutants: &[(String, Mutant)], fates: Vec<Option<Fate>>, took: Duration) -> bool {
    let mut killed = 0;
    let mut survivors = Vec::new();
    for ((name, mutant), fate) in mutants.iter().zip(fates) {
        match fate {
            Some(Fate::Killed(why)) => {
                killed += 1;
                if mutants.len() <= 20 {
                    println!("killed   {name}: {mutant}\n         {why}");
                }
            }
            Some(Fate::Crashed(why)) => {
                killed += 1;
                println!("CRASHED  {name}: {mutant}\n         {why}");
            }
            Some(Fate::Survived) | None => survivors.push((name, mutant)),
        }
    }
    for (name, mutant) in &survivors {
        println!(
            "survived {name}: {mutant}\n         {}",
            reason(name).unwrap_or("no reason is known")
        );
    }
    println!("{:.1} s", took.as_secs_f64());
    println!("mutants: killed {killed} of {}", mutants.len());
    killed * 100 >= mutants.len() * WANTED
}

/// The listed reason: the second column of the row that begins with the name.
fn reason(name: &str) -> Option<&'static str> {
    SURVIVORS.lines().find_map(|line| {
        let (listed, reason) = line.strip_prefix("| `")?.split_once("` | ")?;
        (listed == name).then(|| reason.trim_end_matches(['|', ' ']))
    })
}
