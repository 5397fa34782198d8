//! A good call on the recorder, to be spoilt.

use expert_gemm::driver::mock::MockDriver;
use expert_gemm::{
    Checks, Device, DeviceBuffer, DeviceTensor, ElementType, Error, Fp8GroupedMm,
    Fp8GroupedMmTensors, Prepared, Stream,
};
use std::sync::Arc;

pub(crate) const ROWS: u64 = 256;
pub(crate) const EXPERTS: u64 = 4;
pub(crate) const N: u64 = 256;
pub(crate) const K: u64 = 384;

/// The good problem.
pub(crate) const PROBLEM: Fp8GroupedMm =
    Fp8GroupedMm { rows: ROWS, experts: EXPERTS, n: N, k: K, output: ElementType::Bf16 };

/// A device with a prepared plan and its tensors.
pub(crate) struct World {
    pub(crate) driver: Arc<MockDriver>,
    pub(crate) device: Device,
    pub(crate) prepared: Prepared,
    buffers: Vec<DeviceBuffer>,
}

/// A tensor at any address.
pub(crate) fn at(address: u64, element: ElementType, shape: &[u64]) -> DeviceTensor<'static> {
    // SAFETY: the recorder runs nothing.
    unsafe { DeviceTensor::from_raw(address, element, shape) }
}

/// The same tensor elsewhere.
pub(crate) fn moved(tensor: DeviceTensor<'_>, address: u64) -> DeviceTensor<'static> {
    at(address, tensor.element(), tensor.shape())
}

/// The same tensor with another shape.
pub(crate) fn shaped(tensor: DeviceTensor<'_>, shape: &[u64]) -> DeviceTensor<'static> {
    at(tensor.address(), tensor.element(), shape)
}

/// The same tensor with another element type.
pub(crate) fn typed(tensor: DeviceTensor<'_>, element: ElementType) -> DeviceTensor<'static> {
    at(tensor.address(), element, tensor.shape())
}

impl World {
    pub(crate) fn new() -> Self {
        let driver = MockDriver::h200().shared();
        let device = Device::with_driver(driver.clone());
        let plan = PROBLEM.plan(device.info()).expect("plan");
        let prepared = device.prepare(&plan).expect("prepare");
        let (kb, nb) = (K / 128, N / 128);
        let sizes = [
            ROWS * N * 2,
            ROWS * K,
            EXPERTS * N * K,
            ROWS * kb * 4,
            EXPERTS * nb * kb * 4,
            EXPERTS * 12,
            EXPERTS * 4,
            4,
        ];
        let buffers = sizes.iter().map(|&bytes| device.alloc(bytes).expect("alloc")).collect();
        Self { driver, device, prepared, buffers }
    }

    pub(crate) fn tensors(&self) -> Fp8GroupedMmTensors<'_> {
        let (kb, nb) = (K / 128, N / 128);
        let [output, a, b, scales_a, scales_b, sizes, offsets, status] = &self.buffers[..] else {
            unreachable!("eight buffers")
        };
        Fp8GroupedMmTensors {
            output: output.tensor(ElementType::Bf16, &[ROWS, N]),
            a: a.tensor(ElementType::E4m3, &[ROWS, K]),
            b: b.tensor(ElementType::E4m3, &[EXPERTS, N, K]),
            scales_a: scales_a.tensor(ElementType::F32, &[ROWS, kb]),
            scales_b: scales_b.tensor(ElementType::F32, &[EXPERTS, nb, kb]),
            problem_sizes: sizes.tensor(ElementType::I32, &[EXPERTS, 3]),
            expert_offsets: offsets.tensor(ElementType::I32, &[EXPERTS]),
            status: Some(status.tensor(ElementType::U32, &[1])),
        }
    }

    /// Launches the good call after `spoil` had its way with the tensors.
    pub(crate) fn launch(
        &self,
        spoil: impl FnOnce(&mut Fp8GroupedMmTensors<'_>, &Self),
    ) -> Result<(), Error> {
        let mut tensors = self.tensors();
        spoil(&mut tensors, self);
        self.prepared.launch(Stream::DEFAULT, &tensors)
    }

    /// As `launch`, without looking at the memory.
    pub(crate) fn launch_unseen(
        &self,
        spoil: impl FnOnce(&mut Fp8GroupedMmTensors<'_>, &Self),
    ) -> Result<(), Error> {
        let mut tensors = self.tensors();
        spoil(&mut tensors, self);
        let prepared = self.prepared.clone().with_checks(Checks::Shapes);
        prepared.launch(Stream::DEFAULT, &tensors)
    }
}
