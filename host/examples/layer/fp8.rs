//! FP8 with f32 scales: quantised on the CPU, as the crate has no kernel for it; multiplied on the GPU or the CPU.

use super::backend::{Backend, report};
use super::groups::Groups;
use expert_gemm::cpu::{self, HostOutput, HostTensors};
use expert_gemm::{
    DeviceInfo, ElementType as E, Fp8GroupedMm, Fp8GroupedMmTensors, GroupStatus, Result, Stream,
};
use float8::F8E4M3;
use half::bf16;

/// The largest e4m3 number.
const LARGEST: f32 = 448.0;

/// e4m3 codes row by row, and an f32 scale for each 128 of a row (activations `[rows, K]`) or for each 128 x 128 block
/// (weights `[N, K]`, experts one behind the other). An element is its code times its scale.
pub struct Fp8 {
    pub codes: Vec<u8>,
    pub scales: Vec<f32>,
}

/// Activations in groups of 1 x 128: scales `[rows, K / 128]`.
pub fn quantise_rows(x: &[bf16], k: usize) -> Fp8 {
    quantise(x, k, 1)
}

/// Weights `[N, K]`, of one expert or several, in blocks of 128 x 128: scales `[N / 128, K / 128]`.
pub fn quantise_blocks(w: &[bf16], k: usize) -> Fp8 {
    quantise(w, k, 128)
}

fn quantise(x: &[bf16], k: usize, rows: usize) -> Fp8 {
    let mut fp8 = Fp8 { codes: vec![0; x.len()], scales: Vec::new() };
    for (x, codes) in x.chunks(rows * k).zip(fp8.codes.chunks_mut(rows * k)) {
        for column in (0..k).step_by(128) {
            let block = |row: usize| row * k + column..row * k + column + 128;
            let largest =
                |row| x[block(row)].iter().fold(0f32, |most, x| most.max(x.to_f32().abs()));
            // A block of zeros has a scale that is no zero, so that nobody divides by it.
            let scale = (0..rows).map(largest).fold(1e-6, f32::max) / LARGEST;
            for row in 0..rows {
                for (code, x) in codes[block(row)].iter_mut().zip(&x[block(row)]) {
                    *code = F8E4M3::from_f32(x.to_f32() / scale).to_bits();
                }
            }
            fp8.scales.push(scale);
        }
    }
    fp8
}

/// Weights `[N, K]`, of one expert or several, from blocks of 128 x 128.
pub fn dequantise_blocks(w: &Fp8, k: usize) -> Vec<bf16> {
    let element = |(at, &code): (usize, &u8)| {
        let (row, column) = (at / k, at % k);
        bf16::from_f32(decode(code) * w.scales[row / 128 * (k / 128) + column / 128])
    };
    w.codes.iter().enumerate().map(element).collect()
}

/// The number that a code stands for.
pub fn decode(code: u8) -> f32 {
    F8E4M3::from_bits(code).to_f32()
}

/// Whether a GPU has the kernel.
pub fn fit(info: &DeviceInfo) -> Result<()> {
    Fp8GroupedMm { rows: 1, experts: 1, n: 128, k: 128, output: E::Bf16 }.plan(info).map(drop)
}

/// `a * b^T` for every expert: `[rows, n]`.
pub fn multiply(
    backend: &Backend,
    a: &Fp8,
    b: &Fp8,
    [n, k]: [usize; 2],
    groups: &Groups,
) -> Result<Vec<bf16>> {
    let (rows, experts) = (groups.rows, groups.experts());
    let problem = Fp8GroupedMm { rows, experts, n: n as u64, k: k as u64, output: E::Bf16 };
    let sizes = groups.sizes(n, k);
    let mut output = vec![bf16::ZERO; rows as usize * n];
    match backend {
        Backend::Cpu => {
            let tensors = HostTensors {
                a: &a.codes,
                b: &b.codes,
                scales_a: &a.scales,
                scales_b: &b.scales,
                problem_sizes: &sizes,
                expert_offsets: &groups.offsets,
            };
            report(cpu::fp8_grouped_mm(&problem, &tensors, HostOutput::Bf16(&mut output))?);
        }
        Backend::Gpu(device) => {
            // A service prepares once for each shape, and keeps its tensors on the device.
            let prepared = device.prepare(&problem.plan(device.info())?)?;
            let (a, scales_a) = (device.upload(&a.codes)?, device.upload(&a.scales)?);
            let (b, scales_b) = (device.upload(&b.codes)?, device.upload(&b.scales)?);
            let (sizes, offsets) = (device.upload(&sizes)?, device.upload(&groups.offsets)?);
            let (result, status) = (device.upload(&output)?, device.upload(&[0u32])?);
            let (n, k) = (problem.n, problem.k);
            prepared.launch(
                Stream::DEFAULT,
                &Fp8GroupedMmTensors {
                    output: result.tensor(E::Bf16, &[rows, n]),
                    a: a.tensor(E::E4m3, &[rows, k]),
                    b: b.tensor(E::E4m3, &[experts, n, k]),
                    scales_a: scales_a.tensor(E::F32, &[rows, k / 128]),
                    scales_b: scales_b.tensor(E::F32, &[experts, n / 128, k / 128]),
                    problem_sizes: sizes.tensor(E::I32, &[experts, 3]),
                    expert_offsets: offsets.tensor(E::I32, &[experts]),
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
