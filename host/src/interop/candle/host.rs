//! candle's tensors on the CPU. Their shapes, types and layouts are checked already.

use super::{Fp8Tensors, Held, Mxfp8Tensors, QuantTensors, Quantised, answered};
use crate::abi::ElementType;
use crate::cpu::{self, HostInput, HostMxTensors, HostOutput, HostQuantTensors, HostTensors};
use crate::error::Result;
use crate::memory::bytes_of;
use crate::ops::{Fp8GroupedMm, Mxfp8GroupedMm, Mxfp8GroupedQuant};
use candle_core::{Device, Storage, Tensor, WithDType};
use float8::F8E4M3;
use half::{bf16, f16};

pub(super) fn fp8(problem: &Fp8GroupedMm, tensors: &Fp8Tensors<'_>) -> Result<Tensor> {
    let (a, b) = (Held::of(tensors.a), Held::of(tensors.b));
    let (scales_a, scales_b) = (Held::of(tensors.scales_a), Held::of(tensors.scales_b));
    let (sizes, offsets) = (Held::of(tensors.problem_sizes), Held::of(tensors.expert_offsets));
    let tensors = HostTensors {
        a: bytes_of::<F8E4M3>(a.slice()?),
        b: bytes_of::<F8E4M3>(b.slice()?),
        scales_a: scales_a.slice()?,
        scales_b: scales_b.slice()?,
        problem_sizes: sizes.slice::<i32>()?.as_chunks().0,
        expert_offsets: offsets.slice()?,
    };
    let run = |output: HostOutput<'_>| cpu::fp8_grouped_mm(problem, &tensors, output).map(drop);
    product(problem.output, [problem.rows, problem.n], run)
}

pub(super) fn mxfp8(problem: &Mxfp8GroupedMm, tensors: &Mxfp8Tensors<'_>) -> Result<Tensor> {
    let (a, b) = (Held::of(tensors.a), Held::of(tensors.b));
    let (sfa, sfb) = (Held::of(tensors.sfa), Held::of(tensors.sfb));
    let (sizes, offsets) = (Held::of(tensors.problem_sizes), Held::of(tensors.expert_offsets));
    let scale_offsets = Held::of(tensors.blockscale_offsets);
    let tensors = HostMxTensors {
        a: bytes_of::<F8E4M3>(a.slice()?),
        b: bytes_of::<F8E4M3>(b.slice()?),
        sfa: sfa.slice()?,
        sfb: sfb.slice()?,
        problem_sizes: sizes.slice::<i32>()?.as_chunks().0,
        expert_offsets: offsets.slice()?,
        blockscale_offsets: scale_offsets.slice()?,
    };
    let run = |output: HostOutput<'_>| cpu::mxfp8_grouped_mm(problem, &tensors, output).map(drop);
    product(problem.output, [problem.rows, problem.n], run)
}

pub(super) fn quant(problem: &Mxfp8GroupedQuant, tensors: &QuantTensors<'_>) -> Result<Quantised> {
    let Mxfp8GroupedQuant { rows, k, scale_rows, .. } = *problem;
    let input = Held::of(tensors.input);
    let (sizes, offsets) = (Held::of(tensors.problem_sizes), Held::of(tensors.expert_offsets));
    let scale_offsets = Held::of(tensors.blockscale_offsets);
    let tensors = HostQuantTensors {
        input: match problem.input {
            ElementType::F16 => HostInput::F16(input.slice()?),
            _ => HostInput::Bf16(input.slice()?),
        },
        problem_sizes: sizes.slice::<i32>()?.as_chunks().0,
        expert_offsets: offsets.slice()?,
        blockscale_offsets: scale_offsets.slice()?,
    };
    let (mut codes, mut scales) = (zeros::<u8>([rows, k]), zeros::<u8>([scale_rows, k / 32]));
    cpu::mxfp8_grouped_quant(problem, &tensors, &mut codes, &mut scales)?;
    let codes: Vec<F8E4M3> = codes.into_iter().map(F8E4M3::from_bits).collect();
    Ok(Quantised {
        codes: tensor(codes, [rows, k])?,
        scales: tensor(scales, [scale_rows, k / 32])?,
    })
}

impl Held<'_> {
    fn slice<T: WithDType>(&self) -> Result<&[T]> {
        let Storage::Cpu(storage) = &*self.storage else {
            return Err(answered("a storage that is not the CPU's"));
        };
        let whole = storage.as_slice::<T>().map_err(answered)?;
        let part = self.range.and_then(|(start, end)| whole.get(start..end));
        part.ok_or_else(|| answered("a layout beyond its storage"))
    }
}

fn product(
    output: ElementType,
    shape: [u64; 2],
    run: impl FnOnce(HostOutput<'_>) -> Result<()>,
) -> Result<Tensor> {
    if output == ElementType::F16 {
        let mut product = zeros::<f16>(shape);
        run(HostOutput::F16(&mut product))?;
        return tensor(product, shape);
    }
    let mut product = zeros::<bf16>(shape);
    run(HostOutput::Bf16(&mut product))?;
    tensor(product, shape)
}

fn zeros<T: Default + Clone>([rows, columns]: [u64; 2]) -> Vec<T> {
    vec![T::default(); (rows * columns) as usize]
}

fn tensor<T: WithDType>(data: Vec<T>, [rows, columns]: [u64; 2]) -> Result<Tensor> {
    Tensor::from_vec(data, (rows as usize, columns as usize), &Device::Cpu).map_err(answered)
}
