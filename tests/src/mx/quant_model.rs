//! What a grouped quantisation must leave behind, byte for byte, and what was found instead.

use super::judge::MxJudged;
use super::quant_integer::{Format, block};
use super::quant_problem::QuantProblem;
use super::{Quantised, VECTOR};
use core::fmt;
use expert_gemm_kernels::abi::scale_atoms;
use rayon::prelude::*;

/// A code that was not written. Kernels write `0x7F` for NaN, never `0xFF`.
pub const UNTOUCHED_CODE: u8 = 0xFF;

/// A scale that was not written. No block gives it: finite ones end at 247, and infinities give 254.
pub const UNTOUCHED_SCALE: u8 = 0xFA;

/// The two outputs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuantOutput {
    /// Codes `[rows, k]`.
    pub codes: Vec<u8>,
    /// Scales `[scale_rows, k / 32]`, in atoms.
    pub scales: Vec<u8>,
}

/// Quantises consecutive elements: codes, and one scale for each 32.
pub fn quantise(elements: &[u16], problem: &QuantProblem) -> (Vec<u8>, Vec<u8>) {
    let (format, rule) = (Format::of(problem.spec.input), problem.spec.rule);
    let blocks = elements.as_chunks::<VECTOR>().0;
    let mut codes = Vec::with_capacity(elements.len());
    let mut scales = Vec::with_capacity(blocks.len());
    for elements in blocks {
        let Quantised { scale, codes: block } = block(elements, format, rule);
        codes.extend(block);
        scales.push(scale);
    }
    (codes, scales)
}

/// What must be found, for judged tables. Where several experts share a scale, each of theirs is right: `got`
/// picks among them.
pub fn expected(problem: &QuantProblem, judged: &MxJudged, got: &QuantOutput) -> QuantOutput {
    let k = problem.spec.k;
    let rows: Vec<Option<(Vec<u8>, Vec<u8>)>> = judged
        .rows
        .writers
        .par_iter()
        .enumerate()
        .map(|(row, writers)| (!writers.is_empty()).then(|| quantise(problem.row(row), problem)))
        .collect();
    let mut want = QuantOutput {
        codes: vec![UNTOUCHED_CODE; problem.rows() * k],
        scales: vec![UNTOUCHED_SCALE; problem.scale_bytes()],
    };
    for (row, to) in rows.iter().zip(want.codes.chunks_mut(k)) {
        if let Some((codes, _)) = row {
            to.copy_from_slice(codes);
        }
    }
    let k_blocks = (k / 128) as u64;
    for (expert, group) in judged.groups.iter().enumerate() {
        let (first, count) = (group.group.first_row as usize, u64::from(group.group.rows));
        for row in 0..scale_atoms::padded_rows(count) {
            let scales = (row < count).then(|| rows[first + row as usize].as_ref()).flatten();
            let scale_row = u64::from(group.first_scale_row) + row;
            let owners = &judged.scale_owners[(scale_row / u64::from(scale_atoms::ROWS)) as usize];
            for column in 0..k / VECTOR {
                let at = scale_atoms::offset(scale_row, column as u64, k_blocks) as usize;
                // Once one of the owners explains a scale, no other is asked.
                if owners.first() == Some(&expert) || want.scales[at] != got.scales[at] {
                    // Rows that complete the last 128 have scales of zero.
                    want.scales[at] = scales.map_or(0, |(_, scales)| scales[column]);
                }
            }
        }
    }
    want
}

/// Outcome of a comparison byte by byte.
#[derive(Clone, PartialEq, Debug)]
pub struct QuantDifference {
    /// Codes and scales compared, those that must stay untouched included.
    pub compared: usize,
    /// Codes that differ.
    pub codes: usize,
    /// Scales that differ.
    pub scales: usize,
    /// The first that differs, in words.
    pub first: Option<String>,
}

impl QuantDifference {
    /// Whether nothing differs.
    pub const fn is_none(&self) -> bool {
        self.codes == 0 && self.scales == 0
    }
}

impl fmt::Display for QuantDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { compared, codes, scales, first } = self;
        write!(f, "{codes} codes and {scales} scales of {compared} bytes differ")?;
        first.as_ref().map_or(Ok(()), |first| write!(f, "; first: {first}"))
    }
}

