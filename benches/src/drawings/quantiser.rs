//! The data flow of the MXFP8 quantiser.

use super::flow::{Flow, Kind};
use expert_gemm::abi::mxfp8_quant::{THREADS, TILE_K, WARPS};
use expert_gemm_kernels::tile::atoms::RUN;

pub(super) fn draw() -> String {
    let rows = 3.0;
    let mut flow = Flow::new(
        "mxfp8_quant: from memory to memory",
        "One CTA of 256 threads. Its eight warps take pieces that follow each other, and it ends.",
        &["global memory", "a warp", "its registers", "global memory"],
        &[176.0, 226.0, 232.0, 206.0],
        rows,
    );
    let input = flow.place(Kind::Global, (0, 0.0, 1.0), "input x", &["bf16 or f16, row-major"]);
    let tables = flow.place(
        Kind::Global,
        (0, 1.0, 1.0),
        "group tables",
        &["sizes, offsets,", "blockscale_offsets"],
    );
    let run = format!("{RUN} rows x {TILE_K} columns");
    let load = flow.place(
        Kind::Warps,
        (1, 0.0, 1.0),
        "load",
        &[&run, "a half warp a row, 16 bytes a lane"],
    );
    let groups = format!("{THREADS} threads judge a group each;");
    let owner = flow.place(
        Kind::Warps,
        (1, 1.0, 1.0),
        "whose rows are these?",
        &[&groups, "those near lie in shared memory"],
    );
    let audit = flow.place(
        Kind::Warps,
        (1, 2.0, 1.0),
        "the first CTAs",
        &["only audit,", &format!("{WARPS} experts a CTA")],
    );
    let amax = flow.place(
        Kind::Sums,
        (2, 0.0, 1.0),
        "largest magnitude of 32",
        &["as integers, two rows a register;", "two shuffles over 4 lanes"],
    );
    let scale = flow.place(
        Kind::Sums,
        (2, 1.0, 1.0),
        "scale bytes",
        &["turned across lanes: a lane", "has the four bytes of one row"],
    );
    let codes = flow.place(
        Kind::Global,
        (3, 0.0, 1.0),
        "codes",
        &["e4m3, 8-byte stores,", "rows of an expert only"],
    );
    let atoms = flow.place(
        Kind::Global,
        (3, 1.0, 1.0),
        "scales in atoms",
        &["a word a row; zeros complete", "each expert's last atom"],
    );
    let status =
        flow.place(Kind::Global, (3, 2.0, 1.0), "status word", &["if the caller gave one"]);
    flow.across(input, load, (0.5, 0.5), 0.5);
    flow.across(tables, owner, (0.5, 0.5), 0.5);
    flow.across(tables, audit, (0.8, 0.5), 0.5);
    flow.across(load, amax, (0.5, 0.5), 0.5);
    flow.along(amax, scale, 0.5);
    flow.across(amax, codes, (0.5, 0.5), 0.5);
    flow.across(scale, atoms, (0.5, 0.5), 0.5);
    flow.across(owner, scale, (0.5, 0.5), 0.5);
    flow.wide(audit, status, 0.5);
    flow.finish(rows, "Elements are multiplied by a power of two and rounded once, to e4m3. No pass over the scales follows, and no workspace is used.")
}
