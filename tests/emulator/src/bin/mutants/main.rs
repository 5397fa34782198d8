//! Runs suites on mutants of the shipped kernels: `mutants [--kernel NAME] [--sample N] [--seed S] [--only NAME] [--all]`.
//!
//! Each mutant runs in a child process, because a fault may well keep a launch from ending, or break the emulator
//! itself. The last line is `mutants: killed K of N, and E equivalent`; the exit status says whether that is enough, of
//! each kernel and of all.

mod child;
mod report;
mod suite;

use child::{Fate, Job};
use expert_gemm::abi::{Op, Variant};
use expert_gemm::ptx::PtxModule;
use ptx_emulator::mutate::{self, Mutant};
use report::Score;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Mutants of one kind, at most: the quantisers have fewer kinds, and their suites take a fraction of the others' time.
fn per_kind(module: &PtxModule) -> usize {
    let quantises = |kernel: &Variant| kernel.op == Op::Mxfp8GroupedQuant;
    let kernel = suite::kernels().find(|kernel| kernel.module == module.name);
    if kernel.is_some_and(quantises) { 16 } else { 8 }
}

struct Options {
    kernel: Option<String>,
    sample: Option<usize>,
    seed: u64,
    only: Option<String>,
    all: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, symbol] = &arguments[..]
        && option == child::SUITE
    {
        return suite::run(symbol);
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
    let mut options = Options { kernel: None, sample: None, seed: 1, only: None, all: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--kernel" => options.kernel = Some(value()?.clone()),
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

/// A PTX module, and the mutants of it that are tried.
struct Module {
    ptx: PtxModule,
    mutants: Vec<(String, Mutant)>,
}

impl Module {
    fn jobs(&self) -> impl Iterator<Item = Job<'_>> {
        let Self { ptx, mutants } = self;
        mutants.iter().map(move |(_, mutant)| Job {
            ptx,
            symbol: &mutant.entry,
            mutant: Some(mutant),
        })
    }
}

/// The modules with a suite, or the one that is asked for.
fn modules(options: &Options) -> Result<Vec<PtxModule>, String> {
    let mut modules: Vec<PtxModule> = Vec::new();
    for kernel in suite::kernels() {
        let wanted = options.kernel.as_ref().is_none_or(|name| name == kernel.module);
        if wanted && modules.iter().all(|module| module.name != kernel.module) {
            modules.push(PtxModule::embedded(kernel).map_err(|error| error.to_string())?);
        }
    }
    if modules.is_empty() {
        let mut names: Vec<&str> = suite::kernels().map(|kernel| kernel.module).collect();
        names.dedup();
        return Err(format!("no such kernel; there are {}", names.join(", ")));
    }
    Ok(modules)
}

/// The mutants of a module that the options choose; of a sample, the module's share.
fn chosen(options: &Options, ptx: &PtxModule, share: Option<usize>) -> Vec<(String, Mutant)> {
    let all = mutate::all(&ptx.text);
    if let Some(only) = &options.only {
        let wanted = |name: &str| only.split(',').any(|begin| name.starts_with(begin));
        return all.into_iter().filter(|(name, _)| wanted(name)).collect();
    }
    let selected = if options.all { all } else { mutate::select(&all, per_kind(ptx), 1) };
    match share {
        Some(count) => mutate::sample(selected, count, options.seed),
        None => selected,
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let modules = modules(options)?;
    let (count, start) = (modules.len(), Instant::now());
    let share = |i: usize| options.sample.map(|sample| (sample + count - 1 - i) / count);
    let modules: Vec<Module> = (modules.into_iter().enumerate())
        .map(|(i, ptx)| Module { mutants: chosen(options, &ptx, share(i)), ptx })
        .collect();
    // A suite that fails without any fault would kill everything.
    let originals = suite::kernels().filter_map(|kernel| {
        let module = modules.iter().find(|module| module.ptx.name == kernel.module)?;
        Some(Job { ptx: &module.ptx, symbol: kernel.symbol, mutant: None })
    });
    let originals: Vec<Job<'_>> = originals.collect();
    for (job, fate) in originals.iter().zip(run_all(&originals, "kernels as they are")?) {
        if let Fate::Killed(why) | Fate::Crashed(why) = fate {
            return Err(format!("the suite fails on {} as it is: {why}", job.symbol));
        }
    }
    let jobs: Vec<Job<'_>> = modules.iter().flat_map(Module::jobs).collect();
    let mut fates = run_all(&jobs, "mutants")?.into_iter();
    let mut total = Score::default();
    let mut enough = true;
    for Module { ptx, mutants } in &modules {
        let fates: Vec<Fate> = fates.by_ref().take(mutants.len()).collect();
        let score = report::print(ptx.name, mutants, &fates);
        enough &= score.is_enough();
        total.add(score);
    }
    println!("{:.1} s", start.elapsed().as_secs_f64());
    println!("mutants: {total}");
    // One that may survive of each kernel's few must not add up.
    Ok(enough && total.is_enough())
}

/// Runs each job in a child, on all cores. A child that cannot be started says nothing about its mutant: then all end.
fn run_all(jobs: &[Job<'_>], what: &str) -> Result<Vec<Fate>, String> {
    let fates: Vec<_> = jobs.iter().map(|_| Mutex::new(Ok(Fate::Survived))).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(job), Some(slot)) = (jobs.get(index), fates.get(index)) else {
                        break;
                    };
                    let fate = job.run(index);
                    if fate.is_err() {
                        next.store(jobs.len(), Ordering::Relaxed);
                    }
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = fate;
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len(), what, start);
                }
            });
        }
    });
    let fates = fates.into_iter();
    fates.map(|fate| fate.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn progress(done: usize, of: usize, what: &str, start: Instant) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let seconds = start.elapsed().as_secs();
        let _ = write!(stderr, "\r{done} of {of} {what}, {seconds} s ");
        if done == of {
            let _ = writeln!(stderr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_cannot_start_kills_nothing() {
        let kernel = suite::kernels().next().unwrap();
        let ptx =
            PtxModule { name: "no such folder/module", ..PtxModule::embedded(kernel).unwrap() };
        let job = || Job { ptx: &ptx, symbol: "none", mutant: None };
        let error = run_all(&[job(), job()], "runs").unwrap_err();
        assert!(error.contains("ptx-mutants"), "{error}");
    }
}
