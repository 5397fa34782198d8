//! The rule by hand, and the batches against it, against the test kit's, and against one in floating point.

use super::*;
use crate::capture::{bf16_inputs, f16_inputs};
use crate::semantics::tensor::NAN_BITS;
use expert_gemm_tests::wgmma_model::bf16;

const RULES: [FusedSum; 2] = [WGMMA_BF16, WGMMA_F16];

const fn infinity(half: Half) -> u16 {
    match half {
        Half::F16 => 0x7C00,
        Half::Bf16 => 0x7F80,
    }
}

fn number(half: Half, x: f32) -> u16 {
    let bits = match half {
        Half::F16 => half::f16::from_f32(x).to_bits(),
        Half::Bf16 => half::bf16::from_f32(x).to_bits(),
    };
    assert_eq!(half.value(bits), x, "no {half:?} number");
    bits
}

/// Operands that are zero but for the given pairs.
fn sum_of(rule: FusedSum, products: &[(f32, f32)], acc: f32) -> f32 {
    let (mut a, mut b) = ([0; K16], [0; K16]);
    for (i, &(x, y)) in products.iter().enumerate() {
        // From the ends: the first and the last product are in one sum.
        let k = if i % 2 == 0 { i / 2 } else { K16 - 1 - i / 2 };
        (a[k], b[k]) = (number(rule.element, x), number(rule.element, y));
    }
    rule.dot(acc, &a, &b)
}

/// The same for both types, where both have the numbers.
fn sum(products: &[(f32, f32)], acc: f32) -> f32 {
    let [x, y] = RULES.map(|rule| sum_of(rule, products, acc));
    assert_eq!(x.to_bits(), y.to_bits(), "{products:?} {acc:e}");
    x
}

/// For what only the wider range has.
fn sum_bf16(products: &[(f32, f32)], acc: f32) -> f32 {
    sum_of(WGMMA_BF16, products, acc)
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
    assert_eq!(sum(&[&big[..], &[(1.5 * power(-12), -power(-13))]].concat(), 0.0), -power(-25));
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
    assert_eq!(sum_bf16(&[(0.0, power(120)), (power(-50), power(-50))], 0.0), power(-100));
    assert_eq!(sum(&[(-0.0, 1.0)], -0.0).to_bits(), 0);
    assert_eq!(sum(&[(0.0, power(15)), (power(-10), power(-14))], 0.0), power(-24));
}

#[test]
fn subnormal_bf16_numbers_and_results() {
    // The smallest bf16 number has the exponent -126: times 2^100 it is 2^-33 with exponent -26, so that of
    // 2^-52 nothing stays, and of 2^-51 all.
    let least = Half::Bf16.value(1);
    assert_eq!(sum_bf16(&[(least, power(100)), (power(-26), power(-26))], 0.0), power(-33));
    assert_eq!(
        sum_bf16(&[(least, power(100)), (power(-26), power(-25))], 0.0),
        power(-33) + power(-51)
    );
    // 3 * 2^-150 is cut to 2^-149; twice that is 3 * 2^-149.
    assert_eq!(sum_bf16(&[(1.5, power(-74)), (0.0, 0.0)], 0.0), 1.5 * power(-74));
    assert_eq!(sum_bf16(&[(1.5 * power(-75), power(-74))], 0.0).to_bits(), 1);
    assert_eq!(sum_bf16(&[(1.5 * power(-74), power(-74))], 0.0).to_bits(), 3);
    // Alone, an accumulator keeps every bit.
    assert_eq!(sum_bf16(&[], f32::from_bits(0x0012_3457)).to_bits(), 0x0012_3457);
}

