//! The FP8 grouped product on your own numbers: quantise, plan, launch, read back.
//!
//! ```text
//! cargo run --release -p expert-gemm --example grouped_gemm            on the GPU if it has the kernel, else on the CPU
//! ```
//!
//! Fails if the result is further from the product of the unquantised numbers, in `f64`, than quantisation explains.

mod layer;

use expert_gemm::cpu::{self, HostOutput, HostTensors};
use expert_gemm::{Device, ElementType as E, Fp8GroupedMm, Fp8GroupedMmTensors, Result, Stream};
use half::bf16;
use layer::fallback;
use layer::fp8::{quantise_blocks, quantise_rows};
use layer::numbers::{as_f64, difference, normal};

/// Rows of each expert, one expert behind the other.
const ROWS_OF: [i32; EXPERTS as usize] = [29, 0, 11];
/// Packed rows, experts, columns of the output, elements of a sum.
const T: u64 = 40;
const EXPERTS: u64 = 3;
const N: u64 = 256;
const K: u64 = 512;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Yours: activations [T, K], weights [EXPERTS, N, K], and which rows go to which expert.
    let (x, w) = (normal(1, (T * K) as usize, 1.0), normal(2, (EXPERTS * N * K) as usize, 0.05));
    let sizes = ROWS_OF.map(|rows| [rows, N as i32, K as i32]);
    let offsets = [0, ROWS_OF[0], ROWS_OF[0] + ROWS_OF[1]];

    let (a, b) = (quantise_rows(&x, K as usize), quantise_blocks(&w, K as usize));
    let problem = Fp8GroupedMm { rows: T, experts: EXPERTS, n: N, k: K, output: E::Bf16 };
    let tensors = HostTensors {
        a: &a.codes,
        b: &b.codes,
        scales_a: &a.scales,
        scales_b: &b.scales,
        problem_sizes: &sizes,
        expert_offsets: &offsets,
    };
    let mut output = vec![bf16::ZERO; (T * N) as usize];
    match Device::open(0).and_then(|device| problem.plan(device.info()).map(|_| device)) {
        Ok(device) => {
            println!("on {}", device.info());
            output = on_gpu(&device, problem, &tensors)?;
        }
        Err(reason) => {
            fallback::to_cpu(&reason)?;
            cpu::fp8_grouped_mm(&problem, &tensors, HostOutput::Bf16(&mut output))?;
        }
    }
    compare(&output, &x, &w)
}

fn on_gpu(device: &Device, problem: Fp8GroupedMm, host: &HostTensors<'_>) -> Result<Vec<bf16>> {
    let prepared = device.prepare(&problem.plan(device.info())?)?;
    let (a, scales_a) = (device.upload(host.a)?, device.upload(host.scales_a)?);
    let (b, scales_b) = (device.upload(host.b)?, device.upload(host.scales_b)?);
    let sizes = device.upload(host.problem_sizes)?;
    let offsets = device.upload(host.expert_offsets)?;
    let output = device.alloc(T * N * 2)?;
    prepared.launch(
        Stream::DEFAULT,
        &Fp8GroupedMmTensors {
            output: output.tensor(E::Bf16, &[T, N]),
            a: a.tensor(E::E4m3, &[T, K]),
            b: b.tensor(E::E4m3, &[EXPERTS, N, K]),
            scales_a: scales_a.tensor(E::F32, &[T, K / 128]),
            scales_b: scales_b.tensor(E::F32, &[EXPERTS, N / 128, K / 128]),
            problem_sizes: sizes.tensor(E::I32, &[EXPERTS, 3]),
            expert_offsets: offsets.tensor(E::I32, &[EXPERTS]),
            status: None,
        },
    )?;
    device.synchronize()?;
    output.to_vec()
}

/// Whether the output is the product of the unquantised numbers, as far as FP8 can tell.
fn compare(
    output: &[bf16],
    x: &[bf16],
    w: &[bf16],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (x, w) = (as_f64(x), as_f64(w));
    let exact: Vec<f64> = (0..T * N)
        .map(|at| {
            let (row, column) = (at / N, at % N);
            let expert = if row < ROWS_OF[0] as u64 { 0 } else { 2 };
            let x = &x[(row * K) as usize..][..K as usize];
            let w = &w[((expert * N + column) * K) as usize..][..K as usize];
            x.iter().zip(w).map(|(x, w)| x * w).sum()
        })
        .collect();
    let difference = difference(&as_f64(output), &exact);
    println!("{T} rows, {EXPERTS} experts: 1 - 2xy / (xx + yy) = {difference:.2e}");
    // Both operands are rounded to four significant bits.
    if !(1e-5..2e-3).contains(&difference) {
        return Err(format!("{difference:.2e} is not what quantisation explains").into());
    }
    Ok(())
}
