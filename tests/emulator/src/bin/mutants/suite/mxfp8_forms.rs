//! Blocks of K that Hopper multiplies in f16 or in bf16, as their scales demand.

use super::mxfp8_gemm::{Launch, Make};
use expert_gemm::abi::mxfp8_gemm::TILE_K;
use expert_gemm::abi::scale_atoms;
use expert_gemm_tests::mx::VECTOR;
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::routing::MxRouting;
use expert_gemm_tests::mx::scale_values::{ScaleValues, Side};
use expert_gemm_tests::routing::Routing;

/// Of tokens and of weights.
pub(super) fn launches(make: Make) -> Vec<Launch> {
    let of_one_side = [deciding, shifted, least];
    of_one_side.iter().flat_map(|of| [of(make, Side::A), of(make, Side::B)]).collect()
}

/// A launch of which most scales on one side are [`Words::OTHERS`]. The exceptions of an expert stand in one word of the
/// lines of its atoms, which are 32 rows.
struct Words {
    launch: Launch,
    side: Side,
    /// Words of the tile's lines, and so of its rows by 32.
    count: usize,
}

impl Words {
    const OTHERS: u8 = 126;

    /// Has so many experts for each word, and blocks of K.
    fn new(make: Make, side: Side, times: usize, blocks: usize) -> Self {
        // A tile has one atom of tokens, and two of weights.
        let (n, rows, count) = match side {
            Side::A => (128, 128, 4),
            Side::B => (256, 8, 8),
        };
        let k = blocks * TILE_K as usize;
        let spec = MxSpec { n, k, scales: ScaleValues::One, seed: 0x4D, ..MxSpec::PLAIN };
        let routing = MxRouting::packed(Routing::packed(vec![rows; count * times]));
        let launch = make.launch(spec, routing, 2);
        let mut words = Self { launch, side, count };
        words.tensors().1.fill(Self::OTHERS);
        words
    }

    /// Codes and scales.
    fn tensors(&mut self) -> (&mut [u8], &mut [u8]) {
        let MxProblem { a, b, scales_a, scales_b, .. } = &mut self.launch.problem;
        match self.side {
            Side::A => (a, scales_a),
            Side::B => (b, scales_b),
        }
    }

    /// Sets the scale of row `row` of the 32 of an expert's word, and the codes that it is for if one is given.
    fn set(&mut self, expert: usize, row: usize, column: usize, scale: u8, code: Option<u8>) {
        let MxProblem { spec, routing, .. } = &self.launch.problem;
        let columns = spec.k / VECTOR;
        let row = expert % self.count * 32 + row;
        // Rows of nobody may lie before the first expert's.
        let [first, first_scale] = match self.side {
            Side::A => [routing.rows.first_row[expert], routing.first_scale_row[expert]],
            Side::B => [expert as u32 * spec.n as u32; 2],
        };
        let [code_at, scale_at] =
            [first, first_scale].map(|first| (first as usize + row) * columns + column);
        let (codes, scales) = self.tensors();
        scales[scale_at] = scale;
        if let Some(code) = code {
            codes[code_at * VECTOR..][..VECTOR].fill(code);
        }
    }
}

/// Blocks of K whose form hangs on one scale, in each byte of each word of a line of the atoms: it is too large, by the
/// least, or too small. Whoever overlooks it multiplies in f16, which it does not fit.
fn deciding(make: Make, side: Side) -> Launch {
    // 14 binary orders from the others on.
    const TOO_LARGE: u8 = Words::OTHERS + 13;
    const TOO_SMALL: u8 = Words::OTHERS - 20;
    const LARGEST_CODE: u8 = 0x7E;
    let mut words = Words::new(make, side, 1, 8);
    for expert in 0..words.count {
        for block in 0..8 {
            // In rows of their own, so that none hides another.
            let (row, column) = (block * 4 + expert % 4, block * 4 + block / 2);
            let large = block % 2 == 0;
            let scale = if large { TOO_LARGE } else { TOO_SMALL };
            words.set(expert, row, column, scale, large.then_some(LARGEST_CODE));
        }
    }
    words.launch
}

/// All scales in odd bytes of one word of the lines have half the bits of all others, or twice: whoever shifts them by one
/// too few or too many takes them for the others.
fn shifted(make: Make, side: Side) -> Launch {
    let mut words = Words::new(make, side, 2, 1);
    for expert in 0..2 * words.count {
        let scale = if expert < words.count { Words::OTHERS / 2 } else { Words::OTHERS * 2 };
        for row in 0..32 {
            words.set(expert, row, 1, scale, None);
            words.set(expert, row, 3, scale, None);
        }
    }
    words.launch
}

/// The least scale of all on one side, which is no normal number, and on the other so large ones that it shows.
fn least(make: Make, side: Side) -> Launch {
    let spec = MxSpec { n: 128, k: 128, scales: ScaleValues::One, seed: 0x51, ..MxSpec::PLAIN };
    let rows = vec![8, 16, 32, 64, 65, 8];
    let mut launch = make.launch(spec, MxRouting::packed(Routing::packed(rows)), 2);
    let MxProblem { scales_a, scales_b, .. } = &mut launch.problem;
    let (least, large) = match side {
        Side::A => (scales_a, scales_b),
        Side::B => (scales_b, scales_a),
    };
    let fill = |scales: &mut [u8], with| {
        // What belongs to nobody stays NaN.
        scales
            .iter_mut()
            .filter(|scale| **scale == scale_atoms::ONE)
            .for_each(|scale| *scale = with);
    };
    fill(least, 0);
    fill(large, 240);
    launch
}
