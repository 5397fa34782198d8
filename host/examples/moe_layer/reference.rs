//! The layer in `f64`, token by token, from the checkpoint's tensors as they lie: nothing is permuted, packed or
//! quantised.

use crate::checkpoint::{Layer, Matrix};
use crate::layer::fp8::decode;
use crate::layer::numbers::activated;
use crate::router::Routing;
use half::bf16;
use rayon::prelude::*;

/// `[tokens, hidden]`.
pub fn layer(weights: &Layer<'_>, routing: &Routing, x: &[bf16]) -> Vec<f64> {
    let values: [f64; 256] = std::array::from_fn(|code| f64::from(decode(code as u8)));
    let times = |matrix: &Matrix<'_>, x: &[f64]| -> Vec<f64> {
        let k = x.len();
        let row = |(row, codes): (usize, &[u8])| -> f64 {
            let scales = &matrix.scales[row / 128 * (k / 128)..];
            let blocks = codes.chunks(128).zip(x.chunks(128)).zip(scales);
            blocks
                .map(|((codes, x), &scale)| {
                    let products = codes.iter().zip(x).map(|(&code, x)| values[code as usize] * x);
                    f64::from(scale) * products.sum::<f64>()
                })
                .sum()
        };
        matrix.codes.chunks(k).enumerate().map(row).collect()
    };
    x.par_chunks(weights.hidden)
        .zip(&routing.chosen)
        .flat_map_iter(|(x, chosen)| {
            let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
            let mut sum = vec![0.0; weights.hidden];
            for &(expert, weight) in chosen {
                let expert = &weights.each[expert];
                let gate_up = [times(&expert.gate, &x), times(&expert.up, &x)].concat();
                let hidden = activated(&gate_up, weights.intermediate);
                for (sum, y) in sum.iter_mut().zip(times(&expert.down, &hidden)) {
                    *sum += weight * y;
                }
            }
            sum
        })
        .collect()
}
