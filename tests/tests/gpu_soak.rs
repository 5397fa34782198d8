//! What a service does all day: four threads, two streams each, mixed shapes of all operations, a hundred thousand
//! launches. No output changes, no status bit is set, no guard zone is touched, no call fails, and the device has as much
//! free memory afterwards as before.
//!
//! | variable | sets | default |
//! | --- | --- | --- |
//! | `EXPERT_GEMM_SOAK_LAUNCHES` | launches of all threads together | 100,000 |
//! | `EXPERT_GEMM_SOAK_WORK` | sums of 32 products in the largest problem | 10,000,000 |
//!
//! Nothing else may use the GPU's memory meanwhile: free memory is that of all processes.

use expert_gemm::{Device, DeviceInfo};
use expert_gemm_tests::gpu::{Gpu, say};
use expert_gemm_tests::mx::gemm_device;
use expert_gemm_tests::mx::gemm_problem::MxSpec;
use expert_gemm_tests::mx::quant_device;
use expert_gemm_tests::mx::quant_problem::QuantSpec;
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::problem::Spec;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::soak::{Soaked, Worker};
use expert_gemm_tests::suite::number;
use rayon::prelude::*;
use std::time::Instant;

const THREADS: u64 = 4;
const STREAMS: u64 = 2;
/// Problems of each operation on each stream.
const PROBLEMS: u64 = 2;
/// Launches between two checks of a thread.
const EVERY: u64 = 250;

/// The operations that a GPU has kernels for: FP8 product, MXFP8 product, quantiser.
fn has(info: &DeviceInfo) -> [bool; 3] {
    let fp8 = expert_gemm_tests::gpu::shape(&Spec::PLAIN.build());
    let product = gemm_device::shape(&MxSpec::PLAIN.build());
    let quantiser = quant_device::shape(&QuantSpec::PLAIN.build());
    [fp8.plan(info).is_ok(), product.plan(info).is_ok(), quantiser.plan(info).is_ok()]
}

/// Two problems of each operation, all different.
fn problems(device: &Device, lane: u64, work: f64) -> Result<Vec<Soaked>, String> {
    let [fp8, product, quantiser] = has(device.info());
    let most_experts = (work / 2e4).clamp(1.0, 512.0) as usize;
    let mut problems = Vec::new();
    for seed in lane * PROBLEMS..(lane + 1) * PROBLEMS {
        let dot32 = Rng::stream(seed, 5).log_uniform(work / 500.0, work) as u64;
        if fp8 {
            let spec = Spec::random(seed, dot32);
            let experts = spec.experts.min(most_experts);
            problems.push(Soaked::fp8(device, &Spec { experts, ..spec }.build())?);
        }
        if product {
            // The models take far longer for scales that are far from one.
            let kinds = [ScaleValues::One, ScaleValues::Near, ScaleValues::WithNan];
            let spec = MxSpec::random(seed, dot32, &kinds);
            let experts = spec.experts.min(most_experts);
            problems.push(Soaked::product(device, &MxSpec { experts, ..spec }.build())?);
        }
        if quantiser {
            let problem = QuantSpec::random(seed, dot32 / 10, most_experts as u64).build();
            problems.push(Soaked::quantiser(device, &problem)?);
        }
    }
    Ok(problems)
}

/// All workers at once; the number of their checks.
fn all(
    workers: &mut [Worker],
    work: impl Fn(&mut Worker) -> Result<u64, String> + Sync,
) -> Result<u64, String> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            workers.iter_mut().map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

#[test]
fn many_launches_change_nothing() {
    let Some(gpu) = Gpu::open_for(|info| {
        // The quantiser is the operation that every supported GPU has.
        quant_device::shape(&QuantSpec::PLAIN.build()).plan(info).map(drop)
    }) else {
        return;
    };
    let device: &Device = &gpu;
    let launches = number("EXPERT_GEMM_SOAK_LAUNCHES").unwrap_or(100_000).div_ceil(THREADS);
    let work = number("EXPERT_GEMM_SOAK_WORK").unwrap_or(10_000_000) as f64;
    let start = Instant::now();
    let lane = |lane| -> Result<_, String> {
        let stream = device.stream().map_err(|error| error.to_string())?;
        Ok((stream, problems(device, lane, work)?))
    };
    let mut workers: Vec<Worker> = (0..THREADS)
        .into_par_iter()
        .map(|thread| {
            let lanes = (0..STREAMS).map(|stream| lane(thread * STREAMS + stream));
            Ok(Worker { lanes: lanes.collect::<Result<_, String>>()?, rng: Rng::new(thread) })
        })
        .collect::<Result<_, String>>()
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    // The driver makes what it needs for so many streams, and for queues so long, when they are first in use.
    let every = EVERY.min(launches.div_ceil(4)).max(1);
    all(&mut workers, |worker| Ok(worker.run(launches / 10, every)? + worker.finish()?))
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    say(&format!(
        "soak: {} problems equal their models; {:.1} s",
        workers.iter().flat_map(|worker| &worker.lanes).map(|(_, lane)| lane.len()).sum::<usize>(),
        start.elapsed().as_secs_f64()
    ));

    let before = device.memory_info().expect("no fault");
    let start = Instant::now();
    let checks = all(&mut workers, |worker| Ok(worker.run(launches, every)? + worker.finish()?))
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    let seconds = start.elapsed().as_secs_f64();
    let after = device.memory_info().expect("no fault");
    let launches = THREADS * launches;
    say(&format!(
        "soak: {launches} launches by {THREADS} threads on {} streams, {checks} outputs compared, \
         {:.0} launches per second; {} bytes in use; {seconds:.1} s",
        THREADS * STREAMS,
        launches as f64 / seconds,
        after.total_bytes - after.free_bytes,
    ));
    let grown = before.free_bytes as i64 - after.free_bytes as i64;
    assert_eq!(grown, 0, "memory in use has grown by {grown} bytes");
}
