//! Problems that are launched again and again, from several threads on several streams: their outputs must stay what
//! they were.

use crate::gpu::{DeviceProblem, UNTOUCHED};
use crate::guarded::Around;
use crate::metrics::compare_bits;
use crate::mx::gemm_device::DeviceMx;
use crate::mx::gemm_problem::MxProblem;
use crate::mx::quant_device::DeviceQuant;
use crate::mx::quant_problem::QuantProblem;
use crate::mx::routing::MxTables;
use crate::problem::HostProblem;
use crate::rng::Rng;
use crate::routing::Tables;
use crate::wgmma_model;
use core::fmt::Display;
use core::hash::{Hash, Hasher};
use expert_gemm::{Device, GroupStatus, Result, Stream, StreamHandle};
use std::hash::DefaultHasher;

/// What is wrong, in words.
type Checked<T> = core::result::Result<T, String>;

/// A problem in guarded device memory, and the hash of what a launch of it writes.
pub struct Soaked {
    on_device: OnDevice,
    /// For reports.
    name: String,
    want: u64,
}

/// A problem of any operation, with the tables that it began with.
enum OnDevice {
    Fp8(DeviceProblem, Tables),
    Product(DeviceMx, MxTables),
    Quantiser(DeviceQuant, MxTables),
}

impl Soaked {
    /// An FP8 product whose first launch equals the model.
    ///
    /// # Errors
    /// What the host crate refuses, or how the outcome differs from the model.
    pub fn fp8(device: &Device, problem: &HostProblem) -> Checked<Self> {
        let on_device = DeviceProblem::new(device, problem).map_err(in_words)?;
        let output = on_device.run().map_err(in_words)?.output;
        let difference = compare_bits(problem, &output, &wgmma_model::grouped(problem, UNTOUCHED));
        if !difference.is_none() {
            return Err(format!("{difference}\n  {problem}"));
        }
        Self::new(OnDevice::Fp8(on_device, problem.tables()), problem)
    }

    /// An MXFP8 product whose first launch equals the model.
    ///
    /// # Errors
    /// As [`fp8`](Self::fp8).
    pub fn product(device: &Device, problem: &MxProblem) -> Checked<Self> {
        let tables = problem.tables();
        let on_device = DeviceMx::new(device, problem, Around::Guards).map_err(in_words)?;
        on_device.run().map_err(in_words)?.judge(problem, &tables)?;
        Self::new(OnDevice::Product(on_device, tables), problem)
    }

    /// An MXFP8 quantisation whose first launch equals the model.
    ///
    /// # Errors
    /// As [`fp8`](Self::fp8).
    pub fn quantiser(device: &Device, problem: &QuantProblem) -> Checked<Self> {
        let tables = problem.tables();
        let on_device = DeviceQuant::new(device, problem, Around::Guards).map_err(in_words)?;
        on_device.run().map_err(in_words)?.judge(problem, &tables)?;
        Self::new(OnDevice::Quantiser(on_device, tables), problem)
    }

    /// Remembers what the first launch has written, and takes it away.
    fn new(on_device: OnDevice, problem: &impl Display) -> Checked<Self> {
        let mut soaked = Self { on_device, name: problem.to_string(), want: 0 };
        soaked.want = soaked.hash()?;
        soaked.reset().map_err(in_words)?;
        Ok(soaked)
    }

    fn launch(&self, stream: Stream) -> Result<()> {
        match &self.on_device {
            OnDevice::Fp8(problem, _) => problem.launch(stream),
            OnDevice::Product(problem, _) => problem.launch(stream),
            OnDevice::Quantiser(problem, _) => problem.launch(stream),
        }
    }

    /// As before any launch, so that one that writes nothing is seen.
    fn reset(&self) -> Result<()> {
        match &self.on_device {
            OnDevice::Fp8(problem, tables) => problem.reset(tables),
            OnDevice::Product(problem, tables) => problem.reset(tables),
            OnDevice::Quantiser(problem, tables) => problem.reset(tables),
        }
    }

    /// Plans are prepared anew for every batch of a service; that must load nothing again.
    fn prepare(&self) -> Result<()> {
        fn again<O: expert_gemm::Operation>(prepared: &expert_gemm::Prepared<O>) -> Result<()> {
            prepared.device().prepare(prepared.plan()).map(drop)
        }
        match &self.on_device {
            OnDevice::Fp8(problem, _) => again(problem.prepared()),
            OnDevice::Product(problem, _) => again(problem.prepared()),
            OnDevice::Quantiser(problem, _) => again(problem.prepared()),
        }
    }

