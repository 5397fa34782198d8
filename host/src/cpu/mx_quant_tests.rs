use super::*;

const UNTOUCHED: u8 = 0xa5;

struct Case {
    problem: Mxfp8GroupedQuant,
    input: Vec<bf16>,
    sizes: Vec<[i32; 3]>,
    offsets: Vec<i32>,
    scale_offsets: Vec<i32>,
}

/// Numbers of many magnitudes; a few are zero, Inf or NaN.
fn input(count: u64) -> Vec<bf16> {
    let mut state = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u16
    };
    (0..count).map(|_| bf16::from_bits(if next() % 64 == 0 { 0 } else { next() })).collect()
}

fn case(rows: &[u64], k: u64, rule: ScaleRule) -> Case {
    let total: u64 = rows.iter().sum();
    let (mut offsets, mut scale_offsets, mut first, mut scale_rows) = (vec![], vec![], 0, 0);
    for &m in rows {
        offsets.push(first as i32);
        scale_offsets.push(scale_rows as i32);
        first += m;
        scale_rows += scale_atoms::padded_rows(m);
    }
    let problem = Mxfp8GroupedQuant {
        rows: total,
        experts: rows.len() as u64,
        k,
        scale_rows,
        input: ElementType::Bf16,
        rule,
    };
    // N is nonsense on purpose.
    let sizes = rows.iter().map(|&m| [m as i32, -3, k as i32]).collect();
    Case { problem, input: input(total * k), sizes, offsets, scale_offsets }
}

impl Case {
    fn run(&self) -> (Vec<u8>, Vec<u8>, GroupStatus) {
        let mut codes = vec![UNTOUCHED; (self.problem.rows * self.problem.k) as usize];
        let columns = self.problem.scale_columns();
        let mut scales = vec![UNTOUCHED; (self.problem.scale_rows * columns) as usize];
        let tensors = HostQuantTensors {
            input: HostInput::Bf16(&self.input),
            problem_sizes: &self.sizes,
            expert_offsets: &self.offsets,
            blockscale_offsets: &self.scale_offsets,
        };
        let status = mxfp8_grouped_quant(&self.problem, &tensors, &mut codes, &mut scales);
        (codes, scales, status.expect("runs"))
    }

    /// Block `column` of a row, its scale and its codes.
    fn expected(&self, row: usize, column: usize) -> (u8, [u8; VECTOR]) {
        let at = row * self.problem.k as usize + column * VECTOR;
        let block = block(&self.input[at..at + VECTOR]);
        let byte = scale(&block, self.problem.rule);
        let mut expected = [0; VECTOR];
        codes(&block, byte, &mut expected);
        (byte, expected)
    }
}

#[test]
fn every_code_and_scale_is_in_its_place() {
    for rule in ScaleRule::ALL {
        for (rows, k) in [(&[1u64][..], 128), (&[130, 0, 128, 3], 384), (&[256], 256)] {
            let case = case(rows, k, rule);
            let (codes, scales, status) = case.run();
            assert_eq!(status, GroupStatus::OK);
            let mut places = vec![0u8; scales.len()];
            for (expert, &m) in rows.iter().enumerate() {
                for local in 0..m as usize {
                    let row = case.offsets[expert] as usize + local;
                    for column in 0..k as usize / VECTOR {
                        let (byte, expected) = case.expected(row, column);
                        let at = row * k as usize + column * VECTOR;
                        assert_eq!(codes[at..at + VECTOR], expected, "row {row}, block {column}");
                        let scale_row = case.scale_offsets[expert] as u64 + local as u64;
                        let k_blocks = case.problem.k_blocks();
                        let at = scale_atoms::offset(scale_row, column as u64, k_blocks);
                        places[at as usize] = byte;
                    }
                }
            }
            // What no row fills is padding, and 0.
            assert_eq!(scales, places);
        }
    }
}

