//! The rule by hand, and the batches against it and against the test kit's.

use super::*;
use crate::capture::bf16_inputs::{Numbers, Start};
use crate::semantics::tensor::NAN_BITS;
use crate::semantics::tensor::fused::bf16_value;
use expert_gemm_tests::wgmma_model::bf16;

const INFINITY: u16 = 0x7F80;

fn number(x: f32) -> u16 {
    let bits = (x.to_bits() >> 16) as u16;
    assert_eq!(bf16_value(bits), x, "not a bf16 number");
    bits
}

/// Operands that are zero but for the given pairs.
fn sum(products: &[(f32, f32)], acc: f32) -> f32 {
    let (mut a, mut b) = ([0; K16], [0; K16]);
    for (i, &(x, y)) in products.iter().enumerate() {
        // From the ends: the first and the last product are in one sum.
        let k = if i % 2 == 0 { i / 2 } else { K16 - 1 - i / 2 };
        (a[k], b[k]) = (number(x), number(y));
    }
    WGMMA_BF16.dot(acc, &a, &b)
}

fn power(exponent: i32) -> f32 {
    2f32.powi(exponent)
}

#[test]
fn terms_are_cut_25_bits_below_the_largest_exponent() {
    // Products that cancel leave what is below: 2^-25 stays, 2^-26 is gone, and so is a half of three units.
    let big = [(1.0, 1.0), (-1.0, 1.0)];
    assert_eq!(sum(&[&big[..], &[(power(-12), power(-13))]].concat(), 0.0), power(-25));
    assert_eq!(sum(&[&big[..], &[(power(-13), power(-13))]].concat(), 0.0), 0.0);
    assert_eq!(sum(&[&big[..], &[(1.5, -power(-25))]].concat(), 0.0), -power(-25));
    // The accumulator is cut as well, to 25 bits below the products.
    assert_eq!(sum(&[(1.0, 1.0), (-1.0, 1.0)], 1.25 * power(-24)), power(-24));
    // And it takes part in the largest exponent.
    assert_eq!(sum(&[(power(-13), power(-13)), (-1.0, 1.0)], 1.0), 0.0);
}

#[test]
fn products_are_not_renormalised() {
    // 1.5 * 1.5 has the exponent 0: 2^-25 stays beside it.
    let products = [(1.5, 1.5), (-1.5, 1.5), (power(-12), power(-13))];
    assert_eq!(sum(&products, 0.0), power(-25));
}

#[test]
fn the_result_is_cut_to_24_significant_bits() {
    // 1 + 2^-24 has 25; with 2^-23 more it has 25 again, and the last is dropped.
    assert_eq!(sum(&[(1.0, 1.0), (power(-12), power(-12))], 0.0), 1.0);
    assert_eq!(sum(&[(-1.0, 1.0), (-power(-12), 1.5 * power(-11))], 0.0), -1.0 - power(-23));
}

#[test]
fn zeros_take_no_part() {
    // Zero times 2^120 beside a product of 2^-100.
    assert_eq!(sum(&[(0.0, power(120)), (power(-50), power(-50))], 0.0), power(-100));
    assert_eq!(sum(&[(-0.0, 1.0)], -0.0).to_bits(), 0);
}

#[test]
fn subnormal_numbers_and_results() {
    // The smallest bf16 number has the exponent -126: times 2^100 it is 2^-33 with exponent -26, so that of
    // 2^-52 nothing stays, and of 2^-51 all.
    let least = bf16_value(1);
    assert_eq!(sum(&[(least, power(100)), (power(-26), power(-26))], 0.0), power(-33));
    assert_eq!(sum(&[(least, power(100)), (power(-26), power(-25))], 0.0), power(-33) + power(-51));
    // 3 * 2^-150 is cut to 2^-149; twice that is 3 * 2^-149.
    assert_eq!(sum(&[(1.5, power(-74)), (0.0, 0.0)], 0.0), 1.5 * power(-74));
    assert_eq!(sum(&[(1.5 * power(-75), power(-74))], 0.0).to_bits(), 1);
    assert_eq!(sum(&[(1.5 * power(-74), power(-74))], 0.0).to_bits(), 3);
    // Alone, an accumulator keeps every bit.
    assert_eq!(sum(&[], f32::from_bits(0x0012_3457)).to_bits(), 0x0012_3457);
}

