//! candle's tensors on a GPU, on candle's stream. Their shapes, types and layouts are checked already.

use super::{Fp8Tensors, Held, Mxfp8Tensors, QuantTensors, Quantised, answered};
use crate::abi::ElementType as E;
use crate::device::Device;
use crate::error::Result;
use crate::interop::Elements;
use crate::interop::cudarc::launch;
use crate::ops::{
    Fp8GroupedMm, Fp8GroupedMmTensors, Mxfp8GroupedMm, Mxfp8GroupedMmTensors, Mxfp8GroupedQuant,
    Mxfp8GroupedQuantTensors, Operation,
};
use crate::plan::Plan;
use crate::runtime::Prepared;
use candle_core::cuda_backend::CudaDType;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Storage, Tensor};
use cudarc::driver::{CudaSlice, CudaStream, CudaView, DeviceRepr, ValidAsZeroBits};
use float8::F8E4M3;
use half::{bf16, f16};
use std::sync::Arc;

pub(super) fn prepare<O: Operation>(problem: O, device: &CudaDevice) -> Result<Prepared<O>> {
    let device = Device::open(device.cuda_stream().context().ordinal() as i32)?;
    device.prepare(&Plan::new(problem, device.info())?)
}

pub(super) fn fp8(prepared: &Prepared<Fp8GroupedMm>, tensors: &Fp8Tensors<'_>) -> Result<Tensor> {
    match prepared.plan().problem().output {
        E::F16 => fp8_of::<f16>(prepared, tensors),
        _ => fp8_of::<bf16>(prepared, tensors),
    }
}

fn fp8_of<T: Element>(
    prepared: &Prepared<Fp8GroupedMm>,
    tensors: &Fp8Tensors<'_>,
) -> Result<Tensor> {
    let p = *prepared.plan().problem();
    let place = Place::of(tensors.a)?;
    let (a, b) = (Held::of(tensors.a), Held::of(tensors.b));
    let (scales_a, scales_b) = (Held::of(tensors.scales_a), Held::of(tensors.scales_b));
    let (sizes, offsets) = (Held::of(tensors.problem_sizes), Held::of(tensors.expert_offsets));
    let (a, b) = (a.view::<F8E4M3>()?, b.view::<F8E4M3>()?);
    let (scales_a, scales_b) = (scales_a.view::<f32>()?, scales_b.view::<f32>()?);
    let (sizes, offsets) = (sizes.view::<i32>()?, offsets.view::<i32>()?);
    let mut product = place.zeros::<T>([p.rows, p.n])?;
    launch(prepared, &place.stream, |lend| {
        Ok(Fp8GroupedMmTensors {
            output: lend.write(&mut product, p.output, &[p.rows, p.n])?,
            a: lend.read(&a, E::E4m3, &[p.rows, p.k])?,
            b: lend.read(&b, E::E4m3, &[p.experts, p.n, p.k])?,
            scales_a: lend.read(&scales_a, E::F32, &[p.rows, p.k / 128])?,
            scales_b: lend.read(&scales_b, E::F32, &[p.experts, p.n / 128, p.k / 128])?,
            problem_sizes: lend.read(&sizes, E::I32, &[p.experts, 3])?,
            expert_offsets: lend.read(&offsets, E::I32, &[p.experts])?,
            status: None,
        })
    })?;
    Ok(place.tensor(product, [p.rows, p.n]))
}

pub(super) fn mxfp8(
    prepared: &Prepared<Mxfp8GroupedMm>,
    tensors: &Mxfp8Tensors<'_>,
) -> Result<Tensor> {
    match prepared.plan().problem().output {
        E::F16 => mxfp8_of::<f16>(prepared, tensors),
        _ => mxfp8_of::<bf16>(prepared, tensors),
    }
}

