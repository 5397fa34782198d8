//! How every run of measurements begins.

use crate::measure::print_header;
use crate::reader::Reader;
use crate::record::{self, Ceiling, Meta};
use crate::timer::Timer;
use anyhow::Result;
use expert_gemm::Device;

/// Warms the device up, measures what it does at best, and prints that and the header of the rows to come.
///
/// # Errors
/// What the driver answers.
pub fn begin(device: &Device) -> Result<(Timer, Meta)> {
    let timer = Timer::new(device)?;
    timer.warm_up()?;
    let ceiling = ceiling(device, &timer)?;
    println!("{}", device.info());
    println!(
        "ceiling: read {:.0} GB/s, copy {:.0} GB/s; floor {:.1} us",
        ceiling.read_gbps, ceiling.copy_gbps, ceiling.floor_us
    );
    print_header();
    Ok((timer, meta(device, ceiling)))
}

/// Where and how this run measures.
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
        peers: Vec::new(),
    }
}

/// What this chip does at best.
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
