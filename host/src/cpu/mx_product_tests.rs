use super::*;
use crate::abi::ElementType;
use crate::cpu::decode::decode;
use crate::cpu::kernel::{Scratch, Simd};
use crate::error::Error;
use half::{bf16, f16};

struct Case {
    problem: Mxfp8GroupedMm,
    a: Vec<u8>,
    b: Vec<u8>,
    sfa: Vec<u8>,
    sfb: Vec<u8>,
    sizes: Vec<[i32; 3]>,
    offsets: Vec<i32>,
    scale_offsets: Vec<i32>,
}

/// A small generator of bytes that look random.
fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    }
}

/// Experts one after the other; scales within 2^+-`spread` / 2 of one.
fn case(rows: &[u64], n: u64, k: u64, spread: u8) -> Case {
    let total: u64 = rows.iter().sum();
    let (mut offsets, mut scale_offsets, mut first, mut scale_rows) = (vec![], vec![], 0, 0);
    for &m in rows {
        offsets.push(first as i32);
        scale_offsets.push(scale_rows as i32);
        first += m;
        scale_rows += scale_atoms::padded_rows(m);
    }
    let experts = rows.len() as u64;
    let output = ElementType::Bf16;
    let problem = Mxfp8GroupedMm { rows: total, experts, n, k, scale_rows, output };
    let mut next = noise(total + n * k);
    let mut e4m3 = |count: u64| -> Vec<u8> {
        (0..count).map(|_| next()).map(|b| if b & 0x7f == 0x7f { 0x38 } else { b }).collect()
    };
    let (a, b) = (e4m3(total * k), e4m3(experts * n * k));
    let mut scales = |count: u64| -> Vec<u8> {
        (0..count).map(|_| 127 - spread / 2 + next() % spread.max(1)).collect()
    };
    let (sfa, sfb) = (scales(scale_rows * k / 32), scales(experts * n * k / 32));
    let sizes = rows.iter().map(|&m| [m as i32, n as i32, k as i32]).collect();
    Case { problem, a, b, sfa, sfb, sizes, offsets, scale_offsets }
}

impl Case {
    fn tensors(&self) -> HostMxTensors<'_> {
        HostMxTensors {
            a: &self.a,
            b: &self.b,
            sfa: &self.sfa,
            sfb: &self.sfb,
            problem_sizes: &self.sizes,
            expert_offsets: &self.offsets,
            blockscale_offsets: &self.scale_offsets,
        }
    }

    fn run(&self, fill: bf16) -> (Vec<bf16>, GroupStatus) {
        let mut output = vec![fill; (self.problem.rows * self.problem.n) as usize];
        let to = HostOutput::Bf16(&mut output);
        let status = mxfp8_grouped_mm(&self.problem, &self.tensors(), to).expect("runs");
        (output, status)
    }

    fn scales(&self, expert: usize, row: usize, column: usize, block: usize) -> [u8; 2] {
        let local = row as u64 - self.offsets[expert] as u64 + self.scale_offsets[expert] as u64;
        let weight = (expert as u64 * self.problem.n) + column as u64;
        let at = |row| scale_atoms::offset(row, block as u64, self.problem.k_blocks()) as usize;
        [self.sfa[at(local)], self.sfb[at(weight)]]
    }

    /// The mathematics, one element at a time; the power of two in f64, where it is exact.
    fn element(&self, expert: usize, row: usize, column: usize) -> f32 {
        let (n, k) = (self.problem.n as usize, self.problem.k as usize);
        (0..k / 32).fold(0.0, |acc, block| {
            let sum = (block * 32..(block + 1) * 32).fold(0f32, |sum, i| {
                sum + decode(self.a[row * k + i]) * decode(self.b[(expert * n + column) * k + i])
            });
            let [sfa, sfb] = self.scales(expert, row, column, block);
            if sfa == 255 || sfb == 255 {
                return f32::NAN;
            }
            // Within these tests a scale is an f32.
            let scale = 2f64.powi(i32::from(sfa) + i32::from(sfb) - 254) as f32;
            sum.mul_add(scale, acc)
        })
    }

    fn check(&self) {
        let (output, status) = self.run(bf16::ZERO);
        assert_eq!(status, GroupStatus::OK);
        let n = self.problem.n as usize;
        for (expert, (&[m, ..], &first)) in self.sizes.iter().zip(&self.offsets).enumerate() {
            for row in first as usize..(first + m) as usize {
                for column in 0..n {
                    let expected = bf16::from_f32(self.element(expert, row, column));
                    let given = output[row * n + column];
                    let same = given.to_bits() == expected.to_bits()
                        || given.is_nan() && expected.is_nan();
                    assert!(same, "{given} at {row}, {column}, not {expected}");
                }
            }
        }
    }
}