#[test]
fn subnormal_f16_numbers() {
    let sum = |products: &[(f32, f32)], acc| sum_of(WGMMA_F16, products, acc);
    // All have the exponent -14, even the smallest, 2^-24: times 2^14 it is 2^-10 with the exponent 0, beside which
    // 2^-25 stays and 2^-26 does not.
    let least = power(-24);
    assert_eq!(sum(&[(least, power(14)), (power(-12), power(-13))], 0.0), power(-10) + power(-25));
    assert_eq!(sum(&[(least, power(14)), (power(-13), power(-13))], 0.0), power(-10));
    // A core that shifts them first would have the exponent -10 there, and keep more.
    let shifted = FusedSum { normalised: true, ..WGMMA_F16 };
    let products = [(least, power(14)), (power(-13), power(-13))];
    assert_eq!(sum_of(shifted, &products, 0.0), power(-10) + power(-26));
    // Beside their products nothing is lost: they are multiples of 2^-48, 20 bits below the exponent -28.
    assert_eq!(
        sum(&[(least, least), (1023.0 * least, 1023.0 * least)], 0.0),
        1_046_530.0 * power(-48)
    );
    assert_eq!(sum(&[(least, least), (-least, least)], 0.0).to_bits(), 0);
    // Times a normal number, with an accumulator that decides.
    assert_eq!(sum(&[(3.0 * least, 65_504.0)], 1.0), 1.0 + 3.0 * 65_504.0 * least);
    assert_eq!(sum(&[(least, 1.0)], -2.0), -2.0 + power(-23));
    assert_eq!(sum(&[(least, 0.5)], -2.0), -2.0);
}

#[test]
fn beyond_the_range_and_back() {
    let huge = (power(100), power(100));
    assert_eq!(sum_bf16(&[huge, (-power(100), power(100))], 1.0), 0.0);
    assert_eq!(sum_bf16(&[huge], 0.0), f32::INFINITY);
    assert_eq!(sum_bf16(&[(-power(64), power(64))], 0.0), f32::NEG_INFINITY);
    // f16 alone gets there only with an accumulator, and not by rounding.
    assert_eq!(sum_of(WGMMA_F16, &[(-65_504.0, 65_504.0)], -f32::MAX), -f32::MAX);
    assert_eq!(sum(&[(1.0, 1.0)], f32::MAX), f32::MAX);
    // Cut, not rounded: the largest number stays itself.
    assert_eq!(sum_bf16(&[(power(51), power(51))], f32::MAX), f32::MAX);
}

#[test]
fn infinities_and_nans() {
    for rule in RULES {
        let dot = |acc: f32, x: [u16; 2], y: [u16; 2]| rule.dot(acc, &x, &y).to_bits();
        let (one, minus_one) = (number(rule.element, 1.0), number(rule.element, -1.0));
        let infinity = infinity(rule.element);
        let (plus, minus) = (f32::INFINITY.to_bits(), f32::NEG_INFINITY.to_bits());
        assert_eq!(dot(0.0, [infinity, one], [one, one]), plus);
        assert_eq!(dot(0.0, [infinity, one], [minus_one, one]), minus);
        assert_eq!(dot(f32::NEG_INFINITY, [one, one], [one, one]), minus);
        assert_eq!(dot(f32::NEG_INFINITY, [infinity, one], [one, one]), NAN_BITS);
        assert_eq!(dot(0.0, [infinity, one], [0, one]), NAN_BITS);
        assert_eq!(dot(0.0, [infinity + 1, one], [one, one]), NAN_BITS);
        assert_eq!(dot(f32::from_bits(0xFFC0_0001), [one, one], [one, one]), NAN_BITS);
    }
}

/// Both forms of the batches against the rule and against another model of it, for every output.
fn compare(
    half: Half,
    [n, from]: [usize; 2],
    (a, b, start): (&[u16], &[u16], &[u32]),
    model: impl Fn(&[u16; K16], &[u16; K16], f32) -> f32,
) {
    let rule = RULES[usize::from(half == Half::F16)];
    let start: Vec<f32> = start.iter().copied().map(f32::from_bits).collect();
    for accumulate in [false, true] {
        let mut d = start.clone();
        wgmma_half(half, &mut d, n, a, b, accumulate);
        let mut portable = start.clone();
        if !accumulate {
            portable.fill(0.0);
        }
        multiply(half, &mut portable, n, a, b);
        for (i, (d, portable)) in d.iter().zip(portable).enumerate() {
            let a: &[u16; K16] = a[i / n * K16..].first_chunk().unwrap();
            let b: &[u16; K16] = b[i % n * K16..].first_chunk().unwrap();
            let acc = if accumulate { start[i] } else { 0.0 };
            let want = rule.dot(acc, a, b).to_bits();
            let got = [d.to_bits(), portable.to_bits(), model(a, b, acc).to_bits()];
            assert_eq!(got, [want; 3], "{from}: {acc:e} {a:04x?} {b:04x?}");
        }
    }
}

