//! A problem in buffers that end where its tensors end.
//!
//! Around a buffer of the emulator lies nothing, so any access beyond a tensor is reported, reads included. The test
//! kit's buffers for GPUs have room for guard bytes on both sides, where a read beyond the tensor goes unnoticed.

use expert_gemm::{
    Device, DeviceBuffer, DeviceTensor, ElementType, Fp8GroupedMmTensors, GroupStatus, Plain,
    Prepared, Result, Stream,
};
use expert_gemm_tests::gpu::{UNTOUCHED, shape};
use expert_gemm_tests::problem::HostProblem;
use expert_gemm_tests::routing::Tables;

/// A buffer whose last byte is the last of its contents; they begin `skew` bytes into it.
#[derive(Debug)]
struct Exact {
    buffer: DeviceBuffer,
    skew: u64,
}

impl Exact {
    fn new<T: Plain>(device: &Device, contents: &[T], skew: u64) -> Result<Self> {
        let bytes = size_of_val(contents) as u64;
        let buffer = device.alloc(skew + bytes)?;
        if bytes > 0 {
            // SAFETY: `Plain` has no padding, and the range is the end of the buffer.
            unsafe {
                let from = core::slice::from_raw_parts(contents.as_ptr().cast(), bytes as usize);
                device.driver().copy_to_device(buffer.address() + skew, from)?;
            }
        }
        Ok(Self { buffer, skew })
    }

    fn tensor(&self, element: ElementType, shape: &[u64]) -> Result<DeviceTensor<'_>> {
        self.buffer.tensor_at(self.skew, element, shape)
    }
}

/// What a launch left behind.
#[derive(Clone, Debug)]
pub struct Left {
    /// The output; [`UNTOUCHED`] where nothing was written.
    pub output: Vec<u16>,
    /// The status word.
    pub status: GroupStatus,
}

/// The problem on a device, with its kernel loaded.
#[derive(Debug)]
pub struct ExactProblem {
    device: Device,
    prepared: Prepared,
    output: Exact,
    a: Exact,
    b: Exact,
    scales_a: Exact,
    scales_b: Exact,
    problem_sizes: Exact,
    expert_offsets: Exact,
    status: Exact,
}

impl ExactProblem {
    /// Uploads a problem with these group tables. The seed picks the alignment of scales and tables, as it does for
    /// the test kit's buffers.
    ///
    /// # Errors
    ///
    /// What the host crate refuses.
    pub fn new(device: &Device, problem: &HostProblem, tables: &Tables) -> Result<Self> {
        Self::expecting(device, problem, tables, u64::from(problem.routing.rows))
    }

    /// As [`new`](Self::new), with the kernel for so many rows, all experts together.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn expecting(
        device: &Device,
        problem: &HostProblem,
        tables: &Tables,
        expected_rows: u64,
    ) -> Result<Self> {
        let shape = shape(problem);
        let skew = |bit: u32| (problem.spec.seed >> bit) % 4 * 4;
        let untouched = vec![UNTOUCHED; (shape.rows * shape.n) as usize];
        Ok(Self {
            device: device.clone(),
            prepared: device.prepare(&shape.plan_expecting(expected_rows, device.info())?)?,
            output: Exact::new(device, &untouched, 0)?,
            a: Exact::new(device, &problem.a, 0)?,
            b: Exact::new(device, &problem.b, 0)?,
            scales_a: Exact::new(device, &problem.scales_a, skew(0))?,
            scales_b: Exact::new(device, &problem.scales_b, skew(2))?,
            problem_sizes: Exact::new(device, &tables.sizes, skew(4))?,
            expert_offsets: Exact::new(device, &tables.offsets, skew(6))?,
            status: Exact::new(device, &[0u32], 0)?,
        })
    }

    /// The module of its kernel.
    #[must_use]
    pub fn module(&self) -> &'static str {
        self.prepared.plan().variant().module
    }

    /// One launch on the default stream, and what it left.
    ///
    /// # Errors
    ///
    /// What the host crate refuses, or a fault of the kernel.
    pub fn run(&self) -> Result<Left> {
        self.run_with(Some(self.status.tensor(ElementType::U32, &[1])?))
    }

    /// As [`run`](Self::run), without a status word.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_without_status(&self) -> Result<Left> {
        self.run_with(None)
    }

    fn run_with(&self, status: Option<DeviceTensor<'_>>) -> Result<Left> {
        self.run_kernel(status, |prepared, tensors| prepared.launch(Stream::DEFAULT, tensors))
    }

    /// As [`run`](Self::run), with a kernel of the caller's, which is given the plan of the shipped one and the tensors.
    ///
    /// # Errors
    ///
    /// What `launch` answers, or a fault of the kernel.
    pub fn run_kernel(
        &self,
        status: Option<DeviceTensor<'_>>,
        launch: impl FnOnce(&Prepared, &Fp8GroupedMmTensors<'_>) -> Result<()>,
    ) -> Result<Left> {
        let shape = *self.prepared.plan().problem();
        let (nb, kb) = (shape.n / 128, shape.k / 128);
        let (rows, experts) = (shape.rows, shape.experts);
        let tensors = Fp8GroupedMmTensors {
            output: self.output.tensor(shape.output, &[rows, shape.n])?,
            a: self.a.tensor(ElementType::E4m3, &[rows, shape.k])?,
            b: self.b.tensor(ElementType::E4m3, &[experts, shape.n, shape.k])?,
            scales_a: self.scales_a.tensor(ElementType::F32, &[rows, kb])?,
            scales_b: self.scales_b.tensor(ElementType::F32, &[experts, nb, kb])?,
            problem_sizes: self.problem_sizes.tensor(ElementType::I32, &[experts, 3])?,
            expert_offsets: self.expert_offsets.tensor(ElementType::I32, &[experts])?,
            status,
        };
        launch(&self.prepared, &tensors)?;
        self.device.synchronize()?;
        let status: Vec<u32> = self.status.buffer.to_vec()?;
        let status = GroupStatus(status.first().copied().unwrap_or_default());
        Ok(Left { output: self.output.buffer.to_vec()?, status })
    }
}
