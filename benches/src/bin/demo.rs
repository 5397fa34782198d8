//! One projection of a real mixture-of-experts model, computed and checked on this machine.

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use expert_gemm::{Device, DeviceInfo, ElementType, Plan};
use expert_gemm_benches::count::Work;
use expert_gemm_benches::data::{DeviceWeights, OnDevice};
use expert_gemm_benches::models::Model;
use expert_gemm_benches::tensors_file;
use expert_gemm_benches::timer::Timer;
use expert_gemm_benches::verify::verify;
use expert_gemm_tests::cpu;
use expert_gemm_tests::gpu::shape;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Routing, softmax_counts};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Rows whose outputs are compared with the references.
const SAMPLED_ROWS: usize = 16;
/// Tokens of the whole layer, with and without a GPU.
const TOKENS: (u64, u64) = (8192, 1024);

/// Compute one projection of a mixture-of-experts model and check it
#[derive(Parser)]
struct Args {
    /// Whose gate-and-up projection
    #[arg(long, value_enum, default_value = "deepseek-v3")]
    model: Model,
    /// Tokens that are routed over all experts of the layer; 8192, or 1024 without a GPU
    #[arg(long)]
    tokens: Option<u64>,
    /// How uneven the routing is: standard deviation of the experts' mean logits
    #[arg(long, default_value_t = 1.0)]
    skew: f32,
    /// Element type of the output
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: Output,
    /// Your own tensors: a, b, `scales_a`, `scales_b`, `problem_sizes`, `expert_offsets`
    #[arg(long, value_name = "FILE.safetensors")]
    input: Option<PathBuf>,
    /// Where to write the output tensor
    #[arg(long, value_name = "FILE.safetensors")]
    output: Option<PathBuf>,
    /// Use the CPU backend even if there is a GPU
    #[arg(long)]
    cpu: bool,
    /// Seed of the random tensors and of the routing
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Element type of the output.
#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// bfloat16
    Bf16,
    /// IEEE binary16
    F16,
}

/// Output and time of a run.
struct Ran {
    output: Vec<u16>,
    us: f64,
    how: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let device = open(args);
    let problem = problem(args, device.is_some())?;
    let shape = shape(&problem);
    let info = device.as_ref().map_or_else(DeviceInfo::h200, |device| device.info().clone());
    let plan = shape.plan(&info)?;
    describe(&problem, &plan, device.is_some());

    let ran = match &device {
        Some(device) => run_on_gpu(device, &problem)?,
        None => run_on_cpu(&problem)?,
    };
    let owned = problem.routing.rows_per_expert.iter().filter(|&&rows| rows > 0).count();
    let work = Work {
        rows: problem.routing.owned_rows(),
        live_experts: owned as u64,
        n: shape.n,
        k: shape.k,
    }
    .fp8();
    println!("time        {} ({})", time(ran.us), ran.how);
    println!("            {:.3} TFLOP/s, {:.1} GB/s", work.tflops(ran.us), work.gbps(ran.us));

    let working = spinner("checking sampled rows");
    let verified = verify(&problem, &ran.output, SAMPLED_ROWS, true);
    working.finish_and_clear();
    let error = verified.relative_error.unwrap_or(f64::NAN);
    println!("error       {error:.2e} relative to f64, over {} sampled outputs", verified.sampled);
    println!(
        "bit model   {} of {} sampled outputs equal the model of the Hopper tensor core{}",
        verified.equal,
        verified.sampled,
        if device.is_some() { "" } else { " (the CPU keeps more bits within a block)" }
    );
    if let Some(path) = &args.output {
        tensors_file::save(path, &problem, &ran.output)?;
        println!("output      {}", path.display());
    }
    ensure!(
        device.is_none() || verified.equal == verified.sampled,
        "the GPU's output differs from the bit model"
    );
    Ok(())
}

/// The GPU, unless there is none: then one sentence says so.
fn open(args: &Args) -> Option<Device> {
    let any = expert_gemm::Fp8GroupedMm {
        rows: 1,
        experts: 1,
        n: 128,
        k: 128,
        output: ElementType::Bf16,
    };
    if args.cpu {
        println!("Running on the CPU backend, as asked.");
        return None;
    }
    let opened = Device::open(0).and_then(|device| any.plan(device.info()).map(|_| device));
    opened
        .inspect_err(|reason| {
            println!("This runs on the CPU backend because {reason}.");
        })
        .ok()
}

