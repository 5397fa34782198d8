//! Event-timed replays of a captured graph.
//!
//! Burst: before each replay the second-level cache is filled by reading 256 MiB of other memory; the median
//! of 8 to 30 counts. Sustained: replays back to back for at least half a second, so that clocks and power
//! settle; the mean counts.

use crate::clocks::{Clocks, Reading};
use crate::reader::Reader;
use expert_gemm::{Device, GraphHandle, Result, Stream, StreamHandle};

/// Bytes that are read before each timed replay.
pub const FLUSH_BYTES: u64 = 256 << 20;
/// Device time that the timed replays of a burst should take together.
const BURST_US: f64 = 32_000.0;
/// Fewest and most timed replays of a burst.
const BURST_REPLAYS: (usize, usize) = (8, 30);
/// Device time of a sustained run.
const SUSTAINED_US: f64 = 500_000.0;
/// Most replays that are put into the queue at once: an event ends each batch.
const BATCH: usize = 512;

/// Times of the burst, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Median.
    pub us: f64,
    /// Fastest.
    pub fastest_us: f64,
    /// Slowest.
    pub slowest_us: f64,
    /// Number of timed replays.
    pub replays: usize,
}

/// Mean time back to back, and what the chip did meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Sustained {
    /// Mean microseconds of a replay.
    pub us: f64,
    /// SM clock and power, where they could be read.
    pub reading: Option<Reading>,
}

/// Measures work on a device.
pub struct Timer {
    device: Device,
    stream: StreamHandle,
    flush: Reader,
}

impl Timer {
    /// A timer with its own stream.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn new(device: &Device) -> Result<Self> {
        let flush = Reader::new(device, FLUSH_BYTES)?;
        Ok(Self { device: device.clone(), stream: device.stream()?, flush })
    }

    /// Captures work for [`burst`](Self::burst) and [`sustained`](Self::sustained).
    ///
    /// # Errors
    /// What the work or the driver answers.
    pub fn capture(&self, work: impl FnOnce(Stream) -> Result<()>) -> Result<GraphHandle> {
        self.stream.capture(work)
    }

    /// Measures replays after a flush of the cache.
    ///
    /// # Safety
    /// The memory that the captured work uses is allocated.
    ///
    /// # Errors
    /// What the driver answers.
    pub unsafe fn burst(&self, graph: &GraphHandle) -> Result<Burst> {
        // SAFETY: by the caller's promise.
        let once = |count| unsafe { self.flushed(graph, count) };
        once(2)?;
        let estimate = once(1)?[0].max(1.0);
        let (fewest, most) = BURST_REPLAYS;
        let replays = ((BURST_US / (estimate + 90.0)) as usize).clamp(fewest, most);
        let mut us = once(replays)?;
        us.sort_by(f64::total_cmp);
        Ok(Burst { us: us[us.len() / 2], fastest_us: us[0], slowest_us: us[us.len() - 1], replays })
    }

    /// Measures replays back to back.
    ///
    /// # Safety
    /// As [`burst`](Self::burst).
    ///
    /// # Errors
    /// What the driver answers.
    pub unsafe fn sustained(&self, graph: &GraphHandle, burst_us: f64) -> Result<Sustained> {
        let replays = ((SUSTAINED_US / burst_us.max(1.0)) as usize).max(16);
        let (start, end) = (self.device.event()?, self.device.event()?);
        let stream = self.stream.stream();
        let clocks = Clocks::watch(self.device.info().ordinal);
        start.record(stream)?;
        let mut behind = self.device.event()?;
        for first in (0..replays).step_by(BATCH) {
            for _ in first..replays.min(first + BATCH) {
                // SAFETY: by the caller's promise.
                unsafe { graph.launch(stream)? };
            }
            // At most two batches wait in the queue.
            if first > 0 {
                behind.synchronize()?;
            }
            behind = self.device.event()?;
            behind.record(stream)?;
        }
        end.record(stream)?;
        end.synchronize()?;
        let us = f64::from(end.elapsed_ms_since(&start)?) * 1000.0 / replays as f64;
        Ok(Sustained { us, reading: clocks.and_then(Clocks::stop) })
    }

    /// Keeps the chip busy for a moment, so that the first timings do not see idle clocks.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn warm_up(&self) -> Result<()> {
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 300 {
            for _ in 0..20 {
                self.flush.launch(self.stream.stream())?;
            }
            self.stream.synchronize()?;
        }
        Ok(())
    }

    /// Microseconds of each of `count` replays, each after a flush.
    ///
    /// # Safety
    /// As [`burst`](Self::burst).
    unsafe fn flushed(&self, graph: &GraphHandle, count: usize) -> Result<Vec<f64>> {
        let stream = self.stream.stream();
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            let (start, end) = (self.device.event()?, self.device.event()?);
            self.flush.launch(stream)?;
            start.record(stream)?;
            // SAFETY: by the caller's promise.
            unsafe { graph.launch(stream)? };
            end.record(stream)?;
            events.push((start, end));
        }
        self.stream.synchronize()?;
        events
            .iter()
            .map(|(start, end)| Ok(f64::from(end.elapsed_ms_since(start)?) * 1000.0))
            .collect()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // Nothing may still read the flush buffer when it is freed; a fault shows elsewhere.
        let _ = self.stream.synchronize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DeviceWeights, OnDevice};
    use expert_gemm::driver::mock::MockDriver;
    use expert_gemm_tests::problem::Spec;

    #[test]
    fn the_whole_road_is_walked_on_a_driver_without_a_device() {
        let device = Device::with_driver(MockDriver::h200().shared());
        let problem = Spec { total_rows: 12, ..Spec::PLAIN }.build();
        let weights = DeviceWeights::new(&device, &problem).expect("upload");
        let on_device = OnDevice::new(&device, &weights, &problem).expect("upload");
        let timer = Timer::new(&device).expect("timer");
        let graph = timer.capture(|stream| on_device.launch(stream)).expect("capture");
        // SAFETY: `on_device` and `weights` are alive.
        let burst = unsafe { timer.burst(&graph) }.expect("burst");
        assert!((8..=30).contains(&burst.replays) && burst.fastest_us <= burst.us);
        // SAFETY: as above. Few replays, since the burst is said to have taken long.
        let sustained = unsafe { timer.sustained(&graph, 30_000.0) }.expect("sustained");
        assert!(sustained.us.is_finite());
        assert_eq!(on_device.output().expect("memory").len(), 12 * 256);
        assert!(on_device.status().expect("memory").is_ok());
    }
}