fn mxfp8_of<T: Element>(
    prepared: &Prepared<Mxfp8GroupedMm>,
    tensors: &Mxfp8Tensors<'_>,
) -> Result<Tensor> {
    let p = *prepared.plan().problem();
    let place = Place::of(tensors.a)?;
    let (a, b) = (Held::of(tensors.a), Held::of(tensors.b));
    let (sfa, sfb) = (Held::of(tensors.sfa), Held::of(tensors.sfb));
    let (sizes, offsets) = (Held::of(tensors.problem_sizes), Held::of(tensors.expert_offsets));
    let scale_offsets = Held::of(tensors.blockscale_offsets);
    let (a, b) = (a.view::<F8E4M3>()?, b.view::<F8E4M3>()?);
    let (sfa, sfb) = (sfa.view::<u8>()?, sfb.view::<u8>()?);
    let (sizes, offsets) = (sizes.view::<i32>()?, offsets.view::<i32>()?);
    let scale_offsets = scale_offsets.view::<i32>()?;
    let mut product = place.zeros::<T>([p.rows, p.n])?;
    launch(prepared, &place.stream, |lend| {
        Ok(Mxfp8GroupedMmTensors {
            output: lend.write(&mut product, p.output, &[p.rows, p.n])?,
            a: lend.read(&a, E::E4m3, &[p.rows, p.k])?,
            b: lend.read(&b, E::E4m3, &[p.experts, p.n, p.k])?,
            sfa: lend.read(&sfa, E::E8m0, &[p.scale_rows, p.k / 32])?,
            sfb: lend.read(&sfb, E::E8m0, &[p.experts, p.n, p.k / 32])?,
            problem_sizes: lend.read(&sizes, E::I32, &[p.experts, 3])?,
            expert_offsets: lend.read(&offsets, E::I32, &[p.experts])?,
            blockscale_offsets: lend.read(&scale_offsets, E::I32, &[p.experts])?,
            status: None,
        })
    })?;
    Ok(place.tensor(product, [p.rows, p.n]))
}

pub(super) fn quant(
    prepared: &Prepared<Mxfp8GroupedQuant>,
    tensors: &QuantTensors<'_>,
) -> Result<Quantised> {
    match prepared.plan().problem().input {
        E::F16 => quant_of::<f16>(prepared, tensors),
        _ => quant_of::<bf16>(prepared, tensors),
    }
}

fn quant_of<T: Element>(
    prepared: &Prepared<Mxfp8GroupedQuant>,
    tensors: &QuantTensors<'_>,
) -> Result<Quantised> {
    let p = *prepared.plan().problem();
    let place = Place::of(tensors.input)?;
    let input = Held::of(tensors.input);
    let (sizes, offsets) = (Held::of(tensors.problem_sizes), Held::of(tensors.expert_offsets));
    let scale_offsets = Held::of(tensors.blockscale_offsets);
    let input = input.view::<T>()?;
    let (sizes, offsets) = (sizes.view::<i32>()?, offsets.view::<i32>()?);
    let scale_offsets = scale_offsets.view::<i32>()?;
    let mut codes = place.zeros::<F8E4M3>([p.rows, p.k])?;
    let mut scales = place.zeros::<u8>([p.scale_rows, p.k / 32])?;
    launch(prepared, &place.stream, |lend| {
        Ok(Mxfp8GroupedQuantTensors {
            input: lend.read(&input, p.input, &[p.rows, p.k])?,
            problem_sizes: lend.read(&sizes, E::I32, &[p.experts, 3])?,
            expert_offsets: lend.read(&offsets, E::I32, &[p.experts])?,
            blockscale_offsets: lend.read(&scale_offsets, E::I32, &[p.experts])?,
            quant_output: lend.write(&mut codes, E::E4m3, &[p.rows, p.k])?,
            scale_factor: lend.write(&mut scales, E::E8m0, &[p.scale_rows, p.k / 32])?,
            status: None,
        })
    })?;
    Ok(Quantised {
        codes: place.tensor(codes, [p.rows, p.k]),
        scales: place.tensor(scales, [p.scale_rows, p.k / 32]),
    })
}

/// An element type of candle's back end that a kernel reads or writes.
trait Element: Elements + CudaDType + DeviceRepr + ValidAsZeroBits {}

impl Element for bf16 {}
impl Element for f16 {}

/// Where a call runs: candle's device, and its stream.
struct Place {
    device: CudaDevice,
    stream: Arc<CudaStream>,
}

impl Place {
    fn of(tensor: &Tensor) -> Result<Self> {
        let device = tensor.device().as_cuda_device().map_err(answered)?.clone();
        let stream = device.cuda_stream();
        Ok(Self { device, stream })
    }

    fn zeros<T: DeviceRepr + ValidAsZeroBits>(
        &self,
        [rows, columns]: [u64; 2],
    ) -> Result<CudaSlice<T>> {
        self.device.alloc_zeros((rows * columns) as usize).map_err(answered)
    }

    fn tensor<T: CudaDType>(&self, data: CudaSlice<T>, [rows, columns]: [u64; 2]) -> Tensor {
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(data, self.device.clone()));
        let shape = (rows as usize, columns as usize);
        Tensor::from_storage(storage, shape, BackpropOp::none(), false)
    }
}

impl Held<'_> {
    fn view<T: CudaDType>(&self) -> Result<CudaView<'_, T>> {
        let Storage::Cuda(storage) = &*self.storage else {
            return Err(answered("a storage that is not a GPU's"));
        };
        let whole = storage.as_cuda_slice::<T>().map_err(answered)?;
        let part = self.range.and_then(|(start, end)| whole.try_slice(start..end));
        part.ok_or_else(|| answered("a layout beyond its storage"))
    }
}
