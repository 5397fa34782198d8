//! What the tests of the kernel for pairs of CTAs are worth: faults in what the CTAs and their warps hand to each other
//! are seen, one of each kind that `mutate` knows and that makes a difference wherever it is put.

mod common;

use common::mx::Kernels;
use common::mx_gemm;
use expert_gemm::ElementType;
use expert_gemm::abi::{Arch, Op, mxfp8_gemm_sm100_pair};
use expert_gemm::ptx::PTX_DIR_VARIABLE;
use expert_gemm_tests::gpu::say;
use expert_gemm_tests::mx::gemm_problem::MxSpec;
use ptx_emulator::mutate::{self, Mutant};
use rayon::prelude::*;
use std::fs;
use std::path::Path;
use std::process::Command;

const MODULE: &str = include_str!("../../../host/ptx/sm_100f/mxfp8_gemm_sm100_pair.ptx");

const KERNELS: Kernels = Kernels {
    op: Op::Mxfp8GroupedMm,
    arch: Arch::Sm100f,
    more_rows_than: mxfp8_gemm_sm100_pair::MORE_ROWS_THAN,
};

const KINDS: [&str; 28] = [
    "arrive-at-own-cta",
    "arrive-elsewhere",
    "barrier-count",
    "box-coordinates",
    "box-destination",
    "commit-elsewhere",
    "commit-mask",
    "drop-alloc",
    "drop-arrive",
    "drop-cluster-barrier",
    "drop-copy",
    "drop-expect",
    "drop-init",
    "drop-product",
    "drop-remote-arrive",
    "drop-scale-copy",
    "drop-tensor-commit",
    "drop-tensor-wait",
    "expect-bytes",
    "flip-parity",
    "product-column",
    "product-m",
    "product-n",
    "product-operands",
    "product-scales",
    "scale-copy-column",
    "scale-id-b",
    "tensor-lane",
];

/// The shipped module passes; with a fault in it, [`faults_are_seen`] runs this in a process of its own.
#[test]
fn suite() {
    let spec = MxSpec { n: 256, k: 384, ..MxSpec::PLAIN };
    let odd = MxSpec { n: 384, k: 128, ..MxSpec::PLAIN };
    let half = MxSpec { output: ElementType::F16, n: 128, k: 128, ..MxSpec::PLAIN };
    let wide = [256, 241, 130, 17, 256, 257, 40, 250];
    mx_gemm::packed(KERNELS, "pairs", &[(odd, &[256, 1, 240, 209]), (spec, &wide), (half, &[1])]);
}

#[test]
fn faults_are_seen() {
    let of_this_suite =
        |mutant: &Mutant| mutant.entry.ends_with("_bf16") && KINDS.contains(&mutant.kind);
    let all = mutate::all(MODULE).into_iter().filter(|(_, mutant)| of_this_suite(mutant));
    let mutants = mutate::select(&all.collect::<Vec<_>>(), 1, 1);
    assert_eq!(mutants.len(), KINDS.len());
    let folder = std::env::temp_dir().join(format!("ptx-pair-faults-{}", std::process::id()));
    let passes: Vec<bool> = mutants
        .par_iter()
        .map(|(name, mutant)| passes(&folder.join(name), &mutant.apply(MODULE)))
        .collect();
    fs::remove_dir_all(&folder).expect("a folder of this test");
    let unseen: Vec<String> = mutants
        .iter()
        .zip(passes)
        .filter(|(_, passes)| *passes)
        .map(|((_, mutant), _)| mutant.to_string())
        .collect();
    say(&format!("{} of {} faults seen", mutants.len() - unseen.len(), mutants.len()));
    assert!(unseen.is_empty(), "{unseen:#?}");
}

/// Whether the suite passes with this text in place of the module.
fn passes(folder: &Path, text: &str) -> bool {
    let modules = folder.join(Arch::Sm100f.name());
    fs::create_dir_all(&modules).expect("a folder");
    fs::write(modules.join("mxfp8_gemm_sm100_pair.ptx"), text).expect("a file");
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["suite", "--exact"])
        .env(PTX_DIR_VARIABLE, folder)
        // One core for each child: the parent keeps all of them busy.
        .env("RAYON_NUM_THREADS", "1")
        .output();
    child.expect("a child").status.success()
}
