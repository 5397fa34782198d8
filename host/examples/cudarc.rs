//! A product on the memory and the stream of cudarc.
//!
//! ```text
//! cargo run --release -p expert-gemm --features cudarc --example cudarc
//! ```
//!
//! Without a GPU that has the kernel it runs on the CPU backend, and says so.

mod common;

use common::{BLOCKS, EXPERTS, K, N, Operands, ROWS};
use cudarc::driver::CudaContext;
use expert_gemm::interop::cudarc::launch;
use expert_gemm::{ElementType as E, Fp8GroupedMmTensors, Prepared};
use half::bf16;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    common::run(on_gpu)
}

fn on_gpu(prepared: &Prepared, operands: &Operands) -> Result<Vec<bf16>, Box<dyn Error>> {
    let stream = CudaContext::new(0)?.new_stream()?;
    let (a, b) = (stream.clone_htod(&operands.a)?, stream.clone_htod(&operands.b)?);
    let scales_a = stream.clone_htod(&operands.scales_a)?;
    let scales_b = stream.clone_htod(&operands.scales_b)?;
    let sizes = stream.clone_htod(&operands.sizes)?;
    let offsets = stream.clone_htod(&operands.offsets)?;
    let mut output = stream.alloc_zeros::<bf16>((ROWS * N) as usize)?;
    launch(prepared, &stream, |lend| {
        Ok(Fp8GroupedMmTensors {
            output: lend.write(&mut output, E::Bf16, &[ROWS, N])?,
            a: lend.read(&a, E::E4m3, &[ROWS, K])?,
            b: lend.read(&b, E::E4m3, &[EXPERTS, N, K])?,
            scales_a: lend.read(&scales_a, E::F32, &[ROWS, BLOCKS[1]])?,
            scales_b: lend.read(&scales_b, E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]])?,
            problem_sizes: lend.read(&sizes, E::I32, &[EXPERTS, 3])?,
            expert_offsets: lend.read(&offsets, E::I32, &[EXPERTS])?,
            status: None,
        })
    })?;
    Ok(stream.clone_dtoh(&output)?)
}
