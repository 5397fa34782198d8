//! The data flow of the two products on Hopper.

use super::flow::{Flow, Kind};
use super::thousands;
use expert_gemm::abi::fp8_block as fp8;
use expert_gemm::abi::mxfp8_gemm::TILE_K;
use expert_gemm::abi::mxfp8_gemm_sm90 as mx;
use expert_gemm::abi::scale_atoms;

const HEADS: [&str; 4] = ["global memory", "service warps", "shared memory", "math warps"];
const WIDTHS: [f64; 4] = [184.0, 184.0, 196.0, 208.0];

pub(super) fn draw_fp8() -> String {
    let rows = 5.0;
    let mut flow = Flow::new(
        "fp8_block_sm90: from memory to memory",
        "One CTA of a cluster of two: three warpgroups, persistent. Arrows are data; barriers are in the table of the page.",
        &HEADS,
        &WIDTHS,
        rows,
    );
    let operand = thousands(fp8::TILE * fp8::TILE_K);
    let a = flow.place(
        Kind::Global,
        (0, 0.0, 1.0),
        "tokens a, weights b",
        &["e4m3, row-major", "boxes of 64, 8; 128 rows"],
    );
    let scales =
        flow.place(Kind::Global, (0, 1.0, 1.0), "scales_a, scales_b", &["f32, a row each"]);
    let tables = flow.place(
        Kind::Global,
        (0, 2.0, 1.0),
        "group tables",
        &["problem_sizes", "expert_offsets"],
    );
    let status =
        flow.place(Kind::Global, (0, 3.0, 1.0), "status word", &["if the caller gave one"]);
    let output = flow.place(Kind::Global, (0, 4.0, 1.0), "output", &["bf16 or f16, row-major"]);
    let copies = flow.place(
        Kind::Warps,
        (1, 0.0, 1.0),
        "warp 8: tiles",
        &["one lane, TMA;", "half the tokens to both CTAs"],
    );
    let chunks =
        flow.place(Kind::Warps, (1, 1.0, 1.0), "warp 9: scales", &["cp.async, 16 bytes a row"]);
    let posts =
        flow.place(Kind::Warps, (1, 2.0, 1.0), "warp 10: posts tiles", &["a lane for each group"]);
    let audit = flow.place(Kind::Warps, (1, 3.0, 1.0), "warp 11: audits", &["beside the others"]);
    let slots = format!("{} slots", fp8::STAGES);
    let weights = format!("{operand} B of weights");
    let ring = flow.place(
        Kind::Shared,
        (2, 0.0, 1.0),
        &slots,
        &[&weights, &format!("{operand} B of tokens")],
    );
    let head = format!("{} chunks of scales", fp8::SCALE_STAGES);
    let chunk = format!("{} rows x {} K blocks", fp8::TILE, fp8::SCALE_CHUNK);
    let scale_ring =
        flow.place(Kind::Shared, (2, 1.0, 1.0), &head, &[&chunk, "and those of the weights"]);
    let work = flow.place(
        Kind::Shared,
        (2, 2.0, 1.0),
        "4 work items",
        &["16 B: expert, row,", "rows, column block"],
    );
    let staging = flow.place(Kind::Shared, (2, 4.0, 1.0), "staging", &["2,304 B a warp"]);
    let math = flow.place(
        Kind::Warps,
        (3, 0.0, 3.0),
        "warps 0 to 7: math",
        &[
            "two warpgroups",
            "",
            "block = tokens x weights",
            "4 wgmma, K = 32 each,",
            "from zero",
            "",
            "sum = fma(block, sa sb, sum)",
            "in binary32",
        ],
    );
    let store = flow.place(
        Kind::Warps,
        (3, 4.0, 1.0),
        "the same warps: output",
        &["cast once, stmatrix,", "16-byte stores"],
    );
    flow.across(a, copies, (0.5, 0.5), 0.5);
    flow.across(copies, ring, (0.5, 0.5), 0.5);
    flow.across(scales, chunks, (0.5, 0.5), 0.5);
    flow.across(chunks, scale_ring, (0.5, 0.5), 0.5);
    flow.across(tables, posts, (0.4, 0.4), 0.5);
    flow.across(tables, audit, (0.75, 0.3), 0.5);
    flow.across(audit, status, (0.6, 0.6), 0.5);
    flow.across(posts, work, (0.5, 0.5), 0.5);
    flow.across(work, chunks, (0.25, 0.75), 0.65);
    flow.across(work, copies, (0.25, 0.8), 0.75);
    flow.across(ring, math, (0.5, 0.14), 0.5);
    flow.across(scale_ring, math, (0.5, 0.482), 0.5);
    flow.across(work, math, (0.5, 0.825), 0.5);
    flow.along(math, store, 0.5);
    flow.across(store, staging, (0.5, 0.5), 0.5);
    flow.across(staging, output, (0.5, 0.5), 0.5);
    flow.finish(rows, "Many rows: each math warp turns its part of the output around in a staging buffer of its own. Few: a warpgroup together.")
}

