//! A mixture-of-experts layer in MXFP8, from bf16 to bf16: quantise, gate and up, `silu(gate) * up`, quantise, down.
//!
//! ```text
//! cargo run --release -p expert-gemm --example mxfp8_layer            on the GPU if it has the kernels, else on the CPU
//! cargo run --release -p expert-gemm --example mxfp8_layer -- --cpu   on the CPU
//! ```
//!
//! The result is compared with the same layer in `f64`, whose weights and activations are not quantised; the example
//! fails if they are further apart than quantisation explains.

use expert_gemm::cpu::{self, HostInput, HostMxTensors, HostOutput, HostQuantTensors};
use expert_gemm::{
    Device, ElementType as E, GroupStatus, Mxfp8GroupedMm, Mxfp8GroupedMmTensors,
    Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors, Result, ScaleRule, Stream,
};
use half::bf16;
use rayon::prelude::*;

const HIDDEN: usize = 1024;
const INTERMEDIATE: usize = 512;
/// Rows of each expert, as a router might share out 150 tokens with two experts each.
const ROWS: [u64; 8] = [41, 0, 130, 7, 64, 1, 35, 22];

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let backend = Backend::open();
    let tokens = Groups::new(&ROWS);
    let (up, down) = ([2 * INTERMEDIATE, HIDDEN], [HIDDEN, INTERMEDIATE]);
    let (w_up, w_down) = (weights(up, 1), weights(down, 2));
    let x: Vec<bf16> = normal(3, tokens.rows as usize * HIDDEN, 1.0);

    // Once, when a model is loaded: an expert's weights are N rows of K elements.
    let quantise_weights = |w: &[bf16], [n, k]: [usize; 2]| {
        backend.quantise(w, k, &Groups::new(&[n as u64; ROWS.len()]))
    };
    let (b_up, b_down) = (quantise_weights(&w_up, up)?, quantise_weights(&w_down, down)?);

    // For each batch.
    let gate_up = backend.multiply(&backend.quantise(&x, HIDDEN, &tokens)?, &b_up, up, &tokens)?;
    let hidden: Vec<bf16> = activated(&as_f64(&gate_up)).into_iter().map(bf16::from_f64).collect();
    let a_down = backend.quantise(&hidden, INTERMEDIATE, &tokens)?;
    let output = backend.multiply(&a_down, &b_down, down, &tokens)?;

    let exact = exact(&activated(&exact(&as_f64(&x), &w_up, up)), &w_down, down);
    let difference = difference(&as_f64(&output), &exact);
    println!(
        "{} rows, {} experts: 1 - 2xy / (xx + yy) = {difference:.2e}",
        tokens.rows,
        ROWS.len()
    );
    // Four tensors are rounded to four significant bits.
    if !(1e-5..5e-3).contains(&difference) {
        return Err(format!("{difference:.2e} is not what quantisation explains").into());
    }
    Ok(())
}

/// Which rows belong to which expert, and where the scales of each begin.
struct Groups {
    rows: u64,
    scale_rows: u64,
    rows_of: Vec<i32>,
    offsets: Vec<i32>,
    scale_offsets: Vec<i32>,
}

impl Groups {
    /// Experts one behind the other; the scales of each take whole atoms of 128 rows.
    fn new(rows_of: &[u64]) -> Self {
        let sums = |padded: u64| {
            let mut sum = 0;
            let firsts = rows_of.iter().map(|rows| {
                let first = sum as i32;
                sum += rows.next_multiple_of(padded);
                first
            });
            (firsts.collect::<Vec<_>>(), sum)
        };
        let ((offsets, rows), (scale_offsets, scale_rows)) = (sums(1), sums(128));
        let rows_of = rows_of.iter().map(|&rows| rows as i32).collect();
        Self { rows, scale_rows, rows_of, offsets, scale_offsets }
    }

    fn experts(&self) -> u64 {
        self.rows_of.len() as u64
    }

    /// `(M, N, K)` of each expert; the quantiser does not look at N.
    fn sizes(&self, n: usize, k: usize) -> Vec<[i32; 3]> {
        self.rows_of.iter().map(|&m| [m, n as i32, k as i32]).collect()
    }
}

