//! The FP8 product with f32 scales of blocks of 128.

use super::groups::{self, MAX_SEGMENT_ROWS, Segment};
use super::kernel::{BLOCK, COLUMNS, Product, Scales};
use super::output::HostOutput;
use super::{length, product};
use crate::abi::GroupStatus;
use crate::error::Result;
use crate::ops::Fp8GroupedMm;

/// The tensors of one call of [`Fp8GroupedMm`] in host memory, packed row-major.
///
/// T is [`Fp8GroupedMm::rows`], E the number of experts. E4m3 numbers are bytes.
#[derive(Clone, Copy, Debug)]
pub struct HostTensors<'a> {
    /// Activations `[T, K]` e4m3, packed by expert.
    pub a: &'a [u8],
    /// Weights `[E, N, K]` e4m3.
    pub b: &'a [u8],
    /// Activation scales `[T, K / 128]`.
    pub scales_a: &'a [f32],
    /// Weight scales `[E, N / 128, K / 128]`.
    pub scales_b: &'a [f32],
    /// `(M, N, K)` of each expert.
    pub problem_sizes: &'a [[i32; 3]],
    /// First packed row of each expert.
    pub expert_offsets: &'a [i32],
}

/// Computes `output` on the threads of the current rayon pool, and reports what was wrong in the group
/// tables. Rows that no expert owns keep their values.
///
/// Where two experts share rows, the later one's result is kept. A problem without rows or experts does
/// nothing and reports nothing.
///
/// # Errors
///
/// What [`Fp8GroupedMm::validate`] refuses, [`Error::WrongLength`](crate::Error::WrongLength), or
/// [`Error::WrongElementType`](crate::Error::WrongElementType) if `output` has another type than the problem.
pub fn fp8_grouped_mm(
    problem: &Fp8GroupedMm,
    tensors: &HostTensors<'_>,
    output: HostOutput<'_>,
) -> Result<GroupStatus> {
    problem.validate()?;
    check(problem, tensors)?;
    output.check(problem.output, [problem.rows, problem.n])?;
    if problem.is_empty() {
        return Ok(GroupStatus::OK);
    }
    let (segments, status) = segments(problem, tensors);
    product::run(&product(problem, tensors), &segments, output);
    Ok(status)
}

pub(super) fn segments(p: &Fp8GroupedMm, tensors: &HostTensors<'_>) -> (Vec<Segment>, GroupStatus) {
    let judge = groups::problem(p.rows, p.n, p.k);
    let tables = tensors.problem_sizes.iter().zip(tensors.expert_offsets);
    groups::segments(p.rows, tables.map(|(&size, &offset)| judge.group(size, offset)))
}

pub(super) fn product<'a>(
    problem: &Fp8GroupedMm,
    tensors: &HostTensors<'a>,
) -> Product<'a, BlockScales<'a>> {
    let (n, k) = (problem.n as usize, problem.k as usize);
    let scales = BlockScales {
        a: tensors.scales_a,
        b: tensors.scales_b,
        n_blocks: n / BLOCK,
        k_blocks: k / BLOCK,
    };
    Product { a: tensors.a, b: tensors.b, n, k, scales }
}

fn check(p: &Fp8GroupedMm, tensors: &HostTensors<'_>) -> Result<()> {
    let (t, e, n, k, nb, kb) = (p.rows, p.experts, p.n, p.k, p.n_blocks(), p.k_blocks());
    length("a", tensors.a.len(), &[t, k], "[T, K]")?;
    length("b", tensors.b.len(), &[e, n, k], "[E, N, K]")?;
    length("scales_a", tensors.scales_a.len(), &[t, kb], "[T, K / 128]")?;
    length("scales_b", tensors.scales_b.len(), &[e, nb, kb], "[E, N / 128, K / 128]")?;
    super::sizes(tensors.problem_sizes, e)?;
    super::offsets("expert_offsets", tensors.expert_offsets, e)
}

/// One scale for 128 elements of a row of the activations, and for 128 x 128 of the weights.
#[derive(Clone, Copy)]
pub(super) struct BlockScales<'a> {
    a: &'a [f32],
    b: &'a [f32],
    n_blocks: usize,
    k_blocks: usize,
}

impl Scales<BLOCK> for BlockScales<'_> {
    /// The product of both scales for each row, rounded.
    type Loaded = [f32; MAX_SEGMENT_ROWS];

    fn empty() -> Self::Loaded {
        [0.0; MAX_SEGMENT_ROWS]
    }

    #[inline(always)]
    fn load(&self, segment: Segment, nb: usize, kb: usize, loaded: &mut Self::Loaded) {
        let of_weights = (segment.expert * self.n_blocks + nb) * self.k_blocks + kb;
        let of_weights = self.b.get(of_weights).copied().unwrap_or_default();
        let rows = self.a.get(segment.first_row * self.k_blocks + kb..).unwrap_or_default();
        let rows = rows.iter().step_by(self.k_blocks).take(segment.rows);
        for (scale, &of_row) in loaded.iter_mut().zip(rows) {
            *scale = of_row * of_weights;
        }
    }

    #[inline(always)]
    fn add(
        loaded: &Self::Loaded,
        _: usize,
        row: usize,
        _: usize,
        block: &[f32; COLUMNS],
        sums: &mut [f32; COLUMNS],
    ) {
        let scale = loaded.get(row).copied().unwrap_or_default();
        for (sum, &block) in sums.iter_mut().zip(block) {
            *sum = block.mul_add(scale, *sum);
        }
    }
}

#[cfg(test)]
#[path = "fp8_tests.rs"]
mod tests;