pub(super) fn draw_mxfp8() -> String {
    let rows = 5.0;
    let mut flow = Flow::new(
        "mxfp8_gemm_sm90: from memory to memory",
        "One CTA: four warpgroups, persistent. Codes stay 8 bits wide until the last moment. Arrows are data.",
        &["global memory", "service warps", "shared memory", "math and token warps"],
        &WIDTHS,
        rows,
    );
    let b = flow.place(Kind::Global, (0, 0.0, 1.0), "weights b", &["e4m3, boxes of 256 x 128 B"]);
    let sf = flow.place(Kind::Global, (0, 1.0, 1.0), "sfa, sfb", &["E8M0 in atoms of 512 B"]);
    let a = flow.place(Kind::Global, (0, 2.0, 1.0), "tokens a", &["e4m3, 16-byte loads"]);
    let tables = flow.place(Kind::Global, (0, 3.0, 1.0), "group tables", &["and the status word"]);
    let output = flow.place(Kind::Global, (0, 4.0, 1.0), "output", &["bf16 or f16, row-major"]);
    let load = flow.place(Kind::Warps, (1, 0.0, 1.0), "warp 12: weights", &["one lane, TMA"]);
    let bring = flow.place(
        Kind::Warps,
        (1, 1.0, 1.0),
        "warp 15: scales",
        &["chooses the frame:", "f16 or bf16 for this block"],
    );
    let posts = flow.place(Kind::Warps, (1, 3.0, 1.0), "warps 13 and 14", &["post tiles; audit"]);
    let slot = thousands(mx::TILE_COLUMNS * TILE_K);
    let weights = flow.place(
        Kind::Shared,
        (2, 0.0, 1.0),
        &format!("{} slots of weights", mx::STAGES),
        &[&format!("{slot} B of codes each")],
    );
    let atoms = format!("3 atoms of {} B,", scale_atoms::BYTES);
    let scales =
        flow.place(Kind::Shared, (2, 1.0, 1.0), "8 slots of scales", &[&atoms, "and the verdict"]);
    let buffer = thousands(mx::TILE_TOKENS * TILE_K * 2);
    let tokens = flow.place(
        Kind::Shared,
        (2, 2.0, 1.0),
        "2 buffers of tokens",
        &[&format!("{buffer} B of f16 or bf16")],
    );
    let work = flow.place(Kind::Shared, (2, 3.0, 1.0), "4 work items", &["read by 14 warps"]);
    let staging = flow.place(Kind::Shared, (2, 4.0, 1.0), "staging", &["2,048 B a warp"]);
    let math = flow.place(
        Kind::Warps,
        (3, 0.0, 2.0),
        "warps 0 to 7: math",
        &[
            "code x scale in registers;",
            "sums += weights x tokens",
            "32 wgmma a K block,",
            "weights from registers",
            "then output, by stmatrix",
        ],
    );
    let convert = flow.place(
        Kind::Warps,
        (3, 2.0, 1.0),
        "warps 8 to 11: tokens",
        &["code x scale,", "written by stmatrix"],
    );
    let store = flow.place(
        Kind::Warps,
        (3, 4.0, 1.0),
        "warps 0 to 7: output",
        &["out of the frame, cast once,", "16-byte stores"],
    );
    flow.across(b, load, (0.5, 0.5), 0.5);
    flow.across(load, weights, (0.5, 0.5), 0.5);
    flow.across(sf, bring, (0.5, 0.5), 0.5);
    flow.across(bring, scales, (0.5, 0.5), 0.5);
    flow.across(tables, posts, (0.5, 0.5), 0.5);
    flow.across(posts, work, (0.5, 0.5), 0.5);
    flow.across(weights, math, (0.5, 0.23), 0.5);
    flow.across(scales, math, (0.4, 0.75), 0.5);
    flow.across(scales, convert, (0.7, 0.25), 0.65);
    flow.across(convert, tokens, (0.6, 0.6), 0.5);
    flow.across(tokens, math, (0.25, 0.92), 0.35);
    flow.around(a, convert, 0.85);
    flow.across(store, staging, (0.5, 0.5), 0.5);
    flow.across(staging, output, (0.5, 0.5), 0.5);
    flow.finish(rows, "Warps 12 and 15 read work items too. The tensor core reads the converted tokens from shared memory, the weights from registers.")
}
