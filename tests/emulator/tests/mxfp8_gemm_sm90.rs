//! The shipped MXFP8 products for Hopper in the emulator: every output bit equals the model of the tensor core, under
//! every timing, and nothing is reported.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of small problems, `EXPERT_GEMM_SEED` runs a single one of them.

mod common;

use common::mx::Kernels;
use common::mx_gemm;
use expert_gemm::abi::{Arch, Op};
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::suite::seeds;

const KERNELS: Kernels = Kernels::any_rows(Op::Mxfp8GroupedMm, Arch::Sm90a);

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