/// Compares what was found with what must be.
///
/// # Panics
/// If the outputs have not the problem's sizes.
pub fn compare(problem: &QuantProblem, judged: &MxJudged, got: &QuantOutput) -> QuantDifference {
    let want = expected(problem, judged, got);
    let sizes = |output: &QuantOutput| (output.codes.len(), output.scales.len());
    assert_eq!(sizes(got), sizes(&want), "outputs of different size");
    let differing = |got: &[u8], want: &[u8]| got.iter().zip(want).filter(|(p, q)| p != q).count();
    let place = |got: &[u8], want: &[u8]| got.iter().zip(want).position(|(p, q)| p != q);
    let scale = place(&got.scales, &want.scales);
    let code = place(&got.codes, &want.codes);
    let first = match (scale, code) {
        (Some(at), _) => {
            let (row, column) = scale_place(at, problem.spec.k / 128);
            let owners = &judged.scale_owners[row / scale_atoms::ROWS as usize];
            let (got, want) = (got.scales[at], want.scales[at]);
            Some(format!(
                "scale row {row}, elements {} on, of experts {owners:?}: scale {got:#04x}, want {want:#04x}",
                column * VECTOR
            ))
        }
        (None, Some(at)) => {
            let (row, element) = (at / problem.spec.k, at % problem.spec.k);
            let writers = &judged.rows.writers[row];
            let (got, want, from) = (got.codes[at], want.codes[at], problem.input[at]);
            Some(format!(
                "row {row}, element {element}, of experts {writers:?}: code {got:#04x}, want {want:#04x}, \
                 from {from:#06x}"
            ))
        }
        (None, None) => None,
    };
    QuantDifference {
        compared: want.codes.len() + want.scales.len(),
        codes: differing(&got.codes, &want.codes),
        scales: differing(&got.scales, &want.scales),
        first,
    }
}

/// Scale row and scale column of a byte of the scales: the inverse of [`scale_atoms::offset`].
fn scale_place(at: usize, k_blocks: usize) -> (usize, usize) {
    let (atom, byte) = (at / scale_atoms::BYTES as usize, at % scale_atoms::BYTES as usize);
    let row = byte / 16 + byte % 16 / 4 * 32;
    (atom / k_blocks * scale_atoms::ROWS as usize + row, atom % k_blocks * 4 + byte % 4)
}

#[cfg(test)]
mod tests {
    use super::super::quant_problem::QuantSpec;
    use super::*;
    use crate::routing::Layout;

    fn untouched(problem: &QuantProblem) -> QuantOutput {
        QuantOutput {
            codes: vec![UNTOUCHED_CODE; problem.rows() * problem.spec.k],
            scales: vec![UNTOUCHED_SCALE; problem.scale_bytes()],
        }
    }

    #[test]
    fn places_of_scales_are_the_inverse_of_the_layout() {
        for (row, column) in [(0, 0), (33, 5), (127, 11), (128, 0), (300, 7)] {
            let at = scale_atoms::offset(row, column, 3) as usize;
            assert_eq!(scale_place(at, 3), (row as usize, column as usize));
        }
    }

    #[test]
    fn every_byte_is_compared() {
        let spec = QuantSpec { layouts: [Layout::Gaps; 2], total_rows: 12, ..QuantSpec::PLAIN };
        let problem = spec.build();
        let judged = problem.judge(&problem.tables());
        let right = expected(&problem, &judged, &untouched(&problem));
        assert!(compare(&problem, &judged, &right).is_none());
        for at in 0..right.codes.len() {
            let mut wrong = right.clone();
            wrong.codes[at] ^= 1;
            let difference = compare(&problem, &judged, &wrong);
            assert_eq!((difference.codes, difference.scales), (1, 0), "{difference}");
        }
        for at in 0..right.scales.len() {
            let mut wrong = right.clone();
            wrong.scales[at] ^= 1;
            let difference = compare(&problem, &judged, &wrong);
            assert_eq!((difference.codes, difference.scales), (0, 1), "{difference}");
        }
    }

    #[test]
    fn a_row_of_known_elements_lands_where_it_should() {
        let spec = QuantSpec { experts: 2, k: 128, total_rows: 4, ..QuantSpec::PLAIN };
        let mut problem = spec.build();
        // Row 3 is the second of expert 1, whose scales begin at scale row 128.
        problem.input[3 * 128 + 64] = 0x43E0;
        problem.input[3 * 128 + 65] = 0xBF80;
        let judged = problem.judge(&problem.tables());
        let want = expected(&problem, &judged, &untouched(&problem));
        assert_eq!(want.codes[3 * 128 + 64..][..2], [0x7E, 0xB8]);
        assert_eq!(want.scales[512 + 16 + 2], 127);
        assert_eq!(want.scales[512 + 32 + 2], 0, "a row that completes the atom");
    }

    #[test]
    fn either_owner_of_shared_scales_is_right_and_nothing_else_is() {
        let problem = QuantSpec { experts: 2, k: 128, total_rows: 2, ..QuantSpec::PLAIN }.build();
        let mut tables = problem.tables();
        tables.scale_offsets = vec![0, 0];
        let judged = problem.judge(&tables);
        let mut got = expected(&problem, &judged, &untouched(&problem));
        for expert in 0..2 {
            let (_, scales) = quantise(problem.row(expert), &problem);
            got.scales[..4].copy_from_slice(&scales);
            assert!(compare(&problem, &judged, &got).is_none(), "expert {expert} last");
        }
        got.scales[0] = 0x12;
        assert_eq!(compare(&problem, &judged, &got).scales, 1);
    }
}