    /// Waits for the device, and hashes what was written. A status or a damaged guard zone is an error.
    fn hash(&self) -> Checked<u64> {
        let mut hasher = DefaultHasher::new();
        let (status, damage) = match &self.on_device {
            OnDevice::Fp8(problem, _) => {
                let outcome = problem.outcome().map_err(in_words)?;
                outcome.output.hash(&mut hasher);
                (outcome.status, outcome.damage)
            }
            OnDevice::Product(problem, _) => {
                let outcome = problem.outcome().map_err(in_words)?;
                outcome.output.hash(&mut hasher);
                (outcome.status, outcome.damage)
            }
            OnDevice::Quantiser(problem, _) => {
                let outcome = problem.outcome().map_err(in_words)?;
                (&outcome.output.codes, &outcome.output.scales).hash(&mut hasher);
                (outcome.status, outcome.damage)
            }
        };
        if status != GroupStatus::OK || !damage.is_empty() {
            return Err(format!("status {:#x}, damage {damage:?}\n  {}", status.0, self.name));
        }
        Ok(hasher.finish())
    }

    /// Compares what launches have left behind, and makes the memory as before any.
    fn check(&self) -> Checked<()> {
        let got = self.hash()?;
        if got != self.want {
            let (want, name) = (self.want, &self.name);
            return Err(format!("the output hashes to {got:016x}, not to {want:016x}\n  {name}"));
        }
        self.prepare().and_then(|()| self.reset()).map_err(in_words)
    }
}

/// The streams of one thread, each with problems of its own.
pub struct Worker {
    /// Streams and what is launched into them.
    pub lanes: Vec<(StreamHandle, Vec<Soaked>)>,
    /// Which problem comes next.
    pub rng: Rng,
}

impl Worker {
    /// Launches problems in random order, on its streams in turn, and checks the one of every `every`th launch. Answers
    /// the number of checks.
    ///
    /// # Errors
    /// The first refusal, fault, or output that is not what it was.
    pub fn run(&mut self, launches: u64, every: u64) -> Checked<u64> {
        for launch in 1..=launches {
            let (stream, problems) = &self.lanes[launch as usize % self.lanes.len()];
            let problem = &problems[self.rng.below(problems.len() as u64) as usize];
            problem.launch(stream.stream()).map_err(in_words)?;
            if launch.is_multiple_of(every) {
                problem.check()?;
            }
        }
        Ok(launches / every)
    }

    /// Launches every problem once more, and checks all.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn finish(&self) -> Checked<u64> {
        for (stream, problems) in &self.lanes {
            problems
                .iter()
                .try_for_each(|problem| problem.launch(stream.stream()))
                .map_err(in_words)?;
        }
        let mut all = self.lanes.iter().flat_map(|(_, problems)| problems);
        all.try_for_each(Soaked::check)?;
        Ok(self.lanes.iter().map(|(_, problems)| problems.len() as u64).sum())
    }
}

fn in_words(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Spec;
    use expert_gemm::driver::mock::MockDriver;

    /// A worker on a driver that runs nothing, and thinks that this is right.
    fn idle() -> (Device, Worker) {
        let device = Device::with_driver(MockDriver::h200().shared());
        let problem = Spec { total_rows: 20, ..Spec::PLAIN }.build();
        let on_device = DeviceProblem::new(&device, &problem).expect("upload");
        let soaked = Soaked::new(OnDevice::Fp8(on_device, problem.tables()), &problem).expect("ok");
        let stream = device.stream().expect("stream");
        (device, Worker { lanes: vec![(stream, vec![soaked])], rng: Rng::new(1) })
    }

    #[test]
    fn what_stays_as_it_was_passes_and_is_counted() {
        let (_device, mut worker) = idle();
        assert_eq!(worker.run(10, 3), Ok(3));
        assert_eq!(worker.finish(), Ok(1));
    }

    #[test]
    fn other_bits_a_status_and_damage_are_refused() {
        let (device, mut worker) = idle();
        let soaked = &worker.lanes[0].1[0];
        let OnDevice::Fp8(problem, _) = &soaked.on_device else { panic!("an FP8 product") };
        let tensors = problem.tensors();
        let (output, status) = (tensors.output.address(), tensors.status.expect("given").address());
        let write = |to: u64, byte: u8| {
            // SAFETY: the addresses lie in guarded memory of this test.
            unsafe { device.driver().copy_to_device(to, &[byte]) }.expect("memory");
        };
        for (address, word) in
            [(output, "hashes to"), (status, "status 0x1"), (output - 1, "damage")]
        {
            write(address, 1);
            let complaint = soaked.check().expect_err("something was written");
            assert!(complaint.contains(word), "{complaint}");
            // As it was.
            write(address, if address == status { 0 } else { 0xFF });
            assert_eq!(soaked.check(), Ok(()));
        }
        write(output, 1);
        assert!(worker.run(5, 5).is_err() && worker.run(4, 5).is_ok());
    }

    #[test]
    fn a_first_launch_that_is_not_the_models_is_refused() {
        let device = Device::with_driver(MockDriver::h200().shared());
        let problem = Spec { total_rows: 20, ..Spec::PLAIN }.build();
        assert!(Soaked::fp8(&device, &problem).is_err());
    }
}
