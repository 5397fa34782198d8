//! A whole mixture-of-experts layer on a GPU, from bf16 activations to bf16 outputs: quantise, gate and up, `silu * mul`,
//! quantise, down. Weights are quantised on the device as well. Every product is compared with the model bit by bit, and
//! the layer with the same layer in `f64` without any quantisation.

use expert_gemm::ElementType::Bf16;
use expert_gemm_tests::gpu::{Gpu, say};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::metrics::calc_diff;
use expert_gemm_tests::mx::gemm_device::{DeviceMx, shape};
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::inputs::{Inputs, narrow};
use expert_gemm_tests::mx::quant_device::{self, DeviceQuant};
use expert_gemm_tests::mx::quant_model::quantise;
use expert_gemm_tests::mx::quant_problem::{QuantProblem, QuantSpec};
use expert_gemm_tests::mx::routing::MxRouting;
use expert_gemm_tests::narrow::widen;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Routing, Skew, counts};
use rayon::prelude::*;

const EXPERTS: usize = 8;
const HIDDEN: usize = 1024;
const INTERMEDIATE: usize = 512;
const ROWS: u64 = 300;

/// Weights `[experts, n, k]` in bf16, with a standard deviation of `1 / sqrt(k)`.
fn weights(n: usize, k: usize, seed: u64) -> Vec<u16> {
    let mut weights = vec![0; EXPERTS * n * k];
    Inputs::Normal.fill(&mut Rng::new(seed), Bf16, &mut weights);
    for weight in &mut weights {
        *weight = narrow(widen(*weight, Bf16) / (k as f32).sqrt(), Bf16);
    }
    weights
}

/// Quantises on the device and compares with the closed form: codes, and scales row by row.
fn quantised(gpu: &Gpu, input: Vec<u16>, k: usize, routing: &MxRouting) -> (Vec<u8>, Vec<u8>) {
    let spec = QuantSpec { experts: routing.rows.experts(), k, ..QuantSpec::PLAIN };
    let problem = QuantProblem { spec, routing: routing.clone(), input };
    let on_device = DeviceQuant::new(gpu, &problem, Around::Guards).expect("upload");
    let outcome = on_device.run().expect("no fault");
    outcome.judge(&problem, &problem.tables()).expect("the closed form");
    // The judge has found the device's scales equal to these, in their places.
    let (_, scales) = quantise(&problem.input, &problem);
    (outcome.output.codes, scales)
}

/// One product on the device, compared with the model.
fn product(
    gpu: &Gpu,
    [n, k]: [usize; 2],
    routing: &MxRouting,
    (a, scales): (Vec<u8>, Vec<u8>),
    (b, scales_b): (Vec<u8>, Vec<u8>),
) -> Vec<u16> {
    let spec = MxSpec { experts: EXPERTS, n, k, ..MxSpec::PLAIN };
    let columns = k / 32;
    let mut problem = MxProblem {
        spec,
        routing: routing.clone(),
        a,
        b,
        scales_a: vec![0xFF; routing.scale_rows as usize * columns],
        scales_b,
    };
    for at in problem.owned() {
        problem.scales_a[at.scale_row * columns..][..columns]
            .copy_from_slice(&scales[at.row * columns..][..columns]);
    }
    let on_device = DeviceMx::new(gpu, &problem, Around::Guards).expect("upload");
    let outcome = on_device.run().expect("no fault");
    outcome.judge(&problem, &problem.tables()).expect("the model");
    outcome.output
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// Rows of `[gate, up]` to rows of `silu(gate) * up`.
fn activated(gate_up: &[f64]) -> Vec<f64> {
    let rows = gate_up.chunks(2 * INTERMEDIATE);
    rows.flat_map(|row| {
        let (gate, up) = row.split_at(INTERMEDIATE);
        gate.iter().zip(up).map(|(&gate, &up)| silu(gate) * up)
    })
    .collect()
}

/// The product of rows in `f64`.
fn exact(x: &[f64], w: &[u16], [n, k]: [usize; 2], routing: &Routing) -> Vec<f64> {
    let owners = routing.owners();
    (0..owners.len() * n)
        .into_par_iter()
        .map(|at| {
            let expert = owners[at / n].expect("packed rows have owners");
            let w = &w[(expert * n + at % n) * k..][..k];
            let x = &x[at / n * k..][..k];
            x.iter().zip(w).map(|(x, &w)| x * f64::from(widen(w, Bf16))).sum()
        })
        .collect()
}

fn values(bits: &[u16]) -> Vec<f64> {
    bits.iter().map(|&bits| f64::from(widen(bits, Bf16))).collect()
}

#[test]
fn a_layer_is_close_to_the_same_layer_in_f64() {
    let any = MxSpec::PLAIN.build();
    let quantiser = QuantSpec::PLAIN.build();
    let Some(gpu) = Gpu::open_for(|info| {
        quant_device::shape(&quantiser).plan(info).and(shape(&any).plan(info).map(drop))
    }) else {
        return;
    };
    let rng = &mut Rng::new(11);
    let counts = counts(Skew::Softmax { top_k: 2, spread: 1.0 }, EXPERTS, ROWS, rng);
    let routing = MxRouting::packed(Routing::packed(counts));
    let of_weights = |n: usize| MxRouting::packed(Routing::packed(vec![n as u32; EXPERTS]));
    let (up, down) = ([2 * INTERMEDIATE, HIDDEN], [HIDDEN, INTERMEDIATE]);
    let (w_up, w_down) = (weights(up[0], up[1], 1), weights(down[0], down[1], 2));
    let mut x = vec![0; ROWS as usize * HIDDEN];
    Inputs::Normal.fill(rng, Bf16, &mut x);

    let quant_weights =
        |w: &[u16], [n, k]: [usize; 2]| quantised(&gpu, w.to_vec(), k, &of_weights(n));
    let quant = |x: Vec<u16>, k| quantised(&gpu, x, k, &routing);
    let gate_up = product(&gpu, up, &routing, quant(x.clone(), HIDDEN), quant_weights(&w_up, up));
    let hidden = activated(&values(&gate_up)).into_iter().map(|x| narrow(x as f32, Bf16)).collect();
    let weights = quant_weights(&w_down, down);
    let output = product(&gpu, down, &routing, quant(hidden, INTERMEDIATE), weights);

    let hidden = activated(&exact(&values(&x), &w_up, up, &routing.rows));
    let want = exact(&hidden, &w_down, down, &routing.rows);
    let difference = calc_diff(values(&output), &want);
    say(&format!("layer of {ROWS} rows: 1 - 2xy / (xx + yy) = {difference:.2e}"));
    // Four tensors are rounded to 4 significant bits: about 1e-3 for one product of two of them, twice that here.
    assert!((1e-5..5e-3).contains(&difference), "{difference}");
}
