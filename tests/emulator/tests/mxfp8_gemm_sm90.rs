//! The shipped MXFP8 products for Hopper in the emulator: every output bit equals the model of the tensor core, under
//! every timing, and nothing is reported. Problems with few rows have spare ones, so that plans choose these kernels and not
//! those for few rows.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of small problems, `EXPERT_GEMM_SEED` runs a single one of them.

mod common;

use common::mx::Kernels;
use common::mx_gemm;
use expert_gemm::ElementType;
use expert_gemm::abi::{Arch, Op, mxfp8_gemm_sm90};
use expert_gemm_tests::mx::gemm_problem::MxSpec;
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::suite::seeds;

const KERNELS: Kernels = Kernels {
    op: Op::Mxfp8GroupedMm,
    arch: Arch::Sm90a,
    more_rows_than: mxfp8_gemm_sm90::MORE_ROWS_THAN,
};

#[test]
fn small_problems() {
    mx_gemm::small_problems(KERNELS, &ScaleValues::BF16, seeds(180));
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
fn tiles_in_step() {
    mx_gemm::tiles_in_step(KERNELS);
}

#[test]
fn random_hostile_tables() {
    mx_gemm::random_hostile_tables(KERNELS, 90);
}

/// From 9 to 16 rows an expert on average tiles have at most 64, here in experts of one to three tiles; large experts come
/// before small ones; and tiles of a last wave are cut into parts of 16 and of 32 rows, which begin inside a line of an atom.
#[test]
fn tiles_of_half_the_height() {
    let spec = MxSpec { n: 256, k: 256, ..MxSpec::PLAIN };
    let half = MxSpec { output: ElementType::F16, ..spec };
    let mut rows = vec![4; 40];
    rows[..3].copy_from_slice(&[33, 1, 64]);
    rows[30..35].copy_from_slice(&[65, 0, 130, 32, 40]);
    let mut many = vec![10; 24];
    many[23] = 129;
    // One tile more than whole waves, of up to 32 rows and of more.
    let mut small = vec![8; 25];
    small[24] = 32;
    let mut large = vec![0; 72];
    large.iter_mut().skip(4).step_by(4).for_each(|rows| *rows = 50);
    for rows in [&rows, &many, &small, &large] {
        assert!(rows.iter().sum::<u32>() <= 16 * rows.len() as u32);
    }
    let odd = MxSpec { n: 384, k: 384, ..half };
    mx_gemm::packed(
        KERNELS,
        "half the height",
        &[
            (spec, &rows),
            // On 3, 4, 5, 6 and 2 multiprocessors.
            (half, &small),
            (spec, &small),
            (odd, &many),
            (spec, &small),
            (half, &large),
            (spec, &rows),
            (spec, &large),
        ],
    );
}

/// Above 32 rows on average large experts come first in every 32 of them.
#[test]
fn large_experts_come_first() {
    let spec = MxSpec { n: 128, k: 128, ..MxSpec::PLAIN };
    let rows: Vec<u32> = (0..70).map(|expert| [3, 90, 0, 40, 32, 129][expert % 6]).collect();
    assert!(rows.iter().sum::<u32>() > 32 * 70);
    let half = MxSpec { output: ElementType::F16, ..spec };
    mx_gemm::packed(KERNELS, "large experts", &[(spec, &rows), (half, &rows)]);
}
