//! Tests on a GPU: the gate, and an FP8 problem in guarded memory.
//!
//! Without a usable GPU a test prints why it is skipped; with `REQUIRE_GPU=1` in the environment a skip is
//! a failure. Tests of one binary take turns on the device.

use crate::guarded::{Guarded, damages};
use crate::problem::HostProblem;
use crate::routing::Tables;
use core::ops::Deref;
use expert_gemm::{
    Device, DeviceInfo, ElementType, Fp8GroupedMm, Fp8GroupedMmTensors, GroupStatus, Prepared,
    Result, Stream,
};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An output that was not written.
pub const UNTOUCHED: u16 = 0xFFFF;

/// Prints a line that the test harness does not hold back, as it does with what passing tests print.
pub fn say(line: &str) {
    // A closed terminal is no reason to fail a test.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

static TURN: Mutex<()> = Mutex::new(());

/// A device, and the turn on it.
pub struct Gpu {
    device: Device,
    _turn: MutexGuard<'static, ()>,
}

impl Gpu {
    /// The first GPU, if it runs the FP8 kernels.
    ///
    /// # Panics
    /// If there is none and `REQUIRE_GPU` is `1`.
    pub fn open() -> Option<Self> {
        let any = Fp8GroupedMm { rows: 1, experts: 1, n: 128, k: 128, output: ElementType::Bf16 };
        Self::open_for(|info| any.plan(info).map(drop))
    }

    /// The first GPU, if it is `fit`.
    ///
    /// # Panics
    /// If there is none and `REQUIRE_GPU` is `1`.
    pub fn open_for(fit: impl FnOnce(&DeviceInfo) -> Result<()>) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = Device::open(0).and_then(|device| fit(device.info()).map(|()| device));
        match opened {
            Ok(device) => Some(Self { device, _turn: turn }),
            Err(reason) => {
                let required = std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1");
                assert!(!required, "REQUIRE_GPU=1, but {reason}");
                say(&format!("skipped: {reason}"));
                None
            }
        }
    }
}

impl Deref for Gpu {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

/// What a launch left behind.
pub struct Outcome {
    /// The output `[rows, n]`; [`UNTOUCHED`] where nothing was written.
    pub output: Vec<u16>,
    /// The status word.
    pub status: GroupStatus,
    /// Overwritten guard zones, in words.
    pub damage: Vec<String>,
}

/// A problem in guarded device memory, with its kernel loaded.
pub struct DeviceProblem {
    prepared: Prepared,
    output: Guarded,
    a: Guarded,
    b: Guarded,
    scales_a: Guarded,
    scales_b: Guarded,
    problem_sizes: Guarded,
    expert_offsets: Guarded,
    status: Guarded,
}

impl DeviceProblem {
    /// Uploads a problem and prepares its plan.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn new(device: &Device, problem: &HostProblem) -> Result<Self> {
        let tables = problem.tables();
        let shape = shape(problem);
        let prepared = device.prepare(&shape.plan(device.info())?)?;
        let output_bytes = shape.rows * shape.n * shape.output.bytes();
        // Scales and tables need no more than 4-byte alignment; the seed picks among all of it.
        let skew = |bit: u32| (problem.spec.seed >> bit) % 4 * 4;
        Ok(Self {
            prepared,
            output: Guarded::unwritten(device, "output", output_bytes)?,
            a: Guarded::new(device, "a", &problem.a)?,
            b: Guarded::new(device, "b", &problem.b)?,
            scales_a: Guarded::skewed(device, "scales_a", &problem.scales_a, skew(0))?,
            scales_b: Guarded::skewed(device, "scales_b", &problem.scales_b, skew(2))?,
            problem_sizes: Guarded::skewed(device, "problem_sizes", &tables.sizes, skew(4))?,
            expert_offsets: Guarded::skewed(device, "expert_offsets", &tables.offsets, skew(6))?,
            status: Guarded::new(device, "status", &[0u32])?,
        })
    }

    /// The plan, ready to launch.
    pub const fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Views of all tensors.
    pub fn tensors(&self) -> Fp8GroupedMmTensors<'_> {
        let Fp8GroupedMm { rows, experts, n, k, output } = *self.prepared.plan().problem();
        let (nb, kb) = (n / 128, k / 128);
        Fp8GroupedMmTensors {
            output: self.output.tensor(output, &[rows, n]),
            a: self.a.tensor(ElementType::E4m3, &[rows, k]),
            b: self.b.tensor(ElementType::E4m3, &[experts, n, k]),
            scales_a: self.scales_a.tensor(ElementType::F32, &[rows, kb]),
            scales_b: self.scales_b.tensor(ElementType::F32, &[experts, nb, kb]),
            problem_sizes: self.problem_sizes.tensor(ElementType::I32, &[experts, 3]),
            expert_offsets: self.expert_offsets.tensor(ElementType::I32, &[experts]),
            status: Some(self.status.tensor(ElementType::U32, &[1])),
        }
    }

    /// Replaces the group tables, and makes output and status as they were before any launch.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn reset(&self, tables: &Tables) -> Result<()> {
        self.replace_tables(tables)?;
        self.output.clear()?;
        self.status.upload(&[0u32])
    }

    /// Replaces the group tables alone, after the work that reads them.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn replace_tables(&self, tables: &Tables) -> Result<()> {
        self.output.device.synchronize()?;
        self.problem_sizes.upload(&tables.sizes)?;
        self.expert_offsets.upload(&tables.offsets)
    }

    /// Puts one launch into a stream.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn launch(&self, stream: Stream) -> Result<()> {
        self.prepared.launch(stream, &self.tensors())
    }

    /// Waits for the device, and collects everything.
    ///
    /// # Errors
    /// What the driver answers; a fault of the kernel among it.
    pub fn outcome(&self) -> Result<Outcome> {
        self.output.device.synchronize()?;
        let damage = damages([
            &self.output,
            &self.a,
            &self.b,
            &self.scales_a,
            &self.scales_b,
            &self.problem_sizes,
            &self.expert_offsets,
            &self.status,
        ])?;
        let status = GroupStatus(self.status.download()?[0]);
        Ok(Outcome { output: self.output.download()?, status, damage })
    }

    /// One launch on the default stream, and what it left behind.
    ///
    /// # Errors
    /// As [`launch`](Self::launch) and [`outcome`](Self::outcome).
    pub fn run(&self) -> Result<Outcome> {
        self.launch(Stream::DEFAULT)?;
        self.outcome()
    }
}

