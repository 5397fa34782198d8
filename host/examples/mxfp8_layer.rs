//! A mixture-of-experts layer in MXFP8, from bf16 to bf16: quantise, gate and up, `silu(gate) * up`, quantise, down.
//!
//! ```text
//! cargo run --release -p expert-gemm --example mxfp8_layer            on the GPU if it has the kernels, else on the CPU
//! cargo run --release -p expert-gemm --example mxfp8_layer -- --cpu   on the CPU
//! ```
//!
//! The result is compared with the same layer in `f64`, whose weights and activations are not quantised; the example
//! fails if they are further apart than quantisation explains. The calls of the crate are in `layer/mxfp8.rs`; a layer
//! with routing and weights from a file is the example `moe_layer`.

mod layer;

use expert_gemm::Result;
use half::bf16;
use layer::backend::Backend;
use layer::groups::Groups;
use layer::mxfp8::{fit, multiply, quantise};
use layer::numbers::{activated, as_bf16, as_f64, difference, normal};
use rayon::prelude::*;

const HIDDEN: usize = 1024;
const INTERMEDIATE: usize = 512;
/// Rows of each expert, as a router might share out 150 tokens with two experts each.
const ROWS: [u64; 8] = [41, 0, 130, 7, 64, 1, 35, 22];

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let backend = &Backend::open(std::env::args().any(|argument| argument == "--cpu"), fit)?;
    let tokens = Groups::new(&ROWS);
    let (up, down) = ([2 * INTERMEDIATE, HIDDEN], [HIDDEN, INTERMEDIATE]);
    let (w_up, w_down) = (weights(up, 1), weights(down, 2));
    let x: Vec<bf16> = normal(3, tokens.rows as usize * HIDDEN, 1.0);

    // Once, when a model is loaded: an expert's weights are N rows of K elements.
    let quantise_weights = |w: &[bf16], [n, k]: [usize; 2]| {
        quantise(backend, w, k, &Groups::new(&[n as u64; ROWS.len()]))
    };
    let (b_up, b_down) = (quantise_weights(&w_up, up)?, quantise_weights(&w_down, down)?);

    // For each batch.
    let product = |x: &[bf16], b, shape: [usize; 2]| -> Result<Vec<bf16>> {
        multiply(backend, &quantise(backend, x, shape[1], &tokens)?, b, shape, &tokens)
    };
    let gate_up = product(&x, &b_up, up)?;
    let hidden = as_bf16(&activated(&as_f64(&gate_up), INTERMEDIATE));
    let output = product(&hidden, &b_down, down)?;

    let exact_hidden = activated(&exact(&as_f64(&x), &w_up, up), INTERMEDIATE);
    let difference = difference(&as_f64(&output), &exact(&exact_hidden, &w_down, down));
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

/// Weights `[E, N, K]` that keep the size of what they multiply.
fn weights([n, k]: [usize; 2], seed: u64) -> Vec<bf16> {
    normal(seed, ROWS.len() * n * k, 1.0 / (k as f64).sqrt())
}
