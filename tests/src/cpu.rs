//! The CPU backend on a host problem, and what it promises: sums of a block in f32 with `k` ascending, then
//! the kernel's own promotion.

use crate::e4m3;
use crate::gpu::shape;
use crate::narrow::narrow;
use crate::problem::HostProblem;
use crate::routing::Tables;
use crate::wgmma_model::BLOCK;
use expert_gemm::cpu::{HostOutput, HostTensors, fp8_grouped_mm};
use expert_gemm::{ElementType, GroupStatus, Result};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Runs the CPU backend with any tables: the bits of the output, `untouched` where nothing was written.
///
/// # Errors
/// What the backend refuses.
pub fn run(
    problem: &HostProblem,
    tables: &Tables,
    untouched: u16,
) -> Result<(Vec<u16>, GroupStatus)> {
    let shape = shape(problem);
    let tensors = HostTensors {
        a: &problem.a,
        b: &problem.b,
        scales_a: &problem.scales_a,
        scales_b: &problem.scales_b,
        problem_sizes: &tables.sizes,
        expert_offsets: &tables.offsets,
    };
    let count = problem.rows() * problem.spec.n;
    if problem.spec.output == ElementType::F16 {
        let mut output = vec![f16::from_bits(untouched); count];
        let status = fp8_grouped_mm(&shape, &tensors, HostOutput::F16(&mut output))?;
        Ok((output.reinterpret_cast().to_vec(), status))
    } else {
        let mut output = vec![bf16::from_bits(untouched); count];
        let status = fp8_grouped_mm(&shape, &tensors, HostOutput::Bf16(&mut output))?;
        Ok((output.reinterpret_cast().to_vec(), status))
    }
}

/// One output as the backend promises it, one operation at a time.
pub fn model(a: &[u8], b: &[u8], scales_a: &[f32], scales_b: &[f32], to: ElementType) -> u16 {
    let mut accumulator = 0.0f32;
    for (kb, (a, b)) in a.chunks(BLOCK).zip(b.chunks(BLOCK)).enumerate() {
        let products = a.iter().zip(b).map(|(&a, &b)| e4m3::decode(a) * e4m3::decode(b));
        let block = products.fold(0.0f32, |sum, product| sum + product);
        accumulator = block.mul_add(scales_a[kb] * scales_b[kb], accumulator);
    }
    narrow(accumulator, to)
}
