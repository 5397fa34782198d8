//! The batches against the plain forms, and the plain forms against other ways to compute the same.

use std::time::Instant;

use expert_gemm_tests::wgmma_model::scalar;

use super::mma_sync::Family;
use super::operand::{E4M3, E4m3};
use super::*;

/// A small generator (splitmix64), so that every failure can be repeated.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn finite_code(&mut self) -> u8 {
        loop {
            let code = self.next() as u8;
            if code & 0x7F != 0x7F {
                return code;
            }
        }
    }

    /// Operand codes of one of several kinds, from all codes to all zeros.
    fn codes(&mut self, kind: u64, len: usize) -> Vec<u8> {
        let sign = |r: u64| (r as u8) & 0x80;
        (0..len)
            .map(|_| match kind {
                // Subnormals and zeros.
                1 => (self.below(8) as u8) | sign(self.next()),
                // The two ends of the range.
                2 if self.below(2) == 0 => 0x7E | sign(self.next()),
                2 => 0x01 | sign(self.next()),
                // Mostly zeros.
                3 if self.below(8) != 0 => sign(self.next()),
                // One binade, one sign: sums grow.
                4 => 0x38 | self.below(8) as u8,
                5 => sign(self.next()),
                // A few NaNs.
                6 if self.below(200) == 0 => 0x7F | sign(self.next()),
                _ => self.finite_code(),
            })
            .collect()
    }

    fn any_codes(&mut self, len: usize) -> Vec<u8> {
        let kind = self.below(8);
        self.codes(kind, len)
    }

    fn accumulators(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.accumulator()).collect()
    }

    fn accumulator(&mut self) -> f32 {
        let kind = self.below(9);
        let sign = (self.next() as u32) & 0x8000_0000;
        let fraction = (self.next() as u32) & 0x7F_FFFF;
        f32::from_bits(match kind {
            0 => 0,
            1 => sign,
            2 => sign | fraction,
            // Near the products.
            3 => sign | (((100 + self.below(50)) as u32) << 23) | fraction,
            4 => sign | (((self.below(255)) as u32) << 23) | fraction,
            5 => sign | 0x7F80_0000,
            6 => self.next() as u32,
            7 => sign | 0x7F80_0000 | fraction,
            _ => sign | (127 << 23) | (fraction & !0x3FF),
        })
    }
}

fn equal(x: f32, y: f32) -> bool {
    x.to_bits() == y.to_bits()
}

fn row(codes: &[u8], i: usize) -> &[u8; K] {
    codes[i * K..][..K].try_into().unwrap()
}

#[test]
fn codes_taken_apart_have_their_values() {
    for code in 0..=255u8 {
        let x = E4M3[code as usize];
        assert_eq!(x, E4m3::decode(code));
        let expected = expert_gemm_tests::e4m3::decode(code);
        assert_eq!(x.nan, expected.is_nan());
        assert_eq!(x.value(), if x.nan { 0.0 } else { expected });
    }
}

#[test]
fn wgmma_of_every_pair_of_codes() {
    for x in 0..=255u8 {
        for y in 0..=255u8 {
            let (mut a, mut b) = ([0; K], [0; K]);
            let k = (x ^ y) as usize % K;
            (a[k], b[k]) = (x, y);
            let got = hopper_dot32(0.0, &a, &b);
            let exact = expert_gemm_tests::e4m3::decode(x) * expert_gemm_tests::e4m3::decode(y);
            if exact.is_nan() {
                assert_eq!(got.to_bits(), NAN_BITS);
            } else {
                // A single product has eight bits: nothing is cut.
                assert!(equal(got, exact + 0.0), "{x:#x} {y:#x}");
            }
            assert!(equal(got, scalar::step(&a, &b, 0.0)));
            assert!(equal(got, blackwell_dot32(0.0, &a, &b)));
        }
    }
}