/// The shapes of a problem, as the host crate takes them.
pub fn shape(problem: &HostProblem) -> Fp8GroupedMm {
    Fp8GroupedMm {
        rows: problem.rows() as u64,
        experts: problem.spec.experts as u64,
        n: problem.spec.n as u64,
        k: problem.spec.k as u64,
        output: problem.spec.output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guarded::{GUARD_BYTE, GUARD_BYTES};
    use crate::metrics::compare_bits;
    use crate::problem::Spec;
    use crate::routing::Layout;
    use crate::wgmma_model;
    use expert_gemm::driver::mock::MockDriver;

    const SPEC: Spec = Spec { total_rows: 20, layout: Layout::Gaps, ..Spec::PLAIN };

    fn device() -> Device {
        Device::with_driver(MockDriver::h200().shared())
    }

    /// Writes bytes as a kernel would, from an offset to the contents of a buffer on.
    fn write(buffer: &Guarded, offset: i64, bytes: &[u8]) {
        let to = buffer.address().wrapping_add_signed(offset);
        // SAFETY: the tests below stay inside of the buffer, guards included.
        unsafe { buffer.device.driver().copy_to_device(to, bytes) }.expect("memory");
    }

    #[test]
    fn a_driver_that_runs_nothing_leaves_everything_untouched() {
        let problem = SPEC.build();
        let on_device = DeviceProblem::new(&device(), &problem).expect("upload");
        let outcome = on_device.run().expect("launch");
        assert!(outcome.output.iter().all(|&bits| bits == UNTOUCHED));
        assert!(outcome.status.is_ok() && outcome.damage.is_empty(), "{:?}", outcome.damage);
        assert_eq!(on_device.a.download::<u8>().expect("memory"), problem.a);
        let sizes: Vec<i32> = on_device.problem_sizes.download().expect("memory");
        assert_eq!(sizes, problem.tables().problem_sizes());
    }

    #[test]
    fn the_right_output_passes_and_a_wrong_bit_is_seen() {
        let problem = SPEC.build();
        let on_device = DeviceProblem::new(&device(), &problem).expect("upload");
        let want = wgmma_model::grouped(&problem, UNTOUCHED);
        on_device.output.upload(&want).expect("memory");
        let compared = |on_device: &DeviceProblem| {
            compare_bits(&problem, &on_device.outcome().expect("memory").output, &want)
        };
        assert!(compared(&on_device).is_none());
        write(&on_device.output, 2 * 256 * 9, &[0x12]);
        assert_eq!(compared(&on_device).differing, 1);
        on_device.reset(&problem.tables()).expect("reset");
        assert!(on_device.outcome().expect("memory").output.iter().all(|&x| x == UNTOUCHED));
    }

    #[test]
    fn every_stray_byte_around_a_buffer_is_found() {
        let on_device = DeviceProblem::new(&device(), &SPEC.build()).expect("upload");
        let DeviceProblem { output, a, b, scales_a, scales_b, .. } = &on_device;
        let DeviceProblem { problem_sizes, expert_offsets, status, .. } = &on_device;
        for buffer in [output, a, b, scales_a, scales_b, problem_sizes, expert_offsets, status] {
            let (first, end) = (-(GUARD_BYTES as i64), (buffer.bytes + GUARD_BYTES) as i64);
            for offset in [first, -1, buffer.bytes as i64, end - 1] {
                write(buffer, offset, &[0]);
                let damage = on_device.outcome().expect("memory").damage;
                let place = format!("`{}` written, first {offset}", buffer.name);
                assert!(damage.len() == 1 && damage[0].ends_with(&place), "{damage:?}");
                write(buffer, offset, &[GUARD_BYTE]);
            }
        }
        assert!(on_device.outcome().expect("memory").damage.is_empty());
    }

    #[test]
    fn problems_without_rows_or_experts_are_ordinary() {
        for (experts, layout) in [(0, Layout::Packed), (0, Layout::Gaps), (3, Layout::Packed)] {
            let problem = Spec { experts, total_rows: 0, layout, ..SPEC }.build();
            let on_device = DeviceProblem::new(&device(), &problem).expect("upload");
            let outcome = on_device.run().expect("launch");
            assert!(outcome.damage.is_empty() && outcome.output.len() == problem.rows() * 256);
        }
    }
}
