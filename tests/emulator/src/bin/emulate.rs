//! Emulates one problem and prints what it took: `emulate [--experts E] [--rows R] [--n N] [--k K] [--output TYPE]
//! [--timing early|late|random] [--seed S] [--sms COUNT] [--opcodes] [--timeline]`.

use expert_gemm::{Device, ElementType};
use expert_gemm_tests::gpu::{DeviceProblem, UNTOUCHED};
use expert_gemm_tests::metrics::compare_bits;
use expert_gemm_tests::problem::Spec;
use expert_gemm_tests::routing::Skew;
use expert_gemm_tests::wgmma_model;
use ptx_emulator::{EmulatorDriver, Options, Stats, Timing};
use std::process::ExitCode;
use std::sync::Arc;

struct Arguments {
    spec: Spec,
    options: Options,
    opcodes: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match read(&arguments).and_then(|arguments| emulate(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[String]) -> Result<Arguments, String> {
    let mut spec =
        Spec { experts: 4, total_rows: 100, n: 256, k: 512, skew: Skew::Ragged, ..Spec::PLAIN };
    let mut options = Options::default();
    let mut opcodes = false;
    let mut timing = "early";
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let switch = match argument.as_str() {
            "--opcodes" => Some(&mut opcodes),
            "--timeline" => Some(&mut options.timeline),
            _ => None,
        };
        if let Some(switch) = switch {
            *switch = true;
            continue;
        }
        let value = rest.next().ok_or(format!("{argument} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{value} is not a number"));
        match argument.as_str() {
            "--experts" => spec.experts = number()? as usize,
            "--rows" => spec.total_rows = number()?,
            "--n" => spec.n = number()? as usize,
            "--k" => spec.k = number()? as usize,
            "--seed" => spec.seed = number()?,
            "--sms" => options.sm_count = number()? as u32,
            "--timing" => timing = value,
            "--output" => {
                spec.output = match value.as_str() {
                    "bf16" => ElementType::Bf16,
                    "f16" => ElementType::F16,
                    other => return Err(format!("{other} is neither bf16 nor f16")),
                }
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    if !spec.n.is_multiple_of(128) || !spec.k.is_multiple_of(128) || spec.n * spec.k == 0 {
        return Err(format!("n = {} and k = {} must be multiples of 128", spec.n, spec.k));
    }
    options.timing = match timing {
        "early" => Timing::Early,
        "late" => Timing::Late,
        "random" => Timing::Random(spec.seed),
        other => return Err(format!("{other} is none of early, late and random")),
    };
    Ok(Arguments { spec, options, opcodes })
}

fn emulate(arguments: &Arguments) -> Result<bool, String> {
    let problem = arguments.spec.build();
    println!("problem   {problem}");
    println!(
        "schedule  {:?}, {} multiprocessors, {} of {} rows owned by experts",
        arguments.options.timing,
        arguments.options.sm_count,
        problem.routing.owned_rows(),
        problem.rows()
    );
    let driver = Arc::new(EmulatorDriver::new(arguments.options.clone()));
    let device = Device::with_driver(driver.clone());
    let outcome = DeviceProblem::new(&device, &problem).and_then(|on_device| on_device.run());
    let reports = driver.take_reports();
    for report in &reports {
        println!("report    {report}");
    }
    let outcome = outcome.map_err(|error| error.to_string())?;
    let want = wgmma_model::grouped(&problem, UNTOUCHED);
    let difference = compare_bits(&problem, &outcome.output, &want);
    let stats = driver.stats();
    for line in &stats.timeline {
        println!("{line}");
    }
    print(&stats, arguments.opcodes);
    for damage in &outcome.damage {
        println!("damage    {damage}");
    }
    let good = difference.is_none() && reports.is_empty() && outcome.damage.is_empty();
    println!("result    {difference}; status {:#x}; {} reports", outcome.status.0, reports.len());
    Ok(good && outcome.status.is_ok())
}

fn print(stats: &Stats, opcodes: bool) {
    let seconds = stats.wall.as_secs_f64().max(1e-9);
    println!(
        "work      {} thread instructions, {} warp instructions, {} multiply-adds",
        stats.thread_instructions, stats.warp_instructions, stats.macs
    );
    println!(
        "speed     {:.2} s: {:.1} M thread instructions/s, {:.1} M multiply-adds/s; {:.2} s of tensor arithmetic",
        seconds,
        stats.thread_instructions as f64 / seconds / 1e6,
        stats.macs as f64 / seconds / 1e6,
        stats.tensor_wall.as_secs_f64()
    );
    let families = stats.families();
    let families: Vec<String> =
        families.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!("families  {}", families.join(", "));
    let mut counts: Vec<_> = stats.opcodes.iter().collect();
    counts.sort_by_key(|&(opcode, count)| (std::cmp::Reverse(*count), opcode));
    let shown = if opcodes { counts.len() } else { 12 };
    for (opcode, count) in counts.iter().take(shown) {
        println!("{count:>12}  {opcode}");
    }
    if counts.len() > shown {
        println!("{:>12}  other opcodes (--opcodes lists them)", counts.len() - shown);
    }
}
