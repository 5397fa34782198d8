//! A product on the memory and the stream of cust.
//!
//! ```text
//! CUDA_LIBRARY_PATH=<a CUDA folder> cargo run --release -p expert-gemm --features cust --example cust
//! ```
//!
//! Without a GPU that has the kernel it runs on the CPU backend, and says so. (cust links `libcuda`, so that the program
//! starts only where one is found: the driver's, or a stub.)

mod common;

use common::{BLOCKS, EXPERTS, K, N, Operands, ROWS};
use cust::memory::{CopyDestination, DeviceBuffer};
use cust::stream::{Stream, StreamFlags};
use expert_gemm::interop::cust::{launch, read, write};
use expert_gemm::{ElementType as E, Fp8GroupedMmTensors, Prepared};
use half::bf16;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    common::run(on_gpu)
}

fn on_gpu(prepared: &Prepared, operands: &Operands) -> Result<Vec<bf16>, Box<dyn Error>> {
    let _context = cust::quick_init()?;
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None)?;
    let a = DeviceBuffer::from_slice(&operands.a)?;
    let b = DeviceBuffer::from_slice(&operands.b)?;
    let scales_a = DeviceBuffer::from_slice(&operands.scales_a)?;
    let scales_b = DeviceBuffer::from_slice(&operands.scales_b)?;
    let sizes = DeviceBuffer::from_slice(&operands.sizes)?;
    let offsets = DeviceBuffer::from_slice(&operands.offsets)?;
    let mut product = vec![0u16; (ROWS * N) as usize];
    // Zeros, as rows without an expert keep what they hold.
    let mut output = DeviceBuffer::from_slice(&product)?;
    launch(
        prepared,
        &stream,
        &Fp8GroupedMmTensors {
            output: write(&mut output, E::Bf16, &[ROWS, N])?,
            a: read(&a, E::E4m3, &[ROWS, K])?,
            b: read(&b, E::E4m3, &[EXPERTS, N, K])?,
            scales_a: read(&scales_a, E::F32, &[ROWS, BLOCKS[1]])?,
            scales_b: read(&scales_b, E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]])?,
            problem_sizes: read(&sizes, E::I32, &[EXPERTS, 3])?,
            expert_offsets: read(&offsets, E::I32, &[EXPERTS])?,
            status: None,
        },
    )?;
    stream.synchronize()?;
    output.copy_to(&mut product)?;
    Ok(product.into_iter().map(bf16::from_bits).collect())
}
