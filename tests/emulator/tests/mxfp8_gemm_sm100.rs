//! The shipped MXFP8 products for Blackwell in the emulator: every output bit equals the model of the tensor core, under
//! every timing, and nothing is reported.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of small problems, `EXPERT_GEMM_SEED` runs a single one of them.

mod common;

use common::mx::Kernels;
use common::mx_gemm;
use expert_gemm::abi::{Arch, Op};
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::suite::seeds;

const KERNELS: Kernels = Kernels::any_rows(Op::Mxfp8GroupedMm, Arch::Sm100f);

#[test]
fn small_problems() {
    mx_gemm::small_problems(KERNELS, &ScaleValues::ALL, seeds(340));
}

#[test]
fn every_edge_of_the_row_count() {
    mx_gemm::every_edge_of_the_row_count(KERNELS);
}

#[test]
fn deep_wide_and_many() {
    mx_gemm::deep_wide_and_many(KERNELS);
}

#[test]
fn random_hostile_tables() {
    mx_gemm::random_hostile_tables(KERNELS, 90);
}

/// The emulator's rule of the tensor core and the test kit's, which share no line.
#[test]
fn two_models_of_the_tensor_core_agree() {
    use expert_gemm_tests::mx::blackwell::scalar;
    use expert_gemm_tests::rng::Rng;
    use expert_gemm_tests::values::Values;
    use ptx_emulator::semantics::tensor::blackwell_dot32_block_scaled;
    let rng = &mut Rng::new(0xB1AC);
    let mut finite = 0;
    for _ in 0..200_000 {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        rng.pick(&Values::ALL).fill(rng, &mut a);
        rng.pick(&Values::ALL).fill(rng, &mut b);
        let reach = rng.pick(&[0, 3, 40, 127]);
        let scales =
            [127 - reach + rng.below(2 * reach + 1), 127 - reach + rng.below(2 * reach + 1)];
        let scales = scales.map(|scale| if rng.one_in(200) { 255 } else { scale as u8 });
        // An accumulator near the products, or anything.
        let near = rng.normals()[0] * 2f32.powi(i32::from(scales[0]) + i32::from(scales[1]) - 254);
        let any = f32::from_bits(rng.bits() as u32);
        let accumulator = rng.pick(&[0.0, near, any]);
        let kit = scalar::step(&a, &b, scales, accumulator);
        let emulator = blackwell_dot32_block_scaled(accumulator, &a, &b, scales[0], scales[1]);
        assert_eq!(
            kit.to_bits(),
            emulator.to_bits(),
            "{accumulator:e} {scales:?} {a:02x?} {b:02x?}"
        );
        finite += usize::from(kit.is_finite());
    }
    assert!(finite > 100_000, "{finite} results are numbers");
}
