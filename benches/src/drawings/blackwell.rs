//! The data flow of the MXFP8 products on Blackwell.

use super::flow::{Box, Flow, Kind};
use super::thousands;
use expert_gemm::abi::mxfp8_gemm::{TILE_K, TILE_N};
use expert_gemm::abi::{mxfp8_gemm_sm100 as one, mxfp8_gemm_sm100_pair as pair, scale_atoms};

const HEADS: [&str; 4] = ["global memory", "warps", "shared memory", "warps and tensor memory"];
const WIDTHS: [f64; 4] = [184.0, 190.0, 200.0, 216.0];
const ROWS: f64 = 5.0;

/// What both kernels have alike; the boxes of the slots and of the multiplying warp are returned.
fn common(flow: &mut Flow, boxes: &str, loads: &str, slots: (&str, &[&str])) -> (Box, Box) {
    let operands =
        flow.place(Kind::Global, (0, 0.0, 1.0), "tokens a, weights b", &["e4m3, row-major", boxes]);
    let scales = flow.place(Kind::Global, (0, 1.0, 1.0), "sfa, sfb", &["E8M0 in atoms of 512 B"]);
    let tables = flow.place(Kind::Global, (0, 3.0, 1.0), "group tables", &["and the status word"]);
    let output = flow.place(Kind::Global, (0, 4.0, 1.0), "output", &["bf16 or f16, row-major"]);
    let load = flow.place(
        Kind::Warps,
        (1, 0.0, 2.0),
        "warp 0: loads",
        &["one thread: TMA, bulk copies", loads],
    );
    let posts = flow.place(Kind::Warps, (1, 3.0, 1.0), "warps 2 and 3", &["post tiles; audit"]);
    let ring = flow.place(Kind::Shared, (2, 0.0, 2.0), slots.0, slots.1);
    let work = flow.place(Kind::Shared, (2, 3.0, 1.0), "4 work items", &["read by 6 warps"]);
    let staging = flow.place(Kind::Shared, (2, 4.0, 1.0), "staging", &["2,048 B a warp"]);
    flow.across(operands, load, (0.5, 0.23), 0.5);
    flow.across(scales, load, (0.5, 0.77), 0.5);
    flow.across(load, ring, (0.5, 0.5), 0.5);
    flow.across(tables, posts, (0.5, 0.5), 0.5);
    flow.across(posts, work, (0.5, 0.5), 0.5);
    let store = flow.place(
        Kind::Warps,
        (3, 4.0, 1.0),
        "warps 4 to 7: output",
        &["tcgen05.ld, cast, stmatrix,", "16-byte stores"],
    );
    flow.across(store, staging, (0.5, 0.5), 0.5);
    flow.across(staging, output, (0.5, 0.5), 0.5);
    (ring, store)
}

pub(super) fn draw_one() -> String {
    let mut flow = Flow::new(
        "mxfp8_gemm_sm100: from memory to memory",
        "One CTA of a cluster of two: eight warps, persistent. Assembled and emulated; never run on hardware.",
        &HEADS,
        &WIDTHS,
        ROWS,
    );
    let weights = format!("{} B of weights", thousands(TILE_N * TILE_K));
    let tokens = format!("up to {} B of tokens", thousands(one::MAX_TOKENS * TILE_K));
    let atoms = format!("4 atoms of {} B", scale_atoms::BYTES);
    let head = format!("{} slots", one::STAGES);
    let lines = [&weights[..], &tokens, &atoms, "", "up to 32 rows:", "two K blocks in a slot"];
    let (ring, store) = common(
        &mut flow,
        "boxes of 64, 32; 128 rows",
        "tokens above 64 rows shared",
        (&head, &lines),
    );
    let multiply = flow.place(
        Kind::Warps,
        (3, 0.0, 1.0),
        "warp 1: multiplies",
        &["one thread: scales by", "tcgen05.cp, 4 products a K block"],
    );
    let scales =
        flow.place(Kind::Sums, (3, 1.0, 1.0), "scales", &["5 x 16 columns of", "tensor memory"]);
    let sums = flow.place(
        Kind::Sums,
        (3, 2.0, 1.5),
        "sums",
        &["2 x 192 columns:", "one is read while", "the other one grows"],
    );
    flow.across(ring, multiply, (0.22, 0.5), 0.5);
    flow.along(multiply, scales, 0.5);
    flow.along(scales, sums, 0.5);
    flow.along(sums, store, 0.5);
    flow.finish(ROWS, "Weights are the 128 rows of the tensor core, tokens its N columns. Warps 0, 1 and 4 to 7 read the work items.")
}

pub(super) fn draw_pair() -> String {
    let mut flow = Flow::new(
        "mxfp8_gemm_sm100_pair: from memory to memory",
        "One CTA of a pair; only the even one, the leader, multiplies, for both. Assembled and emulated; never run on hardware.",
        &HEADS,
        &WIDTHS,
        ROWS,
    );
    let weights = format!("{} B of own weights", thousands(TILE_N * TILE_K));
    let tokens = format!("{} B: half the tokens", thousands(pair::MAX_TOKENS / 2 * TILE_K));
    let atoms = format!("3 atoms of {} B", scale_atoms::BYTES);
    let head = format!("{} slots", pair::STAGES);
    let lines = [&weights[..], &tokens, &atoms, "", "the product reads", "both CTAs' slots"];
    let (ring, store) =
        common(&mut flow, "boxes of 64, 32; 128 rows", "own half of the tokens", (&head, &lines));
    let multiply = flow.place(
        Kind::Warps,
        (3, 0.0, 1.0),
        "warp 1",
        &["leader: copies scales, 4 products", "of 256 x N; odd CTA: tells it"],
    );
    let scales = flow.place(
        Kind::Sums,
        (3, 1.0, 1.0),
        "scales",
        &["4 x 12 columns of", "each tensor memory"],
    );
    let sums = flow.place(
        Kind::Sums,
        (3, 2.0, 1.5),
        "sums",
        &["128 x N of own weights, two,", "that overlap above 208 tokens"],
    );
    flow.across(ring, multiply, (0.22, 0.5), 0.5);
    flow.along(multiply, scales, 0.5);
    flow.along(scales, sums, 0.5);
    flow.along(sums, store, 0.5);
    flow.finish(
        ROWS,
        "Each CTA keeps 128 of the 256 output columns of a tile, and stores them itself.",
    )
}