#[test]
fn every_element_is_the_mathematics_to_the_bit() {
    for (rows, n, k, spread) in [
        (&[1u64][..], 128, 128, 1),
        (&[7, 0, 13], 256, 384, 8),
        (&[200, 3, 97], 128, 256, 60),
        (&[96, 6], 256, 128, 100),
    ] {
        case(rows, n, k, spread).check();
    }
}

#[test]
fn the_baseline_and_the_fast_path_agree() {
    let case = case(&[50, 11], 256, 256, 200);
    let (tensors, problem) = (case.tensors(), &case.problem);
    let groups = groups(problem, &tensors);
    let product = product(problem, &tensors, &groups);
    let (mut fast, mut slow) = (Scratch::default(), Scratch::default());
    for segment in groups::segments(61, groups.iter().map(|scaled| scaled.group)).0 {
        for nb in 0..2 {
            Simd::detect().tile(&product, segment, nb, &mut fast);
            Simd::Baseline.tile(&product, segment, nb, &mut slow);
            let bits = |scratch: &Scratch<VECTOR, AtomScales<'_>>| -> Vec<u32> {
                scratch.rows(segment.rows).flat_map(|(_, row)| row.map(f32::to_bits)).collect()
            };
            assert_eq!(bits(&fast), bits(&slow));
        }
    }
}

#[test]
fn powers_beyond_f32_are_exact() {
    let two = |exponent: i32| 2f64.powi(exponent);
    let sums = [0.0, 1.0, -3e38, 1e-45, -1e-40, 2f32.powi(100)];
    let blocks = [0.0, -0.0, 1.0, -1.5, 2f32.powi(-18), 6_422_528.0, -6_422_527.0, 0.3];
    for exponent in -254..=254 {
        for sum in sums {
            for block in blocks {
                let given = scaled_add(block, exponent, sum);
                let product = f64::from(block) * two(exponent);
                let wide = product + f64::from(sum);
                if !given.is_finite() {
                    assert!(
                        wide.abs() > f64::from(f32::MAX)
                            && given.is_sign_negative() == (wide < 0.0)
                    );
                    continue;
                }
                // f64 has rounded once already, so half a place and a little.
                let error = (f64::from(given) - wide).abs();
                let place = f64::from(given.abs().next_up()) - f64::from(given.abs());
                assert!(error <= 0.500_001 * place, "{block} * 2^{exponent} + {sum} = {given}");
            }
        }
    }
    assert!(scaled_add(0.0, NAN_EXPONENT - 127, 1.0).is_nan());
    assert!(scaled_add(1.0, 2 * NAN_EXPONENT, 1.0).is_nan());
    assert!(scaled_add(f32::NAN, 0, 1.0).is_nan());
}

#[test]
fn scales_at_both_ends_meet_in_the_middle() {
    let mut case = case(&[3], 128, 128, 1);
    case.a.fill(0x38);
    case.b.fill(0x38);
    case.sfa.fill(254);
    case.sfb.fill(0);
    let (output, _) = case.run(bf16::ZERO);
    assert!(output.iter().all(|&value| value == bf16::from_f32(128.0)));
    case.sfb.fill(254);
    assert!(case.run(bf16::ZERO).0.iter().all(|&value| value == bf16::INFINITY));
    case.sfa.fill(0);
    case.sfb.fill(0);
    assert!(case.run(bf16::ONE).0.iter().all(|&value| value == bf16::ZERO));
}

/// Positions of NaN in the output.
fn poisoned(output: &[bf16], n: usize) -> Vec<(usize, usize)> {
    let nan = output.iter().enumerate().filter(|(_, value)| value.to_bits() == 0x7fff);
    nan.map(|(at, _)| (at / n, at % n)).collect()
}

