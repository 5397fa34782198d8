//! MXFP8: quantised and multiplied, on the GPU or the CPU.

use super::backend::{Backend, report};
use super::groups::Groups;
use expert_gemm::cpu::{self, HostInput, HostMxTensors, HostOutput, HostQuantTensors};
use expert_gemm::{
    DeviceInfo, ElementType as E, GroupStatus, Mxfp8GroupedMm, Mxfp8GroupedMmTensors,
    Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors, Result, ScaleRule, Stream,
};
use half::bf16;

/// A quantised matrix: e4m3 codes row by row, and a power of two for each 32, in atoms.
pub struct Mx {
    pub codes: Vec<u8>,
    pub scales: Vec<u8>,
}

/// Whether a GPU has the kernels of both operations.
pub fn fit(info: &DeviceInfo) -> Result<()> {
    let (rows, experts, k, scale_rows) = (1, 1, 128, 128);
    let (input, rule) = (E::Bf16, ScaleRule::Sgl);
    Mxfp8GroupedQuant { rows, experts, k, scale_rows, input, rule }.plan(info)?;
    Mxfp8GroupedMm { rows, experts, n: 128, k, scale_rows, output: E::Bf16 }.plan(info).map(drop)
}

/// Rows of bf16 to MXFP8, experts one behind the other.
pub fn quantise(backend: &Backend, x: &[bf16], k: usize, groups: &Groups) -> Result<Mx> {
    let problem = Mxfp8GroupedQuant {
        rows: groups.rows,
        experts: groups.experts(),
        k: k as u64,
        scale_rows: groups.scale_rows,
        input: E::Bf16,
        rule: ScaleRule::Sgl,
    };
    let sizes = groups.sizes(0, k);
    let (rows, experts, scale_rows) = (problem.rows, problem.experts, problem.scale_rows);
    let mut mx = Mx { codes: vec![0; x.len()], scales: vec![0; scale_rows as usize * k / 32] };
    match backend {
        Backend::Cpu => {
            let tensors = HostQuantTensors {
                input: HostInput::Bf16(x),
                problem_sizes: &sizes,
                expert_offsets: &groups.offsets,
                blockscale_offsets: &groups.scale_offsets,
            };
            let (codes, scales) = (&mut mx.codes, &mut mx.scales);
            report(cpu::mxfp8_grouped_quant(&problem, &tensors, codes, scales)?);
        }
        Backend::Gpu(device) => {
            // A service prepares once for each shape, and keeps its tensors on the device.
            let prepared = device.prepare(&problem.plan(device.info())?)?;
            let (input, sizes) = (device.upload(x)?, device.upload(&sizes)?);
            let offsets = device.upload(&groups.offsets)?;
            let scale_offsets = device.upload(&groups.scale_offsets)?;
            let (codes, scales) = (device.upload(&mx.codes)?, device.upload(&mx.scales)?);
            let status = device.upload(&[0u32])?;
            prepared.launch(
                Stream::DEFAULT,
                &Mxfp8GroupedQuantTensors {
                    input: input.tensor(E::Bf16, &[rows, problem.k]),
                    problem_sizes: sizes.tensor(E::I32, &[experts, 3]),
                    expert_offsets: offsets.tensor(E::I32, &[experts]),
                    blockscale_offsets: scale_offsets.tensor(E::I32, &[experts]),
                    quant_output: codes.tensor(E::E4m3, &[rows, problem.k]),
                    scale_factor: scales.tensor(E::E8m0, &[scale_rows, problem.k / 32]),
                    status: Some(status.tensor(E::U32, &[1])),
                },
            )?;
            device.synchronize()?;
            mx = Mx { codes: codes.to_vec()?, scales: scales.to_vec()? };
            status.to_vec()?.into_iter().map(GroupStatus).for_each(report);
        }
    }
    Ok(mx)
}

/// `a * b^T` for every expert: `[rows, n]`.
pub fn multiply(
    backend: &Backend,
    a: &Mx,
    b: &Mx,
    [n, k]: [usize; 2],
    groups: &Groups,
) -> Result<Vec<bf16>> {
    let problem = Mxfp8GroupedMm {
        rows: groups.rows,
        experts: groups.experts(),
        n: n as u64,
        k: k as u64,
        scale_rows: groups.scale_rows,
        output: E::Bf16,
    };
    let sizes = groups.sizes(n, k);
    let (rows, experts) = (problem.rows, problem.experts);
    let mut output = vec![bf16::ZERO; rows as usize * n];
    match backend {
        Backend::Cpu => {
            let tensors = HostMxTensors {
                a: &a.codes,
                b: &b.codes,
                sfa: &a.scales,
                sfb: &b.scales,
                problem_sizes: &sizes,
                expert_offsets: &groups.offsets,
                blockscale_offsets: &groups.scale_offsets,
            };
            let output = HostOutput::Bf16(&mut output);
            report(cpu::mxfp8_grouped_mm(&problem, &tensors, output)?);
        }
        Backend::Gpu(device) => {
            let prepared = device.prepare(&problem.plan(device.info())?)?;
            let (a, sfa) = (device.upload(&a.codes)?, device.upload(&a.scales)?);
            let (b, sfb) = (device.upload(&b.codes)?, device.upload(&b.scales)?);
            let (sizes, offsets) = (device.upload(&sizes)?, device.upload(&groups.offsets)?);
            let scale_offsets = device.upload(&groups.scale_offsets)?;
            let (result, status) = (device.upload(&output)?, device.upload(&[0u32])?);
            let (n, k, columns) = (problem.n, problem.k, problem.k / 32);
            prepared.launch(
                Stream::DEFAULT,
                &Mxfp8GroupedMmTensors {
                    output: result.tensor(E::Bf16, &[rows, n]),
                    a: a.tensor(E::E4m3, &[rows, k]),
                    b: b.tensor(E::E4m3, &[experts, n, k]),
                    sfa: sfa.tensor(E::E8m0, &[problem.scale_rows, columns]),
                    sfb: sfb.tensor(E::E8m0, &[experts, n, columns]),
                    problem_sizes: sizes.tensor(E::I32, &[experts, 3]),
                    expert_offsets: offsets.tensor(E::I32, &[experts]),
                    blockscale_offsets: scale_offsets.tensor(E::I32, &[experts]),
                    status: Some(status.tensor(E::U32, &[1])),
                },
            )?;
            device.synchronize()?;
            output = result.to_vec()?;
            status.to_vec()?.into_iter().map(GroupStatus).for_each(report);
        }
    }
    Ok(output)
}