/// A quantised matrix: e4m3 codes row by row, and a power of two for each 32, in atoms.
struct Mx {
    codes: Vec<u8>,
    scales: Vec<u8>,
}

enum Backend {
    Cpu,
    Gpu(Device),
}

impl Backend {
    /// The first GPU if it has kernels for both operations, unless `--cpu` is given.
    fn open() -> Self {
        let (rows, experts, k, scale_rows) = (1, 1, 128, 128);
        let quant = Mxfp8GroupedQuant {
            rows,
            experts,
            k,
            scale_rows,
            input: E::Bf16,
            rule: ScaleRule::Sgl,
        };
        let product = Mxfp8GroupedMm { rows, experts, n: 128, k, scale_rows, output: E::Bf16 };
        let fit = |device: Device| {
            let info = device.info();
            quant.plan(info).and(product.plan(info).map(drop)).map(|()| device)
        };
        if std::env::args().any(|argument| argument == "--cpu") {
            println!("on the CPU, as asked");
            return Self::Cpu;
        }
        match Device::open(0).and_then(fit) {
            Ok(device) => {
                println!("on {}", device.info());
                Self::Gpu(device)
            }
            Err(reason) => {
                println!("on the CPU: {reason}");
                Self::Cpu
            }
        }
    }

    fn quantise(&self, x: &[bf16], k: usize, groups: &Groups) -> Result<Mx> {
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
        match self {
            Self::Cpu => {
                let tensors = HostQuantTensors {
                    input: HostInput::Bf16(x),
                    problem_sizes: &sizes,
                    expert_offsets: &groups.offsets,
                    blockscale_offsets: &groups.scale_offsets,
                };
                let (codes, scales) = (&mut mx.codes, &mut mx.scales);
                report(cpu::mxfp8_grouped_quant(&problem, &tensors, codes, scales)?);
            }
            Self::Gpu(device) => {
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
    fn multiply(&self, a: &Mx, b: &Mx, [n, k]: [usize; 2], groups: &Groups) -> Result<Vec<bf16>> {
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
        match self {
            Self::Cpu => {
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
            Self::Gpu(device) => {
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
}

/// Says so if the group tables broke the contract.
fn report(status: GroupStatus) {
    if !status.is_ok() {
        println!("some experts were skipped: status {:#x}", status.0);
    }
}

/// Rows of `[gate, up]` to rows of `silu(gate) * up`.
fn activated(gate_up: &[f64]) -> Vec<f64> {
    let rows = gate_up.chunks(2 * INTERMEDIATE).map(|row| row.split_at(INTERMEDIATE));
    rows.flat_map(|(gate, up)| gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u))
        .collect()
}

/// The product in `f64`: every row with the weights of its expert.
fn exact(x: &[f64], w: &[bf16], [n, k]: [usize; 2]) -> Vec<f64> {
    let experts = ROWS.iter().enumerate();
    let expert_of: Vec<usize> =
        experts.flat_map(|(expert, &rows)| std::iter::repeat_n(expert, rows as usize)).collect();
    (0..expert_of.len() * n)
        .into_par_iter()
        .map(|at| {
            let w = &w[(expert_of[at / n] * n + at % n) * k..][..k];
            x[at / n * k..][..k].iter().zip(w).map(|(x, w)| x * w.to_f64()).sum()
        })
        .collect()
}

/// One minus the cosine-like similarity that FP8 kernels are usually judged by.
fn difference(x: &[f64], y: &[f64]) -> f64 {
    let sum = |f: fn(f64, f64) -> f64| x.iter().zip(y).map(|(&x, &y)| f(x, y)).sum::<f64>();
    1.0 - 2.0 * sum(|x, y| x * y) / sum(|x, y| x * x + y * y)
}

fn as_f64(x: &[bf16]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}

/// Weights `[E, N, K]` that keep the size of what they multiply.
fn weights([n, k]: [usize; 2], seed: u64) -> Vec<bf16> {
    normal(seed, ROWS.len() * n * k, 1.0 / (k as f64).sqrt())
}

/// Nearly normal numbers: sums of 12 uniform ones.
fn normal(seed: u64, count: usize, deviation: f64) -> Vec<bf16> {
    let mut state = seed;
    let mut uniform = || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    };
    let mut draw = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    (0..count).map(|_| bf16::from_f64(draw() * deviation)).collect()
}