fn problem(args: &Args, gpu: bool) -> Result<HostProblem> {
    let output = match args.dtype {
        Output::Bf16 => ElementType::Bf16,
        Output::F16 => ElementType::F16,
    };
    if let Some(path) = &args.input {
        let working = spinner(&format!("reading {}", path.display()));
        let problem = tensors_file::load(path, output);
        working.finish_and_clear();
        println!("model       tensors of {}", path.display());
        return problem;
    }
    let dims = args.model.dims();
    let tokens = args.tokens.unwrap_or(if gpu { TOKENS.0 } else { TOKENS.1 });
    let experts = dims.local_experts();
    let rng = &mut Rng::new(args.seed);
    let slots = tokens * u64::from(dims.top_k);
    let mut counts = softmax_counts(dims.experts, slots, dims.top_k, args.skew, rng);
    counts.truncate(experts);
    let routing = Routing::packed(counts);
    println!(
        "model       {}, gate and up: {experts} of {} experts, N {}, K {}",
        dims.name,
        dims.experts,
        2 * dims.intermediate,
        dims.hidden
    );
    println!(
        "routing     {tokens} tokens, top {} by softmax: {} rows here, {} to {} per expert",
        dims.top_k,
        routing.owned_rows(),
        routing.rows_per_expert.iter().min().unwrap_or(&0),
        routing.rows_per_expert.iter().max().unwrap_or(&0)
    );
    let spec = Spec {
        experts,
        n: 2 * dims.intermediate,
        k: dims.hidden,
        total_rows: routing.owned_rows(),
        output,
        // Dequantised values of the order of one: outputs stay in the range of f16.
        scale_range: 1.0,
        seed: args.seed,
        ..Spec::PLAIN
    };
    let working = spinner("making random tensors");
    let mut problem = HostProblem::new(spec, routing);
    for (scales, deviation) in [(&mut problem.scales_a, 1.0), (&mut problem.scales_b, 0.02)] {
        scale(scales, deviation, rng);
    }
    working.finish_and_clear();
    Ok(problem)
}

/// Scales that give the codes of normal data this standard deviation, somewhat different in each block.
fn scale(scales: &mut [f32], deviation: f32, rng: &mut Rng) {
    // A code of such data has a standard deviation of 140.
    let mean = deviation / 140.0;
    scales.fill_with(|| mean * rng.log_uniform(0.8, 1.25) as f32);
}

fn describe(problem: &HostProblem, plan: &Plan, gpu: bool) {
    println!("plan        {}", if gpu { "" } else { "of the GPU path, on an H200:" });
    for line in plan.explain().lines() {
        println!("  {line}");
    }
    let bytes = problem.b.len() + problem.a.len() + problem.rows() * problem.spec.n * 2;
    println!("memory      {:.2} GB", bytes as f64 * 1e-9);
}

fn run_on_gpu(device: &Device, problem: &HostProblem) -> Result<Ran> {
    let working = spinner("uploading and measuring");
    let weights = DeviceWeights::new(device, problem)?;
    let on_device = OnDevice::new(device, &weights, problem)?;
    let timer = Timer::new(device)?;
    timer.warm_up()?;
    let graph = timer.capture(|stream| on_device.launch(stream))?;
    // SAFETY: `on_device` and `weights` own the memory and are alive.
    let burst = unsafe { timer.burst(&graph) }?;
    let status = on_device.status()?;
    ensure!(status.is_ok(), "the status word says {:#x}", status.0);
    let output = on_device.output()?;
    working.finish_and_clear();
    let how = format!("median of {} replays, cache flushed before each", burst.replays);
    Ok(Ran { output, us: burst.us, how: format!("{}; {how}", device.info()) })
}

fn run_on_cpu(problem: &HostProblem) -> Result<Ran> {
    let working = spinner("computing on the CPU");
    let start = Instant::now();
    let (output, status) = cpu::run(problem, &problem.tables(), 0xFFFF)?;
    let us = start.elapsed().as_secs_f64() * 1e6;
    working.finish_and_clear();
    ensure!(status.is_ok(), "the group tables break the contract: {:#x}", status.0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Ran { output, us, how: format!("CPU backend, {threads} threads") })
}

/// A moving line while something takes long; nothing where there is no terminal.
fn spinner(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn time(us: f64) -> String {
    if us < 1e4 { format!("{us:.1} us") } else { format!("{:.2} s", us * 1e-6) }
}