#[test]
fn a_nan_poisons_its_outputs_and_no_other() {
    let good = || case(&[130, 5], 256, 256, 8);
    assert_eq!(poisoned(&good().run(bf16::ZERO).0, 256), []);
    let row = |row| (0..256).map(|column| (row, column)).collect::<Vec<_>>();
    let column =
        |rows: std::ops::Range<usize>, column| rows.map(|row| (row, column)).collect::<Vec<_>>();
    let mut spoilt = good();
    spoilt.a[129 * 256 + 200] = 0xff;
    assert_eq!(poisoned(&spoilt.run(bf16::ZERO).0, 256), row(129));
    let mut spoilt = good();
    spoilt.b[(256 + 77) * 256 + 3] = 0x7f;
    assert_eq!(poisoned(&spoilt.run(bf16::ZERO).0, 256), column(130..135, 77));
    let mut spoilt = good();
    // Scale row 256 + 2 is row 2 of the second expert; the last scale column.
    spoilt.sfa[scale_atoms::offset(258, 7, 2) as usize] = 255;
    assert_eq!(poisoned(&spoilt.run(bf16::ZERO).0, 256), row(132));
    let mut spoilt = good();
    spoilt.sfb[scale_atoms::offset(200, 0, 2) as usize] = 255;
    assert_eq!(poisoned(&spoilt.run(bf16::ZERO).0, 256), column(0..130, 200));
    // Rows of padding serve no output.
    let mut spoilt = good();
    for row in (130..256).chain(261..384) {
        for column in 0..8 {
            spoilt.sfa[scale_atoms::offset(row, column, 2) as usize] = 255;
        }
    }
    assert_eq!(spoilt.run(bf16::ZERO).0, good().run(bf16::ZERO).0);
}

#[test]
fn hostile_tables_are_skipped_and_reported() {
    let fill = bf16::from_f32(7.0);
    let good = || case(&[4, 4, 4], 128, 128, 8);
    let (plain, _) = good().run(fill);
    for (spoil, status) in [
        ((|c: &mut Case| c.scale_offsets[1] = 64) as fn(&mut Case), GroupStatus::SCALE_OFFSET),
        (|c| c.scale_offsets[1] = -128, GroupStatus::SCALE_OFFSET),
        (|c| c.scale_offsets[1] = 384, GroupStatus::SCALES_PAST_THE_END),
        (|c| c.sizes[1][0] = -4, GroupStatus::NEGATIVE_ROWS),
        (|c| c.sizes[1][1] = 256, GroupStatus::WRONG_SHAPE),
        (|c| c.offsets[1] = 9, GroupStatus::PAST_THE_END),
    ] {
        let mut case = good();
        spoil(&mut case);
        let (output, given) = case.run(fill);
        assert_eq!(given, status);
        assert!(output[4 * 128..8 * 128].iter().all(|&value| value == fill), "{status:?}");
        assert_eq!(output[..4 * 128], plain[..4 * 128]);
        assert_eq!(output[8 * 128..], plain[8 * 128..]);
    }
    // Scales are only read, so that experts may share them; rows may not be.
    let mut case = good();
    case.scale_offsets[1] = 0;
    assert_eq!(case.run(fill).1, GroupStatus::OK);
    case.offsets[1] = 2;
    assert_eq!(case.run(fill).1, GroupStatus::OVERLAP);
}

#[test]
fn nothing_is_ordinary() {
    for rows in [&[][..], &[0], &[0, 0, 0]] {
        let (output, status) = case(rows, 128, 128, 1).run(bf16::ZERO);
        assert!(output.is_empty() && status.is_ok());
    }
}

#[test]
fn wrong_lengths_and_types_are_refused() {
    let case = case(&[2], 128, 128, 1);
    let mut output = vec![bf16::ZERO; 256];
    let short = HostMxTensors { sfa: &case.sfa[1..], ..case.tensors() };
    let error = mxfp8_grouped_mm(&case.problem, &short, HostOutput::Bf16(&mut output)).unwrap_err();
    assert!(matches!(error, Error::WrongLength { tensor: "sfa", given: 511, expected: 512, .. }));
    let mut other = vec![f16::ZERO; 256];
    let error = mxfp8_grouped_mm(&case.problem, &case.tensors(), HostOutput::F16(&mut other));
    assert!(matches!(error, Err(Error::WrongElementType { tensor: "output", .. })));
}
