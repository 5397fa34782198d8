//! wgmma of f16: every kind of operand that could tell one rule of arithmetic from another. The range is narrow, so that
//! subnormal operands, whose exponent is in question, meet all others.

use super::Case;
use super::f16_inputs::{Numbers, Start};
use super::wgmma_half::{Launch, Operands};

/// Columns of a narrow tile, of which most cases are: they say most about the arithmetic for their bytes.
const NARROW: usize = 8;

/// A kind of accumulators, for given kinds of operands.
type Starts = fn(Numbers, Numbers) -> Start;

/// Kinds of both operands and of the accumulators; the first six are enough for wide tiles.
const KINDS: [(&str, Numbers, Numbers, Starts); 18] = [
    ("moderate", Numbers::Moderate, Numbers::Moderate, Start::Spread),
    ("scaled_codes", Numbers::ScaledCodes, Numbers::ScaledCodes, Start::Like),
    ("gaussian", Numbers::Gaussian, Numbers::Gaussian, Start::Like),
    ("wide", Numbers::Wide, Numbers::Wide, Start::Like),
    ("pairs", Numbers::Pairs, Numbers::OppositePairs, Start::Like),
    ("codes", Numbers::Codes, Numbers::Codes, Start::Like),
    ("integers", Numbers::Integers, Numbers::Integers, Start::Like),
    ("sparse", Numbers::Sparse, Numbers::Moderate, Start::Like),
    ("tiny", Numbers::Tiny, Numbers::Tiny, Start::Spread),
    ("subnormal", Numbers::Subnormal, Numbers::Subnormal, Start::Like),
    ("subnormal_large", Numbers::Subnormal, Numbers::Large, Start::Like),
    ("subnormal_wide", Numbers::Wide, Numbers::Subnormal, Start::Spread),
    ("mixed", Numbers::Mixed, Numbers::Mixed, Start::Like),
    ("mixed_wide", Numbers::Mixed, Numbers::Wide, Start::Spread),
    ("large", Numbers::Large, Numbers::Large, Start::Like),
    ("zeros", Numbers::OddZeros, Numbers::OddLarge, Start::Like),
    ("infinity", Numbers::WithInfinity, Numbers::Moderate, Start::Special),
    ("nan", Numbers::Moderate, Numbers::WithNan, Start::Special),
];

const NARROW_PROGRAMS: [&str; 2] = ["wgmma_f16_smem_n8", "wgmma_f16_regs_n8"];
/// Columns, programs, and how many kinds.
const WIDE_PROGRAMS: [(usize, [&str; 2], usize); 4] = [
    (64, ["wgmma_f16_smem_n64", "wgmma_f16_regs_n64"], 6),
    (128, ["wgmma_f16_smem_n128", "wgmma_f16_regs_n128"], 4),
    (192, ["wgmma_f16_smem_n192", "wgmma_f16_regs_n192"], 2),
    (256, ["wgmma_f16_smem_n256", "wgmma_f16_regs_n256"], 2),
];
const NEGATED_PROGRAMS: [&str; 2] = ["wgmma_f16_smem_n8_negated", "wgmma_f16_regs_n8_negated"];

/// Every case.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |symbol, n, kind: usize, steps, accumulate, tiles| {
        let seed = 120_000 + cases.len() as u64 * 3;
        let (kind, a, b, starts): (&str, Numbers, Numbers, Starts) = KINDS[kind];
        let launch = Launch { symbol, kind, n, steps, accumulate, tiles, seed };
        cases.push(launch.case(&Operands {
            a: &|seed, rows| a.fill(seed, rows),
            b: &|seed, rows| b.fill(seed, rows),
            start: &|seed, count| starts(a, b).fill(seed, count),
        }));
    };
    for (form, symbol) in NARROW_PROGRAMS.into_iter().enumerate() {
        for (length, steps) in [1, 4, 8].into_iter().enumerate() {
            for kind in 0..KINDS.len() {
                let accumulate = !(form + length + kind).is_multiple_of(3);
                add(symbol, NARROW, kind, steps, accumulate, 4);
            }
        }
    }
    for (n, symbols, kinds) in WIDE_PROGRAMS {
        for kind in 0..kinds {
            add(symbols[kind % 2], n, kind, [1, 4, 8][(kind + n / 64) % 3], kind % 4 != 1, 1);
        }
    }
    for symbol in NEGATED_PROGRAMS {
        for kind in [0, 3] {
            add(symbol, NARROW, kind, 1, true, 4);
        }
    }
    cases
}
