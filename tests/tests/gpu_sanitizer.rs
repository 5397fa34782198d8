//! Small problems, each launched once: what `compute-sanitizer` runs, at its hundredfold cost.

use expert_gemm::ElementType::{Bf16, F16};
use expert_gemm_tests::fp8_kernel::{Fp8Kernel, made_for};
use expert_gemm_tests::gpu::{DeviceProblem, Gpu, UNTOUCHED, say};
use expert_gemm_tests::metrics::compare_bits;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Layout, Routing};
use expert_gemm_tests::wgmma_model;

/// Name, rows of each expert, layout, N, K.
const SHAPES: [(&str, &[u32], Layout, usize, usize); 23] = [
    ("one row", &[1], Layout::Packed, 128, 128),
    ("eight rows", &[8], Layout::Packed, 128, 256),
    ("nine rows", &[9], Layout::Packed, 256, 128),
    ("sixteen rows", &[16], Layout::Gaps, 128, 384),
    ("seventeen rows", &[17], Layout::Gaps, 128, 128),
    ("half a tile", &[64], Layout::Packed, 128, 256),
    ("half a tile and one", &[65], Layout::Gaps, 256, 256),
    ("a tile", &[128], Layout::Packed, 256, 256),
    ("a tile and one", &[129], Layout::Gaps, 128, 256),
    ("two tiles", &[256], Layout::Packed, 128, 384),
    ("deep", &[33], Layout::Packed, 128, 1152),
    ("deeper than the ring, many rows", &[130], Layout::Packed, 128, 1280),
    ("deeper than the ring of scales", &[100], Layout::Packed, 128, 2560),
    ("wide", &[12], Layout::Packed, 1024, 128),
    ("few and many", &[1, 200, 3, 64], Layout::Packed, 256, 256),
    ("empty among others", &[0, 5, 0, 0, 70, 0], Layout::Gaps, 128, 256),
    ("permuted", &[7, 31, 96, 2], Layout::Permuted, 128, 256),
    ("permuted with gaps", &[130, 1, 40], Layout::PermutedGaps, 256, 128),
    ("all empty", &[0, 0, 0], Layout::Gaps, 128, 128),
    ("more tiles than a small grid", &[128; 12], Layout::Packed, 256, 128),
    ("many experts", &[3; 96], Layout::Gaps, 128, 128),
    // On 132 multiprocessors: 67 entries of two tiles, for 66 clusters.
    ("a last round of halves", &[20], Layout::Packed, 67 * 256, 128),
    ("a last round of halves, many rows", &[90], Layout::Packed, 67 * 256, 256),
];

/// The same for the kernel for few rows.
const FEW: [(&str, &[u32], usize, usize); 6] = [
    ("few rows", &[5], 128, 256),
    ("each form", &[8, 9, 17, 33, 0], 256, 384),
    ("more than a tile holds", &[65, 1, 130], 128, 256),
    ("few and deep", &[16], 128, 2560),
    ("more tiles than a small grid, few rows", &[8; 40], 512, 128),
    ("few and an odd number of blocks", &[40, 3], 384, 640),
];

/// The same for the kernel of tall tiles.
const TALL: [(&str, &[u32], usize, usize); 6] = [
    ("a tall tile of one row more", &[129], 128, 256),
    ("a whole tall tile", &[192], 256, 384),
    ("tall tiles, low ones and none", &[150, 7, 0, 64, 190, 130], 256, 256),
    ("a tile and a tall one", &[300, 319], 128, 256),
    ("tall and deep", &[161], 128, 1280),
    ("tall and an odd number of blocks", &[170, 40], 384, 640),
];

/// The same for the kernel of wide tiles.
const WIDE: [(&str, &[u32], usize, usize); 6] = [
    ("a pair of wide tiles", &[256], 384, 256),
    ("a wide tile without a partner", &[129], 128, 384),
    ("pairs, one more and none", &[300, 7, 0, 64, 600, 130], 384, 256),
    ("an odd number of column blocks", &[300], 512, 256),
    ("wide and deep", &[161], 128, 2560),
    ("wide and an odd number of blocks", &[270, 40], 640, 640),
];

/// Runs one problem, which has to be a small one.
fn check(gpu: &Gpu, name: &str, problem: &HostProblem) {
    let on_device = DeviceProblem::new(gpu, problem).expect("upload");
    let outcome = on_device.run().expect("no fault");
    let want = wgmma_model::grouped(problem, UNTOUCHED);
    let difference = compare_bits(problem, &outcome.output, &want);
    assert!(difference.is_none(), "{name}: {difference}");
    assert!(outcome.damage.is_empty(), "{name}: {:?}", outcome.damage);
    say(&format!("{name}: {} outputs equal the model", difference.compared));
}

#[test]
fn small_shapes() {
    let Some(gpu) = Gpu::open() else { return };
    for (index, (name, rows, layout, n, k)) in SHAPES.into_iter().enumerate() {
        let output = if index % 2 == 0 { Bf16 } else { F16 };
        let seed = index as u64;
        let spec = Spec { experts: rows.len(), n, k, layout, output, seed, ..Spec::PLAIN };
        let routing = Routing::laid_out(rows.to_vec(), layout, &mut Rng::new(seed));
        check(&gpu, name, &HostProblem::new(spec, routing));
    }
}

fn check_kernel(kernel: Fp8Kernel, shapes: &[(&str, &[u32], usize, usize)]) {
    let Some(gpu) = Gpu::open() else { return };
    for (index, &(name, rows, n, k)) in shapes.iter().enumerate() {
        let output = if index % 2 == 0 { Bf16 } else { F16 };
        let spec = Spec { n, k, output, seed: index as u64, ..Spec::PLAIN };
        let routing = Routing::packed(rows.to_vec());
        check(&gpu, name, &made_for(kernel, spec, routing, true, gpu.info()));
    }
}

#[test]
fn few_rows() {
    check_kernel(Fp8Kernel::Few, &FEW);
}

#[test]
fn tall_tiles() {
    check_kernel(Fp8Kernel::Tall, &TALL);
}

#[test]
fn wide_tiles() {
    check_kernel(Fp8Kernel::Wide, &WIDE);
}
