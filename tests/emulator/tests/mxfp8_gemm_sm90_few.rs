//! The shipped MXFP8 products for few rows on Hopper in the emulator: every output bit equals the model of the tensor core,
//! under every timing, and nothing is reported. Problems with more than 8 rows an expert have experts without rows, so that
//! plans choose these kernels.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of small problems, `EXPERT_GEMM_SEED` runs a single one of them.

mod common;

use common::mx::Kernels;
use common::mx_gemm;
use expert_gemm::ElementType;
use expert_gemm::abi::{Arch, Op};
use expert_gemm_tests::mx::gemm_problem::MxSpec;
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
fn random_hostile_tables() {
    mx_gemm::random_hostile_tables(KERNELS, 90);
}

/// Both forms in turns, and experts of several tiles, which begin at every line of an atom of scales that they can.
#[test]
fn both_forms_and_experts_of_several_tiles() {
    let spec = MxSpec { n: 256, k: 256, ..MxSpec::PLAIN };
    let half = MxSpec { output: ElementType::F16, ..spec };
    let deep = MxSpec { k: 1152, ..spec };
    mx_gemm::packed(
        KERNELS,
        "forms",
        &[
            (spec, &[8, 9, 1, 32, 7, 31, 16, 17]),
            (half, &[33, 64, 65, 96, 97, 128, 129, 40]),
            (deep, &[70, 8, 30]),
        ],
    );
}
