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

/// From 9 to 16 rows an expert on average tiles have at most 64, here in experts of one to three tiles; and large experts come
/// before small ones, here on both sides of 32 experts.
#[test]
fn tiles_of_half_the_height() {
    let spec = MxSpec { n: 256, k: 256, ..MxSpec::PLAIN };
    let half = MxSpec { output: ElementType::F16, ..spec };
    let mut rows = vec![4; 40];
    rows[..3].copy_from_slice(&[33, 1, 64]);
    rows[30..35].copy_from_slice(&[65, 0, 130, 32, 40]);
    let mut many = vec![12; 24];
    many[23] = 129;
    let odd = MxSpec { n: 384, k: 384, ..half };
    mx_gemm::packed(KERNELS, "half the height", &[(spec, &rows), (half, &rows), (odd, &many)]);
}
