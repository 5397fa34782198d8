//! A product on `DLPack` tensors. The example plays both sides: it hands its buffers out as a framework would, and takes
//! them over as a Rust service behind Python does.
//!
//! ```text
//! cargo run --release -p expert-gemm --features dlpack --example dlpack
//! ```
//!
//! Without a GPU that has the kernel it runs on the CPU backend, and says so.

mod common;

use common::{BLOCKS, EXPERTS, K, N, Operands, ROWS};
use expert_gemm::interop::dlpack::{ManagedTensor, export};
use expert_gemm::{Device, ElementType as E, Fp8GroupedMmTensors, Plain, Prepared, Result, Stream};
use half::bf16;
use std::error::Error;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    common::run(|prepared, operands| Ok(on_gpu(prepared, operands)?))
}

fn on_gpu(prepared: &Prepared, operands: &Operands) -> Result<Vec<bf16>> {
    let device = prepared.device();
    let a = exchanged(device, &operands.a, E::E4m3, &[ROWS, K])?;
    let b = exchanged(device, &operands.b, E::E4m3, &[EXPERTS, N, K])?;
    let scales_a = exchanged(device, &operands.scales_a, E::F32, &[ROWS, BLOCKS[1]])?;
    let scales_b = exchanged(device, &operands.scales_b, E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]])?;
    let sizes = exchanged(device, &operands.sizes, E::I32, &[EXPERTS, 3])?;
    let offsets = exchanged(device, &operands.offsets, E::I32, &[EXPERTS])?;
    // The result is ours, and would go out by `export` as well.
    let output = device.upload(&vec![bf16::ZERO; (ROWS * N) as usize])?;
    prepared.launch(
        Stream::DEFAULT,
        &Fp8GroupedMmTensors {
            output: output.tensor(E::Bf16, &[ROWS, N]),
            a: a.tensor(),
            b: b.tensor(),
            scales_a: scales_a.tensor(),
            scales_b: scales_b.tensor(),
            problem_sizes: sizes.tensor(),
            expert_offsets: offsets.tensor(),
            status: None,
        },
    )?;
    device.synchronize()?;
    output.to_vec()
}

/// Uploads, hands out and takes over.
fn exchanged<T: Plain>(
    device: &Device,
    data: &[T],
    element: E,
    shape: &[u64],
) -> Result<ManagedTensor> {
    let capsule = export(device.upload(data)?, element, shape)?;
    // SAFETY: the capsule has no other consumer; the upload has waited, and every use is on the default stream, which is
    // waited for before the tensors are given back.
    unsafe { ManagedTensor::from_raw(capsule, Stream::DEFAULT) }
}