#[test]
fn wgmma_batch_plain_form_and_model_agree() {
    let mut rng = Rng(1);
    for case in 0..1500 {
        let n = 8 * (1 + rng.below(32) as usize);
        let a = rng.codes(case % 8, 64 * K);
        let b = rng.any_codes(n * K);
        let before = rng.accumulators(64 * n);
        let accumulate = case % 5 != 0;
        let mut d = before.clone();
        wgmma_e4m3(&mut d, n, &a, &b, accumulate);
        for (at, (&got, &acc)) in d.iter().zip(&before).enumerate() {
            // The plain form is slow: a sample of each tile, but all of some.
            if case % 50 != 0 && at % 13 != 0 {
                continue;
            }
            let acc = if accumulate { acc } else { 0.0 };
            let (a, b) = (row(&a, at / n), row(&b, at % n));
            let plain = hopper_dot32(acc, a, b);
            assert!(equal(got, plain), "case {case} at {at}: {got:?} {plain:?}, acc {acc:?}");
            if acc.is_finite() || acc.is_nan() {
                assert!(equal(plain, scalar::step(a, b, acc)), "case {case} at {at}, acc {acc:?}");
            }
        }
    }
}

#[test]
fn wgmma_truncates_where_measured() {
    let one_hot = |values: &[(usize, u8)]| {
        let mut codes = [0; K];
        for &(k, code) in values {
            codes[k] = code;
        }
        codes
    };
    let ones = [0x38; K];
    // 1 + 2^-9 * 2^-4: exactly 13 places below, kept. One place further: lost.
    let a = one_hot(&[(0, 0x38), (1, 0x01)]);
    assert_eq!(hopper_dot32(0.0, &a, &one_hot(&[(0, 0x38), (1, 0x18)])), 1.0 + 2f32.powi(-13));
    assert_eq!(hopper_dot32(0.0, &a, &one_hot(&[(0, 0x38), (1, 0x10)])), 1.0);
    // The accumulator loses its low bits too, and toward zero for both signs.
    let acc = f32::from_bits(0x3F80_03FF);
    assert_eq!(hopper_dot32(acc, &[0; K], &ones), 1.0);
    assert_eq!(hopper_dot32(-acc, &[0; K], &ones), -1.0);
    // Zeros with signs make a positive zero.
    assert!(equal(hopper_dot32(-0.0, &[0x80; K], &ones), 0.0));
    // Infinity stays, NaN wins.
    assert_eq!(hopper_dot32(f32::NEG_INFINITY, &ones, &ones), f32::NEG_INFINITY);
    assert_eq!(hopper_dot32(f32::INFINITY, &[0xFF; K], &ones).to_bits(), NAN_BITS);
    assert_eq!(hopper_dot32(f32::from_bits(0xFFC0_1234), &ones, &ones).to_bits(), NAN_BITS);
}

/// The Blackwell rule in another arithmetic: exact binary64 terms, truncated by `trunc`.
fn blackwell_in_f64(acc: f32, a: &[u8; K], b: &[u8; K], scale: i32) -> f32 {
    let exponents = a.iter().zip(b).filter(|(x, y)| *x & 0x7F != 0 && *y & 0x7F != 0);
    let largest = exponents.map(|(x, y)| E4M3[*x as usize].exponent + E4M3[*y as usize].exponent);
    let acc_exponent = (acc != 0.0).then(|| ((acc.to_bits() >> 23 & 0xFF) as i32).max(1) - 127);
    let Some(e) = largest.map(|e| e + scale).chain(acc_exponent).max() else { return 0.0 };
    let to_unit = |x: f64, shift: i32| (x * 2f64.powi(shift)).trunc();
    let value = |code: u8| f64::from(E4M3[code as usize].value());
    let mut sum = to_unit(f64::from(acc), 25 - e);
    for (&x, &y) in a.iter().zip(b) {
        sum += to_unit(value(x) * value(y), 25 - e + scale);
    }
    if sum == 0.0 {
        return 0.0;
    }
    // A sum that is not zero keeps its sign, even where it is cut to zero.
    let exact = sum * 2f64.powi(e - 25);
    let nearest = exact as f32;
    if f64::from(nearest).abs() > exact.abs() && nearest.is_finite() {
        f32::from_bits(nearest.to_bits() - 1)
    } else if nearest.is_infinite() && exact.abs() < 2f64.powi(128) {
        f32::MAX.copysign(nearest)
    } else {
        nearest
    }
}

