//! How far from the exact result a correct Hopper kernel may be: the error bound that we publish.
//!
//! Per step of 32 products, with `E` the largest exponent among the terms, each of the 33 truncations loses
//! less than `2^(E - 13)`, and truncating the sum to 13 explicit bits loses less than `2^-13` of it. The terms
//! are bounded by the operands alone, with `A` the sum of `|a b|` over the block so far:
//! `2^E <= max(largest product exponent, A)`. Promotion adds one rounding of the scale, and one of the sum,
//! per block; the conversion adds half a unit of the output type.

use crate::e4m3;
use crate::narrow::half_ulp;
use crate::wgmma_model::{BLOCK, FRACTION_BITS, STEP};
use expert_gemm_kernels::abi::ElementType;

/// Relative rounding error of one f32 operation.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;

/// Largest distance between the tensor core's sum over one scale block and the exact one.
pub fn block(a: &[u8], b: &[u8]) -> f64 {
    let unit = 2f64.powi(-FRACTION_BITS);
    let mut magnitude_so_far = 0.0;
    let mut error = 0.0;
    for (a, b) in a.chunks(STEP).zip(b.chunks(STEP)) {
        let products = a.iter().zip(b).filter(|&(&a, &b)| a & 0x7F != 0 && b & 0x7F != 0);
        let largest = products
            .clone()
            .map(|(&a, &b)| 2f64.powi(e4m3::exponent(a) + e4m3::exponent(b)))
            .fold(0.0, f64::max);
        let accumulator: f64 = magnitude_so_far + error;
        magnitude_so_far += products
            .map(|(&a, &b)| f64::from(e4m3::decode(a)) * f64::from(e4m3::decode(b)))
            .map(f64::abs)
            .sum::<f64>();
        let lost_by_terms = (STEP as f64 + 1.0) * unit * largest.max(accumulator);
        let lost_by_result = unit * (magnitude_so_far + error);
        error += lost_by_terms + lost_by_result;
    }
    error
}

/// Largest distance between an f32 sum of one scale block in any order and the exact one: 127 additions,
/// each of which rounds once.
pub fn block_in_f32(a: &[u8], b: &[u8]) -> f64 {
    (BLOCK - 1) as f64 * ROUNDING * magnitude(a, b)
}

/// Largest distance between an output and the exact one, from the rows of codes and scales that meet in it.
///
/// `block_error` bounds the error of one scale block: [`block()`] for the tensor core, [`block_in_f32`] for
/// the CPU backend.
pub fn output(
    a: &[u8],
    b: &[u8],
    scales_a: &[f32],
    scales_b: &[f32],
    to: ElementType,
    block_error: fn(&[u8], &[u8]) -> f64,
) -> f64 {
    let mut error = 0.0;
    let mut total = 0.0;
    for (kb, (a, b)) in a.chunks(BLOCK).zip(b.chunks(BLOCK)).enumerate() {
        let scale = (f64::from(scales_a[kb]) * f64::from(scales_b[kb])).abs();
        let block_error = block_error(a, b);
        let scaled = scale * (magnitude(a, b) + block_error);
        total += scaled;
        // The block's own error, the rounding of the scale, and the rounding of the running sum.
        error += scale * block_error + scaled * ROUNDING + (total + error) * ROUNDING;
    }
    error + half_ulp(total + error, to)
}

/// Sum of the absolute products.
fn magnitude(a: &[u8], b: &[u8]) -> f64 {
    let product = |(&a, &b): (&u8, &u8)| f64::from(e4m3::decode(a)) * f64::from(e4m3::decode(b));
    a.iter().zip(b).map(product).map(f64::abs).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Spec;
    use crate::values::Values;
    use crate::{narrow::widen, reference, wgmma_model};

    #[test]
    fn no_output_of_the_model_leaves_the_bound() {
        let mut largest = 0.0f64;
        for seed in 0..60 {
            let mut spec = Spec::random(seed, 3000);
            spec.values =
                spec.values.map(|v| if v == Values::WithNan { Values::Uniform } else { v });
            let problem = spec.build();
            let modelled = wgmma_model::grouped(&problem, 0);
            let exact = reference::grouped(&problem);
            for (i, (&bits, exact)) in modelled.iter().zip(exact).enumerate() {
                let Some(exact) = exact else { continue };
                let value = f64::from(widen(bits, spec.output));
                if value.is_infinite() {
                    continue; // Beyond the range of f16, where half a unit says nothing.
                }
                let (row, column) = (i / spec.n, i % spec.n);
                let expert = problem.routing.owners()[row].expect("the row has an output");
                let bound = output(
                    problem.a_row(row),
                    problem.b_rows(expert, column, 1),
                    problem.scales_a_row(row),
                    problem.scales_b_row(expert, column),
                    spec.output,
                    block,
                );
                let share = (value - exact).abs() / bound;
                assert!(
                    share <= 1.0,
                    "{share} of the bound at row {row} column {column} of {spec}"
                );
                largest = largest.max(share);
            }
        }
        assert!(largest > 0.1, "the bound is slack: {largest}");
    }
}