#[test]
fn batches_of_bf16_are_the_rule_and_the_test_kit_agrees() {
    use bf16_inputs::Numbers::{
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
    for (from, (kind_a, kind_b)) in kinds.into_iter().enumerate() {
        let seed = from as u64;
        for n in [8, 40, 256] {
            // Rows of 128 numbers are eight rows of K.
            let (a, b) = (kind_a.fill(seed, 8), kind_b.fill(seed + 100, n / 8));
            let start = bf16_inputs::Start::Special(kind_a, kind_b).fill(seed, 64 * n);
            compare(Half::Bf16, [n, from], (&a, &b, &start), bf16::scalar::step);
        }
    }
}

/// The rule for f16 once more, in binary64, which holds every product and every sum of terms exactly.
fn in_floating_point(a: &[u16; K16], b: &[u16; K16], acc: f32) -> f32 {
    let wide = |x: &u16| half::f16::from_bits(*x).to_f64();
    let products: Vec<f64> = a.iter().zip(b).map(|(x, y)| wide(x) * wide(y)).collect();
    let terms = || products.iter().copied().chain([f64::from(acc)]);
    let any = |x: f64| terms().any(|term| term == x);
    if terms().any(f64::is_nan) || any(f64::INFINITY) && any(f64::NEG_INFINITY) {
        return f32::from_bits(NAN_BITS);
    }
    if let Some(infinite) = terms().find(|term| term.is_infinite()) {
        return infinite as f32;
    }
    let exponent = |x: f64, least: i32| {
        let exponent = (0..).zip(-160..160).find(|&(_, e)| x.abs() < 2f64.powi(e + 1));
        exponent.map_or(160, |(_, e)| e).max(least)
    };
    let pairs = a.iter().zip(b).map(|(x, y)| (wide(x), wide(y)));
    let of_products = pairs
        .filter(|&(x, y)| x * y != 0.0)
        .map(|(x, y)| exponent(x, -14) + exponent(y, -14))
        .max();
    let of_acc = (acc != 0.0).then(|| exponent(acc.into(), -126));
    let Some(largest) = of_products.max(of_acc) else { return 0.0 };
    let unit = 2f64.powi(largest - 25);
    let sum: f64 = terms().map(|term| (term / unit).trunc()).sum::<f64>() * unit;
    // Toward zero: the nearest binary32 number, or the one before it.
    let nearest = sum as f32;
    if f64::from(nearest).abs() <= sum.abs() {
        // An exact zero is positive.
        return nearest + 0.0;
    }
    f32::from_bits(nearest.to_bits() - 1)
}

#[test]
fn batches_of_f16_are_the_rule_and_so_is_floating_point() {
    use f16_inputs::Numbers::{
        Gaussian, Large, Mixed, Moderate, OddLarge, OddZeros, OppositePairs, Pairs, ScaledCodes,
        Subnormal, Tiny, Wide, WithInfinity, WithNan,
    };
    use f16_inputs::Start::{Like, Special, Spread};
    let kinds = [
        (Gaussian, Gaussian),
        (ScaledCodes, ScaledCodes),
        (Wide, Wide),
        (Pairs, OppositePairs),
        (Tiny, Tiny),
        (Subnormal, Large),
        (Subnormal, Subnormal),
        (Mixed, Mixed),
        (OddZeros, OddLarge),
        (WithInfinity, Moderate),
        (Moderate, WithNan),
    ];
    for (from, (kind_a, kind_b)) in kinds.into_iter().enumerate() {
        let seed = from as u64;
        for (n, start) in
            [(8, Special(kind_a, kind_b)), (40, Spread(kind_a, kind_b)), (64, Like(kind_a, kind_b))]
        {
            let (a, b) = (kind_a.fill(seed, 8), kind_b.fill(seed + 100, n / 8));
            let start = start.fill(seed, 64 * n);
            compare(Half::F16, [n, from], (&a, &b, &start), in_floating_point);
        }
    }
}
