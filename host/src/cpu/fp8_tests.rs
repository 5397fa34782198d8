use super::*;
use crate::abi::ElementType;
use crate::cpu::decode::decode;
use crate::cpu::kernel::{Scratch, Simd};
use crate::error::Error;
use half::{bf16, f16};

struct Case {
    problem: Fp8GroupedMm,
    a: Vec<u8>,
    b: Vec<u8>,
    scales_a: Vec<f32>,
    scales_b: Vec<f32>,
    sizes: Vec<[i32; 3]>,
    offsets: Vec<i32>,
}

/// A small generator of numbers that look random.
fn noise(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    }
}

fn case(rows: &[usize], n: u64, k: u64, output: ElementType) -> Case {
    let total: usize = rows.iter().sum();
    let problem = Fp8GroupedMm { rows: total as u64, experts: rows.len() as u64, n, k, output };
    let mut next = noise(total as u64 + n * k);
    let mut e4m3 = |count: u64| -> Vec<u8> {
        (0..count).map(|_| next() as u8).map(|b| if b & 0x7f == 0x7f { 0x38 } else { b }).collect()
    };
    let (a, b) = (e4m3(problem.rows * k), e4m3(problem.experts * n * k));
    let mut scales = |count: u64| -> Vec<f32> {
        (0..count).map(|_| (next() % 1000) as f32 * 1e-3 - 0.3).collect()
    };
    let scales_a = scales(problem.rows * problem.k_blocks());
    let scales_b = scales(problem.experts * problem.n_blocks() * problem.k_blocks());
    let sizes = rows.iter().map(|&m| [m as i32, n as i32, k as i32]).collect();
    let offsets = rows
        .iter()
        .scan(0, |offset, &m| {
            *offset += m as i32;
            Some(*offset - m as i32)
        })
        .collect();
    Case { problem, a, b, scales_a, scales_b, sizes, offsets }
}

impl Case {
    fn tensors(&self) -> HostTensors<'_> {
        HostTensors {
            a: &self.a,
            b: &self.b,
            scales_a: &self.scales_a,
            scales_b: &self.scales_b,
            problem_sizes: &self.sizes,
            expert_offsets: &self.offsets,
        }
    }

    fn run(&self, fill: bf16) -> (Vec<bf16>, GroupStatus) {
        let mut output = vec![fill; (self.problem.rows * self.problem.n) as usize];
        let status = fp8_grouped_mm(&self.problem, &self.tensors(), HostOutput::Bf16(&mut output))
            .expect("runs");
        (output, status)
    }

    /// The mathematics, one element at a time.
    fn element(&self, expert: usize, row: usize, column: usize) -> f32 {
        let (n, k) = (self.problem.n as usize, self.problem.k as usize);
        let (nb, kb) = (n / BLOCK, k / BLOCK);
        (0..kb).fold(0.0, |acc, block| {
            let sum = (block * BLOCK..(block + 1) * BLOCK).fold(0f32, |sum, i| {
                let a = decode(self.a[row * k + i]);
                let b = decode(self.b[(expert * n + column) * k + i]);
                sum + a * b
            });
            let scale = self.scales_a[row * kb + block]
                * self.scales_b[(expert * nb + column / BLOCK) * kb + block];
            sum.mul_add(scale, acc)
        })
    }
}

#[test]
fn every_element_is_the_mathematics_to_the_bit() {
    for (rows, n, k) in [
        (&[1usize][..], 128, 128),
        (&[7, 0, 13], 256, 384),
        (&[200, 3, 97], 128, 256),
        (&[96, 6], 256, 128),
    ] {
        let case = case(rows, n, k, ElementType::Bf16);
        let (output, status) = case.run(bf16::ZERO);
        assert_eq!(status, GroupStatus::OK);
        let mut row = 0;
        for (expert, &m) in rows.iter().enumerate() {
            for r in row..row + m {
                for column in 0..n as usize {
                    let expected = bf16::from_f32(case.element(expert, r, column));
                    let given = output[r * n as usize + column];
                    assert_eq!(given.to_bits(), expected.to_bits(), "{rows:?} at {r}, {column}");
                }
            }
            row += m;
        }
    }
}

#[test]
fn the_baseline_and_the_fast_path_agree() {
    let case = case(&[50, 11], 256, 256, ElementType::Bf16);
    let tensors = case.tensors();
    let product = product(&case.problem, &tensors);
    let (mut fast, mut slow) = (Scratch::default(), Scratch::default());
    for segment in segments(&case.problem, &tensors).0 {
        for nb in 0..2 {
            Simd::detect().tile(&product, segment, nb, &mut fast);
            Simd::Baseline.tile(&product, segment, nb, &mut slow);
            assert!(fast.rows(segment.rows).eq(slow.rows(segment.rows)));
        }
    }
}

#[test]
fn f16_overflows_to_infinity_and_nan_is_canonical() {
    let mut case = case(&[2], 128, 128, ElementType::F16);
    case.a.fill(0x7e);
    case.b.fill(0x7e);
    case.scales_a.fill(1.0);
    case.scales_b.fill(1.0);
    case.a[128] = 0xff;
    let mut output = vec![f16::ZERO; 256];
    fp8_grouped_mm(&case.problem, &case.tensors(), HostOutput::F16(&mut output)).expect("runs");
    assert!(output[..128].iter().all(|&value| value == f16::INFINITY));
    assert!(output[128..].iter().all(|value| value.to_bits() == 0x7fff));
}

#[test]
fn rows_of_nobody_keep_their_values() {
    let mut case = case(&[4, 4, 4], 128, 128, ElementType::Bf16);
    let fill = bf16::from_f32(7.0);
    case.sizes[1][0] = -4;
    case.sizes[2][0] = 3;
    let (output, status) = case.run(fill);
    assert_eq!(status, GroupStatus::NEGATIVE_ROWS);
    assert!(output[4 * 128..8 * 128].iter().all(|&value| value == fill));
    assert!(output[11 * 128..].iter().all(|&value| value == fill));
    assert!(output[..4 * 128].iter().any(|&value| value != fill));
}

#[test]
fn nothing_is_ordinary() {
    for rows in [&[][..], &[0], &[0, 0, 0]] {
        let (output, status) = case(rows, 128, 128, ElementType::Bf16).run(bf16::ZERO);
        assert!(output.is_empty() && status.is_ok());
    }
}

#[test]
fn wrong_lengths_and_types_are_refused() {
    let case = case(&[2], 128, 128, ElementType::Bf16);
    let mut output = vec![bf16::ZERO; 256];
    let short = HostTensors { scales_b: &[], ..case.tensors() };
    let error = fp8_grouped_mm(&case.problem, &short, HostOutput::Bf16(&mut output)).unwrap_err();
    assert!(matches!(error, Error::WrongLength { tensor: "scales_b", given: 0, expected: 1, .. }));
    let error = fp8_grouped_mm(&case.problem, &case.tensors(), HostOutput::Bf16(&mut output[1..]));
    assert!(matches!(error, Err(Error::WrongLength { tensor: "output", .. })));
    let mut other = vec![f16::ZERO; 256];
    let error = fp8_grouped_mm(&case.problem, &case.tensors(), HostOutput::F16(&mut other));
    assert!(matches!(error, Err(Error::WrongElementType { tensor: "output", .. })));
}
