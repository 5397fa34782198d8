//! wgmma of bf16: both places of A, steps alone and in chains, and every kind of operand that could tell one rule of
//! arithmetic from another.

use super::Case;
use super::bf16_inputs::{Numbers, Start};
use super::inputs;
use crate::semantics::fragment;

const MODULE: &str = include_str!("../../captures/wgmma_bf16.ptx");

/// Columns of K that a row of the inputs has, and that an instruction takes.
const ROW: usize = 128;
const K: usize = 16;

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
pub fn cases() -> Vec<Case> {
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
    let (name, a, b) = KINDS[kind];
    let start = if matches!(name, "infinity" | "nan" | "subnormal") {
        Start::Special(a, b)
    } else {
        Start::Like(a, b)
    };
    // A single step takes each of the eight slices in turn.
    let first = if steps == 8 { 0 } else { seed as u32 / 3 % (9 - steps) };
    let halves = |numbers: Vec<u16>| numbers.into_iter().flat_map(u16::to_le_bytes).collect();
    Case {
        name: format!("{symbol}/{name}/{steps}/{}", if accumulate { "added" } else { "fresh" }),
        module: MODULE,
        symbol,
        blocks: tiles as u32,
        cluster: 1,
        threads: 128,
        smem_bytes: ((64 + n) * 256) as u32,
        maps: Vec::new(),
        inputs: vec![
            halves(a.fill(seed, tiles * 64)),
            halves(b.fill(seed + 1, tiles * n)),
            inputs::words(start.fill(seed + 2, tiles * 64 * n)),
        ],
        words: vec![first, steps, u32::from(accumulate)],
        output_bytes: tiles * 64 * n * 4,
        tiles: tiles as u32,
    }
}

/// What a case leaves if `step` is what one instruction does to one output: its accumulator, its row of A and its column
/// of B.
///
/// # Panics
/// If the case is none of [`cases`].
pub fn output(case: &Case, step: impl Fn(f32, &[u16], &[u16]) -> f32) -> Vec<u8> {
    let [a, b, start] = &case.inputs[..] else { panic!("{} has other inputs", case.name) };
    let [first, steps, accumulate] = case.words[..] else { panic!("{} is another", case.name) };
    let n = case.output_bytes / (case.tiles as usize * 64 * 4);
    let negate = if case.symbol.ends_with("_negated") { 0x8000 } else { 0 };
    let halves = |bytes: &[u8], sign: u16| -> Vec<u16> {
        bytes.as_chunks().0.iter().map(|&half| u16::from_le_bytes(half) ^ sign).collect()
    };
    let (a, b) = (halves(a, negate), halves(b, 0));
    let row = |matrix: &[u16], row: usize| matrix[row * ROW..][..ROW].to_vec();
    let mut output = Vec::with_capacity(case.output_bytes);
    for (i, start) in start.as_chunks().0.iter().enumerate() {
        let (tile, inner) = (i / (64 * n), i % (64 * n));
        let (m, column) = fragment::wgmma_d(inner as u32 % 128, inner as u32 / 128);
        let (a, b) = (row(&a, tile * 64 + m as usize), row(&b, tile * n + column as usize));
        let start = if accumulate == 0 { 0.0 } else { f32::from_le_bytes(*start) };
        let slices =
            (first as usize..(first + steps) as usize).map(|slice| slice * K..(slice + 1) * K);
        let result = slices.fold(start, |acc, k| step(acc, &a[k.clone()], &b[k]));
        output.extend(result.to_le_bytes());
    }
    output
}