#[test]
fn blackwell_batches_plain_form_and_binary64_agree() {
    let mut rng = Rng(2);
    for case in 0..600 {
        let n = 8 * (1 + rng.below(32) as usize);
        let m = 32 * (1 + rng.below(4) as usize);
        let a = rng.codes(case % 8, m * K);
        let b = rng.any_codes(n * K);
        let spread = [1, 8, 120, 256][case as usize % 4];
        let mut scales = |len: usize| -> Vec<u8> {
            (0..len).map(|_| (128 - spread / 2 + rng.below(spread)) as u8).collect()
        };
        let (scales_a, scales_b) = (scales(m), scales(n));
        let before = rng.accumulators(m * n);
        let accumulate = case % 5 != 0;
        let mut d = before.clone();
        tcgen05_e4m3_block_scaled(&mut d, n, &a, &b, &scales_a, &scales_b, accumulate);
        let mut unscaled = before.clone();
        tcgen05_e4m3(&mut unscaled, n, &a, &b, accumulate);
        for at in (0..m * n).step_by(if case % 50 == 0 { 1 } else { 13 }) {
            let acc = if accumulate { before[at] } else { 0.0 };
            let (i, j) = (at / n, at % n);
            let (a, b) = (row(&a, i), row(&b, j));
            let plain = blackwell_dot32_block_scaled(acc, a, b, scales_a[i], scales_b[j]);
            assert!(equal(d[at], plain), "case {case} at {at}: {:?} {plain:?}, acc {acc:?}", d[at]);
            assert!(equal(unscaled[at], blackwell_dot32(acc, a, b)), "case {case} at {at}");
            let nan = a.iter().chain(b).any(|c| c & 0x7F == 0x7F)
                || scales_a[i] == 255
                || scales_b[j] == 255;
            if acc.is_finite() && !nan {
                let scale = i32::from(scales_a[i]) + i32::from(scales_b[j]) - 254;
                let other = blackwell_in_f64(acc, a, b, scale);
                assert!(equal(plain, other), "case {case} at {at}: {plain:?} {other:?} {acc:?}");
            } else if nan || acc.is_nan() {
                assert_eq!(plain.to_bits(), NAN_BITS);
            } else {
                assert_eq!(plain, acc);
            }
        }
    }
}

#[test]
fn blackwell_keeps_more_than_hopper() {
    // 1 + 2^-18: lost by thirteen bits, kept by 25.
    let (mut a, mut b) = ([0; K], [0; K]);
    (a[0], b[0]) = (0x38, 0x38);
    (a[1], b[1]) = (0x01, 0x01);
    assert_eq!(hopper_dot32(0.0, &a, &b), 1.0);
    assert_eq!(blackwell_dot32(0.0, &a, &b), 1.0 + 2f32.powi(-18));
    // Scales multiply the products, not the accumulator.
    assert_eq!(
        blackwell_dot32_block_scaled(3.0, &a, &[0x38; K], 130, 126),
        3.0 + 4.0 + 2f32.powi(-7)
    );
    // The ends of the range.
    let ones = [0x38; K];
    assert_eq!(blackwell_dot32_block_scaled(0.0, &ones, &ones, 254, 254), f32::INFINITY);
    assert!(equal(blackwell_dot32_block_scaled(0.0, &ones, &ones, 0, 0), 0.0));
    assert_eq!(blackwell_dot32_block_scaled(0.0, &ones, &ones, 100, 0).to_bits(), 1);
    assert_eq!(blackwell_dot32_block_scaled(0.0, &ones, &ones, 255, 127).to_bits(), NAN_BITS);
}

