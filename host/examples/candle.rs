//! A product on candle's tensors.
//!
//! ```text
//! cargo run --release -p expert-gemm --features candle --example candle         on the CPU
//! cargo run --release -p expert-gemm --features candle-cuda --example candle    on the GPU, if there is one
//! ```
//!
//! The second needs what candle needs to build for a GPU: `nvcc` and the CUDA libraries.

mod common;

use candle_core::{Device, Tensor};
use common::{BLOCKS, EXPERTS, K, N, Operands, PROBLEM, ROWS};
use expert_gemm::Fp8GroupedMm;
use expert_gemm::interop::candle::{Fp8Tensors, Grouped};
use float8::F8E4M3;
use half::bf16;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let operands = Operands::new();
    let (device, grouped) = open()?;
    let codes = |bytes: &[u8], shape: &[u64]| {
        let codes: Vec<F8E4M3> = bytes.iter().map(|&byte| F8E4M3::from_bits(byte)).collect();
        tensor(&codes, shape, &device)
    };
    let output = grouped.forward(&Fp8Tensors {
        a: &codes(&operands.a, &[ROWS, K])?,
        b: &codes(&operands.b, &[EXPERTS, N, K])?,
        scales_a: &tensor(&operands.scales_a, &[ROWS, BLOCKS[1]], &device)?,
        scales_b: &tensor(&operands.scales_b, &[EXPERTS, BLOCKS[0], BLOCKS[1]], &device)?,
        problem_sizes: &tensor(&operands.sizes.concat(), &[EXPERTS, 3], &device)?,
        expert_offsets: &tensor(&operands.offsets, &[EXPERTS], &device)?,
    })?;
    common::compare(&output.flatten_all()?.to_vec1::<bf16>()?, &operands.on_cpu()?)
}

/// The first GPU if this build and the machine have one that has the kernel, or else the CPU.
fn open() -> Result<(Device, Grouped<Fp8GroupedMm>), Box<dyn Error>> {
    match on_gpu() {
        Ok((device, grouped)) => {
            println!("on {:?}", device.location());
            Ok((device, grouped))
        }
        Err(reason) => {
            common::fallback::to_cpu(&reason)?;
            Ok((Device::Cpu, Grouped::new(PROBLEM, &Device::Cpu)?))
        }
    }
}

fn on_gpu() -> Result<(Device, Grouped<Fp8GroupedMm>), Box<dyn Error>> {
    let device = Device::new_cuda(0)?;
    let grouped = Grouped::new(PROBLEM, &device)?;
    Ok((device, grouped))
}

fn tensor<T: candle_core::WithDType>(
    data: &[T],
    shape: &[u64],
    device: &Device,
) -> candle_core::Result<Tensor> {
    let shape: Vec<usize> = shape.iter().map(|&side| side as usize).collect();
    Tensor::from_slice(data, shape, device)
}
