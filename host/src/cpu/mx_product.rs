//! The MXFP8 product with power-of-two scales of blocks of 32.

use super::encode::VECTOR;
use super::groups::{self, MAX_SEGMENT_ROWS, Segment};
use super::kernel::{BLOCK, COLUMNS, Product, Scales};
use super::output::HostOutput;
use super::{length, product};
use crate::abi::{GroupStatus, ScaledGroup, ScaledProblem, scale_atoms};
use crate::error::Result;
use crate::ops::Mxfp8GroupedMm;

/// The tensors of one call of [`Mxfp8GroupedMm`] in host memory, packed row-major; scales in atoms.
///
/// T is [`Mxfp8GroupedMm::rows`], S [`Mxfp8GroupedMm::scale_rows`], E the number of experts. E4m3 and e8m0
/// numbers are bytes.
#[derive(Clone, Copy, Debug)]
pub struct HostMxTensors<'a> {
    /// Activations `[T, K]` e4m3, packed by expert.
    pub a: &'a [u8],
    /// Weights `[E, N, K]` e4m3.
    pub b: &'a [u8],
    /// Activation scales `[S, K / 32]` e8m0 in atoms.
    pub sfa: &'a [u8],
    /// Weight scales `[E, N, K / 32]` e8m0 in atoms.
    pub sfb: &'a [u8],
    /// `(M, N, K)` of each expert.
    pub problem_sizes: &'a [[i32; 3]],
    /// First packed row of each expert.
    pub expert_offsets: &'a [i32],
    /// First scale row of each expert; multiples of 128.
    pub blockscale_offsets: &'a [i32],
}

/// Computes `output` on the threads of the current rayon pool, and reports what was wrong in the group
/// tables. Rows that no expert owns keep their values.
///
/// Where two experts share rows, the later one's result is kept; scales may be shared, they are only read. A
/// problem without rows or experts does nothing and reports nothing.
///
/// # Errors
///
/// What [`Mxfp8GroupedMm::validate`] refuses, [`Error::WrongLength`](crate::Error::WrongLength), or
/// [`Error::WrongElementType`](crate::Error::WrongElementType) if `output` has another type than the problem.
pub fn mxfp8_grouped_mm(
    problem: &Mxfp8GroupedMm,
    tensors: &HostMxTensors<'_>,
    output: HostOutput<'_>,
) -> Result<GroupStatus> {
    problem.validate()?;
    check(problem, tensors)?;
    output.check(problem.output, [problem.rows, problem.n])?;
    if problem.is_empty() {
        return Ok(GroupStatus::OK);
    }
    let groups = groups(problem, tensors);
    let (segments, status) =
        groups::segments(problem.rows, groups.iter().map(|scaled| scaled.group));
    product::run(&product(problem, tensors, &groups), &segments, output);
    Ok(status)
}

fn check(p: &Mxfp8GroupedMm, tensors: &HostMxTensors<'_>) -> Result<()> {
    let (t, e, n, k, columns) = (p.rows, p.experts, p.n, p.k, p.scale_columns());
    length("a", tensors.a.len(), &[t, k], "[T, K]")?;
    length("b", tensors.b.len(), &[e, n, k], "[E, N, K]")?;
    length("sfa", tensors.sfa.len(), &[p.scale_rows, columns], "[S, K / 32]")?;
    length("sfb", tensors.sfb.len(), &[e, n, columns], "[E, N, K / 32]")?;
    super::sizes(tensors.problem_sizes, e)?;
    super::offsets("expert_offsets", tensors.expert_offsets, e)?;
    super::offsets("blockscale_offsets", tensors.blockscale_offsets, e)
}

fn groups(p: &Mxfp8GroupedMm, tensors: &HostMxTensors<'_>) -> Vec<ScaledGroup> {
    let problem = groups::problem(p.rows, p.n, p.k);
    let judge = ScaledProblem { problem, scale_rows: p.scale_rows as u32 };
    let offsets = tensors.expert_offsets.iter().zip(tensors.blockscale_offsets);
    let tables = tensors.problem_sizes.iter().zip(offsets);
    tables.map(|(&size, (&offset, &scales))| judge.group(size, offset, scales)).collect()
}

fn product<'a>(
    problem: &Mxfp8GroupedMm,
    tensors: &HostMxTensors<'a>,
    groups: &'a [ScaledGroup],
) -> Product<'a, AtomScales<'a>> {
    let (n, k) = (problem.n as usize, problem.k as usize);
    let scales =
        AtomScales { sfa: tensors.sfa, sfb: tensors.sfb, groups, n, k_blocks: problem.k_blocks() };
    Product { a: tensors.a, b: tensors.b, n, k, scales }
}

