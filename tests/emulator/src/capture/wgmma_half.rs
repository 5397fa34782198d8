//! wgmma of 16-bit operands: both places of A, steps alone and in chains. `wgmma_bf16` and `wgmma_f16`
//! list the operands.

use super::{Case, inputs};
use crate::semantics::alu::float::Half;
use crate::semantics::fragment;
use std::sync::LazyLock;

/// The programs for bf16.
const BF16: &str = include_str!("../../captures/wgmma_half.ptx");
/// Those for f16: layouts depend on the size of an element alone.
static F16: LazyLock<String> = LazyLock::new(|| BF16.replace("bf16", "f16"));

/// Columns of K that a row of the inputs has, and that an instruction takes.
const ROW: usize = 128;
const K: usize = 16;

/// Numbers of K columns of the operands, and accumulators, by seed and count.
pub(super) struct Operands<'a> {
    /// Rows of [`ROW`] numbers.
    pub(super) a: &'a dyn Fn(u64, usize) -> Vec<u16>,
    /// Rows of [`ROW`] numbers.
    pub(super) b: &'a dyn Fn(u64, usize) -> Vec<u16>,
    /// Accumulators, as bits.
    pub(super) start: &'a dyn Fn(u64, usize) -> Vec<u32>,
}

/// One launch.
#[derive(Clone, Copy)]
pub(super) struct Launch {
    /// The program.
    pub(super) symbol: &'static str,
    /// What the operands are called.
    pub(super) kind: &'static str,
    /// Columns of a tile.
    pub(super) n: usize,
    /// Instructions.
    pub(super) steps: u32,
    /// Whether the first of them adds to what the accumulators hold.
    pub(super) accumulate: bool,
    /// Tiles.
    pub(super) tiles: usize,
    /// Of the operands; the next two are taken as well.
    pub(super) seed: u64,
}

impl Launch {
    /// The launch with its inputs.
    pub(super) fn case(self, operands: &Operands<'_>) -> Case {
        let Self { symbol, kind, n, steps, accumulate, tiles, seed } = self;
        // A single step takes each of the eight slices in turn.
        let first = if steps == 8 { 0 } else { seed as u32 / 3 % (9 - steps) };
        let halves = |numbers: Vec<u16>| numbers.into_iter().flat_map(u16::to_le_bytes).collect();
        Case {
            name: format!("{symbol}/{kind}/{steps}/{}", if accumulate { "added" } else { "fresh" }),
            module: if element(symbol) == Some(Half::F16) { &F16 } else { BF16 },
            symbol,
            blocks: tiles as u32,
            cluster: 1,
            threads: 128,
            smem_bytes: ((64 + n) * 256) as u32,
            maps: Vec::new(),
            inputs: vec![
                halves((operands.a)(seed, tiles * 64)),
                halves((operands.b)(seed + 1, tiles * n)),
                inputs::words((operands.start)(seed + 2, tiles * 64 * n)),
            ],
            words: vec![first, steps, u32::from(accumulate)],
            output_bytes: tiles * 64 * n * 4,
            tiles: tiles as u32,
        }
    }
}

/// The type that a program multiplies, if it is one of this family.
pub fn element(symbol: &str) -> Option<Half> {
    match symbol.split('_').collect::<Vec<_>>()[..] {
        ["wgmma", "f16", ..] => Some(Half::F16),
        ["wgmma", "bf16", ..] => Some(Half::Bf16),
        _ => None,
    }
}

/// What a case leaves if `step` is what one instruction does to one output: its accumulator, its row of A and its column
/// of B.
///
/// # Panics
/// If the case is none of this family.
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
