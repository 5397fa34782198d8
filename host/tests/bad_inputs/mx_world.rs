//! Good calls of the MXFP8 operations on the recorder, to be spoilt.

use super::world::at;
use expert_gemm::driver::mock::MockDriver;
use expert_gemm::{
    Device, DeviceBuffer, DeviceInfo, DeviceTensor, ElementType as E, Mxfp8GroupedMm,
    Mxfp8GroupedMmTensors, Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors, Plan, Prepared, Result,
    ScaleRule, Stream,
};
use std::sync::Arc;

pub(crate) const ROWS: u64 = 256;
pub(crate) const EXPERTS: u64 = 4;
pub(crate) const N: u64 = 256;
pub(crate) const K: u64 = 384;
pub(crate) const SCALE_ROWS: u64 = 640;
/// Scales of a row.
pub(crate) const COLUMNS: u64 = K / 32;

/// The good product.
pub(crate) const MM: Mxfp8GroupedMm = Mxfp8GroupedMm {
    rows: ROWS,
    experts: EXPERTS,
    n: N,
    k: K,
    scale_rows: SCALE_ROWS,
    output: E::Bf16,
};

/// The good quantiser.
pub(crate) const QUANT: Mxfp8GroupedQuant = Mxfp8GroupedQuant {
    rows: ROWS,
    experts: EXPERTS,
    k: K,
    scale_rows: SCALE_ROWS,
    input: E::Bf16,
    rule: ScaleRule::Sgl,
};

/// A device with buffers for a call, on any GPU that has a kernel for it.
pub(crate) struct World<O> {
    pub(crate) driver: Arc<MockDriver>,
    pub(crate) device: Device,
    /// None while no GPU has a kernel: then what a launch checks first is all there is.
    prepared: Option<Prepared<O>>,
    buffers: Vec<DeviceBuffer>,
}

impl<O: expert_gemm::Operation> World<O> {
    fn new(plan: impl Fn(&DeviceInfo) -> Result<Plan<O>>, sizes: &[u64]) -> Self {
        let infos = [DeviceInfo::h200(), DeviceInfo::b200()];
        let info = infos.iter().find(|info| plan(info).is_ok()).unwrap_or(&infos[0]);
        let driver = MockDriver::new(info.clone()).shared();
        let device = Device::with_driver(driver.clone());
        let prepared = plan(info).ok().map(|plan| device.prepare(&plan).expect("prepare"));
        let buffers = sizes.iter().map(|&bytes| device.alloc(bytes).expect("alloc")).collect();
        Self { driver, device, prepared, buffers }
    }

    /// Memory of another device.
    pub(crate) fn elsewhere(&self, bytes: u64) -> u64 {
        self.driver.alloc_on(5, bytes)
    }

    /// An allocation of its own.
    pub(crate) fn own(&self, bytes: u64) -> u64 {
        self.driver.alloc_on(0, bytes)
    }

    /// Memory that was freed.
    pub(crate) fn freed(&self) -> u64 {
        self.device.alloc(1 << 20).expect("alloc").address()
    }
}

fn tensor(buffer: &DeviceBuffer, element: E, shape: &[u64]) -> DeviceTensor<'static> {
    at(buffer.address(), element, shape)
}

impl World<Mxfp8GroupedMm> {
    pub(crate) fn product() -> Self {
        Self::new(
            |info| MM.plan(info),
            &[
                ROWS * N * 2,
                ROWS * K,
                EXPERTS * N * K,
                SCALE_ROWS * COLUMNS,
                EXPERTS * N * COLUMNS,
                EXPERTS * 12,
                EXPERTS * 4,
                EXPERTS * 4,
                4,
            ],
        )
    }

    /// Launches the good call after `spoil` had its way with the tensors.
    pub(crate) fn launch(
        &self,
        spoil: impl FnOnce(&mut Mxfp8GroupedMmTensors<'_>, &Self),
    ) -> Result<()> {
        let [output, a, b, sfa, sfb, sizes, offsets, scale_offsets, status] = &self.buffers[..]
        else {
            unreachable!("nine buffers")
        };
        let mut tensors = Mxfp8GroupedMmTensors {
            output: tensor(output, E::Bf16, &[ROWS, N]),
            a: tensor(a, E::E4m3, &[ROWS, K]),
            b: tensor(b, E::E4m3, &[EXPERTS, N, K]),
            sfa: tensor(sfa, E::E8m0, &[SCALE_ROWS, COLUMNS]),
            sfb: tensor(sfb, E::E8m0, &[EXPERTS, N, COLUMNS]),
            problem_sizes: tensor(sizes, E::I32, &[EXPERTS, 3]),
            expert_offsets: tensor(offsets, E::I32, &[EXPERTS]),
            blockscale_offsets: tensor(scale_offsets, E::I32, &[EXPERTS]),
            status: Some(tensor(status, E::U32, &[1])),
        };
        spoil(&mut tensors, self);
        match &self.prepared {
            Some(prepared) => prepared.launch(Stream::DEFAULT, &tensors),
            None => tensors.validate_memory(&MM, &*self.driver),
        }
    }
}

impl World<Mxfp8GroupedQuant> {
    pub(crate) fn quantiser() -> Self {
        Self::new(
            |info| QUANT.plan(info),
            &[
                ROWS * K * 2,
                EXPERTS * 12,
                EXPERTS * 4,
                EXPERTS * 4,
                ROWS * K,
                SCALE_ROWS * COLUMNS,
                4,
            ],
        )
    }

    /// Launches the good call after `spoil` had its way with the tensors.
    pub(crate) fn launch(
        &self,
        spoil: impl FnOnce(&mut Mxfp8GroupedQuantTensors<'_>, &Self),
    ) -> Result<()> {
        let [input, sizes, offsets, scale_offsets, codes, scales, status] = &self.buffers[..]
        else {
            unreachable!("seven buffers")
        };
        let mut tensors = Mxfp8GroupedQuantTensors {
            input: tensor(input, E::Bf16, &[ROWS, K]),
            problem_sizes: tensor(sizes, E::I32, &[EXPERTS, 3]),
            expert_offsets: tensor(offsets, E::I32, &[EXPERTS]),
            blockscale_offsets: tensor(scale_offsets, E::I32, &[EXPERTS]),
            quant_output: tensor(codes, E::E4m3, &[ROWS, K]),
            scale_factor: tensor(scales, E::U8, &[SCALE_ROWS, COLUMNS]),
            status: Some(tensor(status, E::U32, &[1])),
        };
        spoil(&mut tensors, self);
        match &self.prepared {
            Some(prepared) => prepared.launch(Stream::DEFAULT, &tensors),
            None => tensors.validate_memory(&QUANT, &*self.driver),
        }
    }
}

#[test]
fn the_good_calls_are_good() {
    let (product, quantiser) = (World::product(), World::quantiser());
    assert_eq!(product.launch(|_, _| ()), Ok(()));
    assert_eq!(quantiser.launch(|_, _| ()), Ok(()));
    // Frameworks that lack e8m0 hold scales as bytes, and others name them rightly.
    assert_eq!(product.launch(|t, _| t.sfa = super::world::typed(t.sfa, E::U8)), Ok(()));
    let named =
        quantiser.launch(|t, _| t.scale_factor = super::world::typed(t.scale_factor, E::E8m0));
    assert_eq!(named, Ok(()));
    assert_eq!(product.launch(|t, _| t.status = None), Ok(()));
    assert_eq!(quantiser.launch(|t, _| t.status = None), Ok(()));
}
