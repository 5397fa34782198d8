//! Measures the kernels of this library on this machine's GPU.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use expert_gemm::{Device, ElementType};
use expert_gemm_benches::count::Work;
use expert_gemm_benches::data::{DeviceWeights, OnDevice};
use expert_gemm_benches::reader::Reader;
use expert_gemm_benches::record::{self, CaseRecord, Ceiling, Meta, Record};
use expert_gemm_benches::shapes::{Case, GROUPS, Group, cases};
use expert_gemm_benches::timer::{Sustained, Timer};
use expert_gemm_benches::verify::verify;
use expert_gemm_kernels::abi::Op;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::Routing;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure the kernels on this machine's GPU
#[derive(Parser)]
struct Args {
    /// Only cases whose name contains one of these, separated by commas
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// Where to write the record; by default in benches/record, by GPU and day
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also measure every case back to back for half a second, with SM clock and power
    #[arg(long)]
    sustained: bool,
    /// Only 8 and 4096 rows per expert of 32 and 8 experts of DeepSeek-V3, and write no record
    #[arg(long)]
    quick: bool,
}

impl Args {
    fn wants(&self, case: &Case) -> bool {
        let name = case.to_string();
        let quick = ["dsv3_gateup/E32/M8/balanced", "dsv3_gateup/E8/M4096/balanced"];
        (!self.quick || quick.contains(&&*name))
            && (self.cases.is_empty() || self.cases.iter().any(|part| name.contains(&**part)))
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let device = Device::open(0).context("measuring needs a GPU")?;
    let timer = Timer::new(&device)?;
    timer.warm_up()?;
    let ceiling = ceiling(&device, &timer)?;
    println!("{}", device.info());
    println!(
        "ceiling: read {:.0} GB/s, copy {:.0} GB/s; floor {:.1} us",
        ceiling.read_gbps, ceiling.copy_gbps, ceiling.floor_us
    );
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>7} {:>7} {:>9}  outputs as modelled",
        "case", "us", "sustained", "ideal us", "TFLOP/s", "GB/s", "MHz / W"
    );

    let mut record = Record { meta: meta(&device, ceiling), cases: Vec::new() };
    for group in GROUPS {
        let wanted: Vec<Case> = cases(group).into_iter().filter(|case| args.wants(case)).collect();
        if !wanted.is_empty() {
            record.cases.extend(measure_group(&device, &timer, group, &wanted, args.sustained)?);
        }
    }
    ensure!(!record.cases.is_empty(), "no case has such a name");
    let wrong = record.cases.iter().filter(|case| case.outputs_equal != case.outputs_sampled);
    let wrong: Vec<&str> = wrong.map(|case| &*case.case).collect();
    ensure!(wrong.is_empty(), "outputs differ from the bit model in {}", wrong.join(", "));
    if !args.quick || args.out.is_some() {
        let default = || Record::default_path(&device.info().name, &record.meta.date);
        let path = args.out.unwrap_or_else(default);
        record.write(&path)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

fn meta(device: &Device, ceiling: Ceiling) -> Meta {
    let info = device.info();
    let smi = |field| record::smi(info.ordinal, field);
    let number = |field| smi(field).and_then(|text| text.parse().ok());
    let driver = smi("driver_version").unwrap_or_else(|| "unknown".to_owned());
    Meta {
        gpu: info.name.clone(),
        driver: format!("{driver}, CUDA {}", info.driver_version),
        clocks: number("clocks.max.sm"),
        watts: number("power.limit"),
        date: record::today(),
        commit: record::commit(),
        method: "us: median of 8 to 30 event-timed CUDA-graph replays, L2 filled before each by \
                 reading 256 MiB (bulk copies to shared memory, clean lines); us_sustained: mean of replays back \
                 to back for 0.5 s. Data: random codes of quantised normal data. bytes: each input \
                 and output once, weights of experts with rows only; ideal_us: the larger of \
                 bytes / 4.65 TB/s and flop / 1.5 PFLOP/s. read_gbps: the flushing kernel over \
                 4 GiB; copy_gbps: the driver's device-to-device copy, bytes read and written."
            .to_owned(),
        ceiling,
    }
}

fn ceiling(device: &Device, timer: &Timer) -> Result<Ceiling> {
    let best = |reader: &Reader| -> Result<f64> {
        let graph = timer.capture(|stream| reader.launch(stream))?;
        // SAFETY: `reader` owns the memory and is alive.
        Ok(unsafe { timer.burst(&graph) }?.fastest_us)
    };
    let floor_us = best(&Reader::new(device, 16 << 10)?)?;
    let large = Reader::new(device, 4 << 30)?;
    let read_gbps = large.bytes() as f64 / best(&large)? * 1e-3;
    let bytes = 1 << 30;
    let (from, to) = (device.alloc(bytes)?, device.alloc(bytes)?);
    let graph = timer.capture(|stream| {
        // SAFETY: two buffers of this size that outlive the replays.
        unsafe { device.driver().copy_on_device(to.address(), from.address(), bytes, stream) }
    })?;
    // SAFETY: both buffers are alive.
    let copy_us = unsafe { timer.burst(&graph) }?.fastest_us;
    Ok(Ceiling { read_gbps, copy_gbps: 2.0 * bytes as f64 / copy_us * 1e-3, floor_us })
}

fn measure_group(
    device: &Device,
    timer: &Timer,
    group: Group,
    cases: &[Case],
    sustained: bool,
) -> Result<Vec<CaseRecord>> {
    let spec = Spec {
        experts: group.experts,
        n: group.projection.n,
        k: group.projection.k,
        output: ElementType::Bf16,
        seed: 1234,
        ..Spec::PLAIN
    };
    let mut problem = HostProblem::new(spec, Routing::packed(vec![0; group.experts]));
    let weights = DeviceWeights::new(device, &problem)?;
    cases
        .iter()
        .map(|case| {
            problem.reroute(Routing::packed(case.rows_per_expert.clone()));
            let on_device = OnDevice::new(device, &weights, &problem)?;
            measure(timer, case, &problem, &on_device, sustained).with_context(|| case.to_string())
        })
        .collect()
}

fn measure(
    timer: &Timer,
    case: &Case,
    problem: &HostProblem,
    on_device: &OnDevice,
    sustained: bool,
) -> Result<CaseRecord> {
    let graph = timer.capture(|stream| on_device.launch(stream))?;
    // SAFETY: `on_device` and its weights own the memory and are alive.
    let burst = unsafe { timer.burst(&graph) }?;
    let sustained: Option<Sustained> = if sustained {
        // SAFETY: as above.
        Some(unsafe { timer.sustained(&graph, burst.us) }?)
    } else {
        None
    };
    let status = on_device.status()?;
    ensure!(status.is_ok(), "the status word says {:#x}", status.0);
    let verified = verify(problem, &on_device.output()?, 4, false);
    let reading = sustained.and_then(|sustained| sustained.reading);
    let work = Work {
        rows: case.rows(),
        live_experts: case.live_experts(),
        n: problem.spec.n as u64,
        k: problem.spec.k as u64,
    };
    let record = CaseRecord {
        op: Op::Fp8BlockwiseGroupedMm.name().to_owned(),
        case: case.to_string(),
        kernel: on_device.prepared().plan().variant().symbol.to_owned(),
        us: burst.us,
        us_min: burst.fastest_us,
        us_max: burst.slowest_us,
        replays: burst.replays,
        us_sustained: sustained.map(|sustained| sustained.us),
        sm_mhz_sustained: reading.map(|reading| reading.sm_mhz),
        watts_sustained: reading.map(|reading| reading.watts),
        tflops: work.tflops(burst.us),
        gbps: work.gbps(burst.us),
        ideal_us: work.ideal_us(),
        outputs_equal: verified.equal,
        outputs_sampled: verified.sampled,
    };
    print_row(&record);
    Ok(record)
}

fn print_row(record: &CaseRecord) {
    let optional = |number: Option<f64>| number.map_or("-".to_owned(), |x| format!("{x:.1}"));
    let reading = match (record.sm_mhz_sustained, record.watts_sustained) {
        (Some(mhz), Some(watts)) => format!("{mhz:.0} / {watts:.0}"),
        _ => "-".to_owned(),
    };
    println!(
        "{:<34} {:>9.1} {:>9} {:>9.1} {:>7.0} {:>7.0} {:>9}  {} of {}",
        record.case,
        record.us,
        optional(record.us_sustained),
        record.ideal_us,
        record.tflops,
        record.gbps,
        reading,
        record.outputs_equal,
        record.outputs_sampled,
    );
}