#[test]
fn beyond_the_range_and_back() {
    let huge = (power(100), power(100));
    assert_eq!(sum(&[huge, (-power(100), power(100))], 1.0), 0.0);
    assert_eq!(sum(&[huge], 0.0), f32::INFINITY);
    assert_eq!(sum(&[(-power(64), power(64))], 0.0), f32::NEG_INFINITY);
    // Cut, not rounded: the largest number stays itself.
    assert_eq!(sum(&[(power(51), power(51))], f32::MAX), f32::MAX);
}

#[test]
fn infinities_and_nans() {
    let dot = |acc: f32, x: [u16; 2], y: [u16; 2]| WGMMA_BF16.dot(acc, &x, &y).to_bits();
    let one = number(1.0);
    let (plus, minus) = (f32::INFINITY.to_bits(), f32::NEG_INFINITY.to_bits());
    assert_eq!(dot(0.0, [INFINITY, one], [one, one]), plus);
    assert_eq!(dot(0.0, [INFINITY, one], [number(-1.0), one]), minus);
    assert_eq!(dot(f32::NEG_INFINITY, [one, one], [one, one]), minus);
    assert_eq!(dot(f32::NEG_INFINITY, [INFINITY, one], [one, one]), NAN_BITS);
    assert_eq!(dot(0.0, [INFINITY, one], [0, one]), NAN_BITS);
    assert_eq!(dot(0.0, [0x7F81, one], [one, one]), NAN_BITS);
    assert_eq!(dot(f32::from_bits(0xFFC0_0001), [one, one], [one, one]), NAN_BITS);
}

#[test]
fn batches_are_the_rule_and_the_test_kit_agrees() {
    use Numbers::{
        Huge, HugePairs, Large, Moderate, OddHuge, OddZeros, OppositeHugePairs, OppositePairs,
        Pairs, ScaledCodes, Subnormal, Tiny, Wide, WithInfinity, WithNan,
    };
    let kinds = [
        (Moderate, Moderate),
        (ScaledCodes, Moderate),
        (Wide, Wide),
        (Pairs, OppositePairs),
        (Tiny, Tiny),
        (Subnormal, Large),
        (Huge, Huge),
        (HugePairs, OppositeHugePairs),
        (OddZeros, OddHuge),
        (WithInfinity, Moderate),
        (Moderate, WithNan),
    ];
    for (seed, (kind_a, kind_b)) in kinds.into_iter().enumerate() {
        let seed = seed as u64;
        for n in [8, 40, 256] {
            // Rows of 128 numbers are eight rows of K.
            let (a, b) = (kind_a.fill(seed, 8), kind_b.fill(seed + 100, n / 8));
            let start: Vec<f32> = Start::Special(kind_a, kind_b)
                .fill(seed, 64 * n)
                .into_iter()
                .map(f32::from_bits)
                .collect();
            for accumulate in [false, true] {
                let mut d = start.clone();
                wgmma_bf16(&mut d, n, &a, &b, accumulate);
                let mut portable = start.clone();
                if !accumulate {
                    portable.fill(0.0);
                }
                multiply(&mut portable, n, &a, &b);
                for (i, (d, portable)) in d.iter().zip(portable).enumerate() {
                    let a: &[u16; K16] = a[i / n * K16..].first_chunk().unwrap();
                    let b: &[u16; K16] = b[i % n * K16..].first_chunk().unwrap();
                    let acc = if accumulate { start[i] } else { 0.0 };
                    let want = WGMMA_BF16.dot(acc, a, b).to_bits();
                    let got =
                        [d.to_bits(), portable.to_bits(), bf16::scalar::step(a, b, acc).to_bits()];
                    assert_eq!(got, [want; 3], "{kind_a:?} {kind_b:?} {acc:e} {a:04x?} {b:04x?}");
                }
            }
        }
    }
}