#[test]
fn f16_is_quantised_like_the_same_numbers_in_bf16() {
    let case = case(&[5], 128, ScaleRule::Strict);
    let small: Vec<_> = (0..5 * 128).map(|i| (i % 200) as f32 * 0.25 - 20.0).collect();
    let halves: Vec<_> = small.iter().map(|&x| f16::from_f32(x)).collect();
    let brains: Vec<_> = small.iter().map(|&x| bf16::from_f32(x)).collect();
    assert!(halves.iter().zip(&brains).all(|(a, b)| a.to_f32().to_bits() == b.to_f32().to_bits()));
    let run = |input: HostInput<'_>, element| {
        let (mut codes, mut scales) = (vec![0; 5 * 128], vec![0; 512]);
        let tensors = HostQuantTensors {
            input,
            problem_sizes: &case.sizes,
            expert_offsets: &case.offsets,
            blockscale_offsets: &case.scale_offsets,
        };
        let problem = Mxfp8GroupedQuant { input: element, ..case.problem };
        mxfp8_grouped_quant(&problem, &tensors, &mut codes, &mut scales).expect("runs");
        (codes, scales)
    };
    let of_halves = run(HostInput::F16(&halves), ElementType::F16);
    assert_eq!(of_halves, run(HostInput::Bf16(&brains), ElementType::Bf16));
}

#[test]
fn what_belongs_to_nobody_keeps_its_bytes() {
    let good = || case(&[4, 130, 4], 128, ScaleRule::Sgl);
    let (plain, plain_scales, _) = good().run();
    for (spoil, status) in [
        ((|c: &mut Case| c.sizes[1][0] = -4) as fn(&mut Case), GroupStatus::NEGATIVE_ROWS),
        (|c| c.offsets[1] = -1, GroupStatus::NEGATIVE_OFFSET),
        (|c| c.offsets[1] = 9, GroupStatus::PAST_THE_END),
        (|c| c.sizes[1][2] = 256, GroupStatus::WRONG_SHAPE),
        (|c| c.scale_offsets[1] = 127, GroupStatus::SCALE_OFFSET),
        (|c| c.scale_offsets[1] = 384, GroupStatus::SCALES_PAST_THE_END),
    ] {
        let mut case = good();
        spoil(&mut case);
        let (codes, scales, given) = case.run();
        assert_eq!(given, status);
        let (from, to) = (4 * 128, 134 * 128);
        assert!(codes[from..to].iter().all(|&code| code == UNTOUCHED), "{status:?}");
        assert_eq!((&codes[..from], &codes[to..]), (&plain[..from], &plain[to..]));
        let (from, to) = (512, 3 * 512);
        assert!(scales[from..to].iter().all(|&scale| scale == UNTOUCHED), "{status:?}");
        assert_eq!((&scales[..from], &scales[to..]), (&plain_scales[..from], &plain_scales[to..]));
    }
    // N is not judged.
    let mut case = good();
    case.sizes[1][1] = i32::MIN;
    assert_eq!(case.run(), (plain, plain_scales, GroupStatus::OK));
}

#[test]
fn shared_rows_have_one_code_and_two_scales_and_the_later_expert_owns_shared_scales() {
    let good = || case(&[4, 4], 128, ScaleRule::Sgl);
    let mut case = good();
    case.offsets[1] = 0;
    let (codes, scales, status) = case.run();
    assert_eq!(status, GroupStatus::OVERLAP);
    assert_eq!(scales[..512], scales[512..]);
    assert!(codes[4 * 128..].iter().all(|&code| code == UNTOUCHED));
    let (plain, plain_scales, _) = good().run();
    let mut case = good();
    case.scale_offsets[1] = 0;
    let (codes, scales, status) = case.run();
    assert_eq!(status, GroupStatus::SCALES_OVERLAP);
    assert_eq!(codes, plain);
    assert_eq!(scales[..512], plain_scales[512..]);
    assert!(scales[512..].iter().all(|&scale| scale == UNTOUCHED));
}

#[test]
fn nothing_is_ordinary() {
    for rows in [&[][..], &[0], &[0, 0, 0]] {
        let (codes, scales, status) = case(rows, 128, ScaleRule::Sgl).run();
        assert!(codes.is_empty() && scales.is_empty() && status.is_ok());
    }
}
