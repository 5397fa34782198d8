//! The shipped MXFP8 products for Blackwell over pairs of CTAs in the emulator: every output bit equals the model of the
//! tensor core, under every timing, and nothing is reported. Problems with few rows have spare ones, so that plans
//! choose these kernels: a bound on the rows is all that a plan knows.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of small problems, `EXPERT_GEMM_SEED` runs a single one of them.

mod common;

use common::mx::Kernels;
use common::mx_gemm;
use expert_gemm::ElementType;
use expert_gemm::abi::{Arch, Op, mxfp8_gemm_sm100_pair};
use expert_gemm_tests::mx::gemm_problem::MxSpec;
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::suite::seeds;

const KERNELS: Kernels = Kernels {
    op: Op::Mxfp8GroupedMm,
    arch: Arch::Sm100f,
    more_rows_than: mxfp8_gemm_sm100_pair::MORE_ROWS_THAN,
};

#[test]
fn small_problems() {
    mx_gemm::small_problems(KERNELS, &ScaleValues::ALL, seeds(300));
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
    mx_gemm::random_hostile_tables(KERNELS, 60);
}

/// Every width of a tile, and wide and narrow ones in turn: sums that overlap the one before, the one after, both or
/// none, in either accumulator.
#[test]
fn every_width_in_either_accumulator() {
    let ascending: Vec<u32> = (1..=16).map(|width| width * 16).collect();
    let with_tails: Vec<u32> = (1..=16).rev().map(|width| width * 16 - 5).collect();
    let wide = [256, 241, 209, 208, 210, 256, 256, 16, 255, 1, 225, 193, 240, 224];
    let spec = MxSpec { n: 256, k: 128, ..MxSpec::PLAIN };
    let half = MxSpec { output: ElementType::F16, ..spec };
    let deep = MxSpec { k: 1152, ..half };
    let odd = MxSpec { n: 384, ..spec };
    mx_gemm::packed(
        KERNELS,
        "widths",
        &[(spec, &ascending), (half, &with_tails), (odd, &wide), (half, &wide), (deep, &wide[..5])],
    );
}

/// Experts of several tiles, of which some begin in the middle of an atom of scales.
#[test]
fn experts_of_several_tiles() {
    let spec = MxSpec { n: 256, k: 256, ..MxSpec::PLAIN };
    let half = MxSpec { output: ElementType::F16, ..spec };
    mx_gemm::packed(
        KERNELS,
        "several tiles",
        &[
            (spec, &[257, 384, 3]),
            (half, &[385, 513]),
            (spec, &[577, 0, 640]),
            (half, &[1100, 321]),
            (MxSpec { n: 128, ..spec }, &[769, 512]),
        ],
    );
}
