//! A small product that every adapter's example and test computes.

// Each of them uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod fallback;

use expert_gemm::cpu::{self, HostOutput, HostTensors};
use expert_gemm::{Device, ElementType, Fp8GroupedMm, Prepared, Result};
use half::bf16;
use std::error::Error;

pub const ROWS: u64 = 40;
pub const EXPERTS: u64 = 3;
pub const N: u64 = 256;
pub const K: u64 = 384;
/// Blocks of 128 columns and of 128 elements of a row.
pub const BLOCKS: [u64; 2] = [N / 128, K / 128];

pub const PROBLEM: Fp8GroupedMm =
    Fp8GroupedMm { rows: ROWS, experts: EXPERTS, n: N, k: K, output: ElementType::Bf16 };

/// The operands on the host. Values and scales are such that every sum is exact, so that any machine gives the same
/// bits.
pub struct Operands {
    /// `[ROWS, K]` e4m3
    pub a: Vec<u8>,
    /// `[EXPERTS, N, K]` e4m3
    pub b: Vec<u8>,
    /// `[ROWS, K / 128]`
    pub scales_a: Vec<f32>,
    /// `[EXPERTS, N / 128, K / 128]`
    pub scales_b: Vec<f32>,
    /// (M, N, K) of each expert
    pub sizes: Vec<[i32; 3]>,
    /// First row of each expert
    pub offsets: Vec<i32>,
}

impl Operands {
    pub fn new() -> Self {
        let powers = |count: u64| (0..count).map(|i| f32::from(i as u8 % 3) + 1.0).collect();
        let size = |m| [m, N as i32, K as i32];
        Self {
            a: codes(ROWS * K, 7),
            b: codes(EXPERTS * N * K, 11),
            scales_a: powers(ROWS * BLOCKS[1]),
            scales_b: powers(EXPERTS * BLOCKS[0] * BLOCKS[1]),
            sizes: vec![size(29), size(0), size(11)],
            offsets: vec![0, 29, 29],
        }
    }

    /// The product by the CPU backend: `[ROWS, N]`.
    pub fn on_cpu(&self) -> Result<Vec<bf16>> {
        let tensors = HostTensors {
            a: &self.a,
            b: &self.b,
            scales_a: &self.scales_a,
            scales_b: &self.scales_b,
            problem_sizes: &self.sizes,
            expert_offsets: &self.offsets,
        };
        let mut output = vec![bf16::ZERO; (ROWS * N) as usize];
        cpu::fp8_grouped_mm(&PROBLEM, &tensors, HostOutput::Bf16(&mut output))?;
        Ok(output)
    }
}

/// The e4m3 codes of 0, 1, 2, -1 and -2, in an order without a short period.
fn codes(count: u64, step: u64) -> Vec<u8> {
    let codes = [0x00, 0x38, 0x40, 0xB8, 0xC0];
    (0..count).map(|i| codes[((i * i + step * i) % 241 % 5) as usize]).collect()
}

/// Opens device 0 and loads the kernel of the product.
pub fn prepare() -> Result<Prepared> {
    let device = Device::open(0)?;
    device.prepare(&PROBLEM.plan(device.info())?)
}

/// What every example does: computes the product by `on_gpu`, or where no GPU has the kernel by the CPU backend, says
/// which, and compares. `REQUIRE_GPU=1` makes the lack of a GPU an error.
pub fn run(
    on_gpu: impl FnOnce(&Prepared, &Operands) -> std::result::Result<Vec<bf16>, Box<dyn Error>>,
) -> std::result::Result<(), Box<dyn Error>> {
    let operands = Operands::new();
    let product = match prepare() {
        Ok(prepared) => {
            println!("on {}", prepared.device().info());
            on_gpu(&prepared, &operands)?
        }
        Err(reason) => {
            fallback::to_cpu(&reason)?;
            operands.on_cpu()?
        }
    };
    compare(&product, &operands.on_cpu()?)
}

/// Whether a product has the bits of the CPU backend, or how many differ.
pub fn compare(got: &[bf16], want: &[bf16]) -> std::result::Result<(), Box<dyn Error>> {
    let differ = got.iter().zip(want).filter(|(got, want)| got != want).count();
    if got.len() != want.len() || differ != 0 || want.iter().all(|value| *value == bf16::ZERO) {
        return Err(format!("{differ} of {} outputs differ", want.len()).into());
    }
    println!("{} outputs, equal to those of the CPU backend", got.len());
    Ok(())
}
