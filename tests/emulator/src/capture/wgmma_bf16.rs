//! wgmma of bf16: every kind of operand that could tell one rule of arithmetic from another.

use super::Case;
use super::bf16_inputs::{Numbers, Start};
use super::wgmma_half::{Launch, Operands};

/// Columns of a narrow tile, of which most cases are: they say most about the arithmetic for their bytes.
const NARROW: usize = 8;

/// Kinds of both operands; the first six are enough for wide tiles.
const KINDS: [(&str, Numbers, Numbers); 16] = [
    ("moderate", Numbers::Moderate, Numbers::Moderate),
    ("scaled_codes", Numbers::ScaledCodes, Numbers::Gaussian),
    ("gaussian", Numbers::Gaussian, Numbers::Gaussian),
    ("wide", Numbers::Wide, Numbers::Wide),
    ("pairs", Numbers::Pairs, Numbers::OppositePairs),
    ("codes", Numbers::Codes, Numbers::Codes),
    ("integers", Numbers::Integers, Numbers::Integers),
    ("sparse", Numbers::Sparse, Numbers::Moderate),
    ("tiny", Numbers::Tiny, Numbers::Tiny),
    ("subnormal", Numbers::Subnormal, Numbers::Large),
    ("subnormal_small", Numbers::Moderate, Numbers::Subnormal),
    ("huge", Numbers::Huge, Numbers::Huge),
    ("huge_pairs", Numbers::HugePairs, Numbers::OppositeHugePairs),
    ("zeros", Numbers::OddZeros, Numbers::OddHuge),
    ("infinity", Numbers::WithInfinity, Numbers::Moderate),
    ("nan", Numbers::Moderate, Numbers::WithNan),
];

const NARROW_PROGRAMS: [&str; 2] = ["wgmma_bf16_smem_n8", "wgmma_bf16_regs_n8"];
const WIDE_PROGRAMS: [(usize, [&str; 2]); 3] = [
    (64, ["wgmma_bf16_smem_n64", "wgmma_bf16_regs_n64"]),
    (128, ["wgmma_bf16_smem_n128", "wgmma_bf16_regs_n128"]),
    (256, ["wgmma_bf16_smem_n256", "wgmma_bf16_regs_n256"]),
];
const NEGATED_PROGRAMS: [&str; 2] = ["wgmma_bf16_smem_n8_negated", "wgmma_bf16_regs_n8_negated"];

/// Every case.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (form, symbol) in NARROW_PROGRAMS.into_iter().enumerate() {
        for (length, steps) in [1, 4, 8].into_iter().enumerate() {
            for kind in 0..KINDS.len() {
                let accumulate = !(form + length + kind).is_multiple_of(3);
                let seed = 80_000 + cases.len() as u64 * 3;
                cases.push(case(symbol, NARROW, kind, steps, accumulate, 4, seed));
            }
        }
    }
    for (n, symbols) in WIDE_PROGRAMS {
        let kinds = if n == 64 { KINDS.len() } else { 256 * 6 / (n * 2).max(320) };
        for kind in 0..kinds {
            let steps = [1, 4, 8][(kind + n / 64) % 3];
            let seed = 80_000 + cases.len() as u64 * 3;
            cases.push(case(symbols[kind % 2], n, kind, steps, kind % 4 != 1, 1, seed));
        }
    }
    for symbol in NEGATED_PROGRAMS {
        for kind in [0, 3] {
            let seed = 80_000 + cases.len() as u64 * 3;
            cases.push(case(symbol, NARROW, kind, 1, true, 4, seed));
        }
    }
    cases
}

fn case(
    symbol: &'static str,
    n: usize,
    kind: usize,
    steps: u32,
    accumulate: bool,
    tiles: usize,
    seed: u64,
) -> Case {
    let (kind, a, b) = KINDS[kind];
    let start = if matches!(kind, "infinity" | "nan" | "subnormal") {
        Start::Special(a, b)
    } else {
        Start::Like(a, b)
    };
    Launch { symbol, kind, n, steps, accumulate, tiles, seed }.case(&Operands {
        a: &|seed, rows| a.fill(seed, rows),
        b: &|seed, rows| b.fill(seed, rows),
        start: &|seed, count| start.fill(seed, count),
    })
}
