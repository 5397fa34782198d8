//! Tensors of a problem on the device, packed tightly as a service would hold them.

use expert_gemm::{
    Device, DeviceBuffer, ElementType, Fp8GroupedMm, Fp8GroupedMmTensors, GroupStatus, Prepared,
    Result, Stream,
};
use expert_gemm_tests::gpu::shape;
use expert_gemm_tests::problem::HostProblem;

/// Weights on the device; several problems may share them.
pub struct DeviceWeights {
    b: DeviceBuffer,
    scales_b: DeviceBuffer,
}

impl DeviceWeights {
    /// Uploads the weights of a problem.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn new(device: &Device, problem: &HostProblem) -> Result<Self> {
        Ok(Self { b: device.upload(&problem.b)?, scales_b: device.upload(&problem.scales_b)? })
    }
}

/// A problem on the device, with its kernel loaded.
pub struct OnDevice<'w> {
    prepared: Prepared,
    weights: &'w DeviceWeights,
    output: DeviceBuffer,
    a: DeviceBuffer,
    scales_a: DeviceBuffer,
    problem_sizes: DeviceBuffer,
    expert_offsets: DeviceBuffer,
    status: DeviceBuffer,
}

impl<'w> OnDevice<'w> {
    /// Uploads all but the weights, and prepares the plan.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn new(device: &Device, weights: &'w DeviceWeights, problem: &HostProblem) -> Result<Self> {
        let shape = shape(problem);
        let tables = problem.tables();
        let output = device.alloc(shape.rows * shape.n * shape.output.bytes())?;
        output.fill(0xFF, Stream::DEFAULT)?;
        Ok(Self {
            prepared: device.prepare(&shape.plan(device.info())?)?,
            weights,
            output,
            a: device.upload(&problem.a)?,
            scales_a: device.upload(&problem.scales_a)?,
            problem_sizes: device.upload(&tables.sizes)?,
            expert_offsets: device.upload(&tables.offsets)?,
            status: device.upload(&[0u32])?,
        })
    }

    /// The plan, ready to launch.
    pub const fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Puts one launch into a stream.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn launch(&self, stream: Stream) -> Result<()> {
        self.prepared.launch(stream, &self.tensors())
    }

    /// Views of all tensors.
    pub fn tensors(&self) -> Fp8GroupedMmTensors<'_> {
        let Fp8GroupedMm { rows, experts, n, k, output } = *self.prepared.plan().problem();
        let (nb, kb) = (n / 128, k / 128);
        Fp8GroupedMmTensors {
            output: self.output.tensor(output, &[rows, n]),
            a: self.a.tensor(ElementType::E4m3, &[rows, k]),
            b: self.weights.b.tensor(ElementType::E4m3, &[experts, n, k]),
            scales_a: self.scales_a.tensor(ElementType::F32, &[rows, kb]),
            scales_b: self.weights.scales_b.tensor(ElementType::F32, &[experts, nb, kb]),
            problem_sizes: self.problem_sizes.tensor(ElementType::I32, &[experts, 3]),
            expert_offsets: self.expert_offsets.tensor(ElementType::I32, &[experts]),
            status: Some(self.status.tensor(ElementType::U32, &[1])),
        }
    }

    /// The output's bits.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn output(&self) -> Result<Vec<u16>> {
        self.prepared.device().synchronize()?;
        self.output.to_vec()
    }

    /// The status word.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn status(&self) -> Result<GroupStatus> {
        self.prepared.device().synchronize()?;
        Ok(GroupStatus(self.status.to_vec::<u32>()?[0]))
    }
}

impl Drop for OnDevice<'_> {
    fn drop(&mut self) {
        // Nothing may still use the buffers when they are freed; a fault shows elsewhere.
        let _ = self.prepared.device().synchronize();
    }
}