/// One scale for 32 elements of a row, on both sides, in atoms.
#[derive(Clone, Copy)]
struct AtomScales<'a> {
    sfa: &'a [u8],
    sfb: &'a [u8],
    groups: &'a [ScaledGroup],
    n: usize,
    k_blocks: u64,
}

/// Scale columns of 128 elements.
const STEPS: usize = scale_atoms::COLUMNS as usize;

/// The exponents of a tile: a scale is `2^exponent`, or NaN.
struct Exponents {
    rows: [[i32; MAX_SEGMENT_ROWS]; STEPS],
    columns: [[i32; BLOCK]; STEPS],
}

/// Stands for NaN; beyond the sum of any two exponents, and so is its sum with one.
const NAN_EXPONENT: i32 = 1 << 20;

#[inline(always)]
fn exponent(byte: u8) -> i32 {
    if byte == scale_atoms::NAN { NAN_EXPONENT } else { i32::from(byte) - 127 }
}

/// Reads the four scales of each of some rows, in `kb`th place of a row of atoms.
#[inline(always)]
fn read<const N: usize>(
    scales: &[u8],
    rows: impl Iterator<Item = u64>,
    kb: usize,
    k_blocks: u64,
    to: &mut [[i32; N]; STEPS],
) {
    for (index, row) in rows.enumerate().take(N) {
        let at = scale_atoms::offset(row, (kb * STEPS) as u64, k_blocks) as usize;
        let bytes = scales.get(at..at + STEPS).unwrap_or_default();
        for (to, &byte) in to.iter_mut().zip(bytes) {
            if let Some(to) = to.get_mut(index) {
                *to = exponent(byte);
            }
        }
    }
}

impl Scales<VECTOR> for AtomScales<'_> {
    type Loaded = Box<Exponents>;

    fn empty() -> Self::Loaded {
        Box::new(Exponents { rows: [[0; MAX_SEGMENT_ROWS]; STEPS], columns: [[0; BLOCK]; STEPS] })
    }

    #[inline(always)]
    fn load(&self, segment: Segment, nb: usize, kb: usize, loaded: &mut Self::Loaded) {
        let Some(&ScaledGroup { group, first_scale_row }) = self.groups.get(segment.expert) else {
            return;
        };
        let first =
            u64::from(first_scale_row) + segment.first_row as u64 - u64::from(group.first_row);
        let rows = first..first + segment.rows as u64;
        read(self.sfa, rows, kb, self.k_blocks, &mut loaded.rows);
        let first = (segment.expert * self.n + nb * BLOCK) as u64;
        read(self.sfb, first..first + BLOCK as u64, kb, self.k_blocks, &mut loaded.columns);
    }

    #[inline(always)]
    fn add(
        loaded: &Self::Loaded,
        step: usize,
        row: usize,
        first_column: usize,
        block: &[f32; COLUMNS],
        sums: &mut [f32; COLUMNS],
    ) {
        let of_row = loaded.rows.get(step).and_then(|rows| rows.get(row));
        let of_columns = loaded.columns.get(step).and_then(|all| all.get(first_column..));
        let of_columns = of_columns.and_then(<[i32]>::first_chunk::<COLUMNS>);
        let (Some(&of_row), Some(of_columns)) = (of_row, of_columns) else { return };
        for ((sum, &block), &of_column) in sums.iter_mut().zip(block).zip(of_columns) {
            *sum = scaled_add(block, of_row + of_column, *sum);
        }
    }
}

/// `block * 2^exponent + sum`, rounded once, as if the power had no bounds.
///
/// A block is 0, or between 2^-18 (the least product) and 2^23 (32 of the largest). So a first factor within
/// 2^+-100 is exact, and a second one, which has to be a normal number, may be cut where it no longer
/// matters: beyond the cut the product is above all finite numbers, or below a quarter of the least of them.
#[inline(always)]
fn scaled_add(block: f32, exponent: i32, sum: f32) -> f32 {
    let first = exponent.clamp(-100, 100);
    let rest = (exponent - first).clamp(-126, 127);
    let rest = if exponent > 2 * 127 { f32::NAN } else { power(rest) };
    (block * power(first)).mul_add(rest, sum)
}

/// `2^exponent`, a normal number.
#[inline(always)]
fn power(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

#[cfg(test)]
#[path = "mx_product_tests.rs"]
mod tests;
