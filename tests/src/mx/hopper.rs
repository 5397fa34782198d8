//! MXFP8 on Hopper: operands become bf16 numbers, and the bf16 tensor core of [`crate::wgmma_model::bf16`] adds them up
//! in one chain over K.
//!
//! A code times its scale is a bf16 number without rounding, as long as it is a normal one: codes have 4 significant bits.
//! The kernel takes the elements of each 128 in another order, that in which its threads hold them.

use super::VECTOR;
use crate::e4m3;
use crate::sweep::COLUMNS;
use crate::wgmma_model::bf16::fast::{Columns, Row, chain};
use crate::wgmma_model::bf16::{STEP, scalar};
use crate::wgmma_model::{BLOCK, NAN_BITS};
use expert_gemm_kernels::abi::scale_atoms::NAN as SCALE_NAN;
use half::bf16;

/// Elements of a block of 128 in the order in which the kernel adds them up, 16 to a step.
pub const ORDER: [usize; BLOCK] = {
    let mut order = [0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        let (step, i) = (place / STEP, place % STEP);
        order[place] = 32 * (i / 4) + 4 * step + i % 4;
        place += 1;
    }
    order
};

/// Whether a row holds a NaN: then all of its outputs are.
fn is_nan(codes: &[u8], scales: &[u8]) -> bool {
    codes.iter().any(|&code| e4m3::is_nan(code)) || scales.contains(&SCALE_NAN)
}

/// The bf16 numbers that stand for a row, in the kernel's order.
pub fn numbers(codes: &[u8], scales: &[u8]) -> Vec<u16> {
    let number = |element: usize| {
        let scale = scales[element / VECTOR];
        let value = match scale {
            SCALE_NAN => f64::NAN,
            _ => f64::from(e4m3::decode(codes[element])) * 2f64.powi(i32::from(scale) - 127),
        };
        bf16::from_f64(value).to_bits()
    };
    let blocks = (0..codes.len()).step_by(BLOCK);
    blocks.flat_map(|block| ORDER.map(|element| number(block + element))).collect()
}

/// One output, by the plain model of the tensor core.
pub fn output(a: &[u8], b: &[u8], scales_a: &[u8], scales_b: &[u8]) -> f32 {
    scalar::chain(&numbers(a, scales_a), &numbers(b, scales_b), 0.0)
}

/// A row of activations.
pub struct Activations {
    numbers: Vec<u16>,
    nan: bool,
}

impl Activations {
    /// Takes a row of codes with its scales.
    pub fn new(codes: &[u8], scales: &[u8]) -> Self {
        Self { numbers: numbers(codes, scales), nan: is_nan(codes, scales) }
    }
}

/// The outputs of some rows and [`COLUMNS`] columns, whose weights have `k` codes each.
pub fn tile(rows: &[&Activations], b: &[u8], scales_b: &[u8], k: usize) -> Vec<[f32; COLUMNS]> {
    let weights = b.chunks(k).zip(scales_b.chunks(k / VECTOR));
    let nan: Vec<bool> = weights.clone().map(|(codes, scales)| is_nan(codes, scales)).collect();
    // One NaN would send the whole tile through the plain model.
    let numbers: Vec<u16> = weights
        .zip(&nan)
        .flat_map(|((codes, scales), &nan)| if nan { vec![0; k] } else { numbers(codes, scales) })
        .collect();
    let columns = Columns::decode(&numbers, k);
    rows.iter()
        .map(|row| {
            let mut sums = [f32::from_bits(NAN_BITS); COLUMNS];
            if !row.nan {
                sums.fill(0.0);
                chain(&Row::decode(&row.numbers), &columns, &mut sums);
                for (sum, _) in sums.iter_mut().zip(&nan).filter(|(_, nan)| **nan) {
                    *sum = f32::from_bits(NAN_BITS);
                }
            }
            sums
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::scale_values::{ScaleValues, Side};
    use super::*;
    use crate::rng::Rng;
    use crate::values::Values;

    #[test]
    fn every_step_takes_four_elements_of_each_scale() {
        assert_eq!(ORDER[..6], [0, 1, 2, 3, 32, 33]);
        assert_eq!(ORDER[16..20], [4, 5, 6, 7]);
        let mut sorted = ORDER;
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(i, &element)| i == element));
    }

    #[test]
    fn numbers_are_codes_times_scales() {
        let mut codes = [0x38; BLOCK];
        codes[36] = 0x01;
        let numbers = numbers(&codes, &[127, 130, 120, 255]);
        assert_eq!((numbers[0], numbers[4]), (0x3F80, 0x4100));
        // Element 36 is the first of scale 1 in the second step: 2^-9 * 2^3.
        assert_eq!(bf16::from_bits(numbers[16 + 4]).to_f32(), 2f32.powi(-6));
        assert!(bf16::from_bits(numbers[12]).is_nan());
    }

    #[test]
    fn tiles_agree_with_the_plain_model() {
        let rng = &mut Rng::new(0x90);
        for round in 0..40 {
            let k = BLOCK * (1 + round % 2);
            let (mut a, mut b) = (vec![0; 3 * k], vec![0; COLUMNS * k]);
            rng.pick(&Values::ALL).fill(rng, &mut a);
            rng.pick(&Values::ALL).fill(rng, &mut b);
            let (mut sa, mut sb) = (vec![0; 3 * k / VECTOR], vec![0; COLUMNS * k / VECTOR]);
            let scales = ScaleValues::BF16[round % 7];
            scales.fill(rng, 7, Side::A, k / VECTOR, &mut sa);
            scales.fill(rng, 7, Side::B, k / VECTOR, &mut sb);
            let rows: Vec<Activations> = a
                .chunks(k)
                .zip(sa.chunks(k / VECTOR))
                .map(|(codes, scales)| Activations::new(codes, scales))
                .collect();
            let got = tile(&rows.iter().collect::<Vec<_>>(), &b, &sb, k);
            for (row, got) in got.iter().enumerate() {
                for (column, got) in got.iter().enumerate() {
                    let a = (&a[row * k..][..k], &sa[row * k / VECTOR..][..k / VECTOR]);
                    let b = (&b[column * k..][..k], &sb[column * k / VECTOR..][..k / VECTOR]);
                    let want = output(a.0, b.0, a.1, b.1);
                    assert_eq!(
                        got.to_bits(),
                        want.to_bits(),
                        "row {row}, column {column}, {scales}"
                    );
                }
            }
        }
    }
}