#[test]
fn mma_batches_equal_the_plain_form() {
    let mut rng = Rng(3);
    for case in 0..2000 {
        let (a, b) = (rng.codes(case % 8, 16 * K), rng.any_codes(8 * K));
        let before = rng.accumulators(128);
        for family in [Family::Ada, Family::BlackwellRtx] {
            let mut d = before.clone();
            mma_e4m3(family, &mut d, &a, &b);
            for (at, (&got, &acc)) in d.iter().zip(&before).enumerate() {
                let plain = mma_dot32(family, acc, row(&a, at / 8), row(&b, at % 8));
                assert!(equal(got, plain), "{family:?} case {case} at {at}");
            }
        }
    }
    // Ada adds up the small terms of the first half before the large one of the second cuts them off.
    let (mut a, mut b) = ([0; K], [0; K]);
    a[..16].fill(0x01);
    b[..16].fill(0x10);
    (a[16], b[16]) = (0x38, 0x38);
    assert_eq!(mma_dot32(Family::Ada, 0.0, &a, &b), 1.0 + 2f32.powi(-10));
    assert_eq!(hopper_dot32(0.0, &a, &b), 1.0);
}

#[test]
fn without_vector_instructions_the_bits_are_the_same() {
    let mut rng = Rng(5);
    for case in 0..40 {
        let n = 8 * (1 + rng.below(12) as usize);
        let (a, b) = (rng.codes(case % 8, 64 * K), rng.any_codes(n * K));
        let before = rng.accumulators(64 * n);
        let bits = |d: &[f32]| -> Vec<u32> { d.iter().map(|x| x.to_bits()).collect() };
        let (mut fast, mut plain) = (before.clone(), before.clone());
        wgmma_e4m3(&mut fast, n, &a, &b, true);
        lanes::multiply_any::<hopper::Hopper>(&mut plain, n, &a, &b, true, None);
        assert_eq!(bits(&fast), bits(&plain));
        let (mut fast, mut plain) = (before.clone(), before);
        tcgen05_e4m3(&mut fast, n, &a, &b, true);
        lanes::multiply_any::<blackwell::Blackwell>(&mut plain, n, &a, &b, true, None);
        assert_eq!(bits(&fast), bits(&plain));
    }
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let mut rng = Rng(4);
    let (a, b) = (rng.codes(0, 64 * K), rng.codes(0, 256 * K));
    let (scales_a, scales_b) = (vec![120; 64], vec![130; 256]);
    let report = |name: &str, dots: usize, step: &mut dyn FnMut()| {
        let start = Instant::now();
        let mut rounds = 0u32;
        while start.elapsed().as_millis() < 500 {
            step();
            rounds += 1;
        }
        let ns = start.elapsed().as_nanos() as f64 / f64::from(rounds) / dots as f64;
        println!("{name}: {ns:.2} ns per 32-term sum, {:.2} GMAC/s", 32.0 / ns);
    };
    for n in [8, 16, 64, 128, 192, 256] {
        let mut d = vec![0.0; 64 * n];
        let b = &b[..n * K];
        report(&format!("wgmma n{n}"), 64 * n, &mut || wgmma_e4m3(&mut d, n, &a, b, true));
    }
    let mut d = vec![0.0; 64 * 256];
    report("tcgen05 block-scaled n256", 64 * 256, &mut || {
        tcgen05_e4m3_block_scaled(&mut d, 256, &a, &b, &scales_a, &scales_b, true);
    });
    let mut d = vec![0.0; 128];
    report("mma.sync sm_89", 128, &mut || {
        mma_e4m3(Family::Ada, &mut d, &a[..16 * K], &b[..8 * K]);
    });
    report("plain form", 64, &mut || {
        for i in 0..64 {
            std::hint::black_box(hopper_dot32(1.0, row(&a, i), row(&b, i)));
        }
    });
}
