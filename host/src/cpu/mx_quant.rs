//! The MXFP8 quantiser of grouped rows.

use super::encode::{VECTOR, codes, scale};
use super::{groups, length};
use crate::abi::{ElementType, GroupStatus, ScaleRule, ScaledGroup, ScaledProblem, scale_atoms};
use crate::error::{Error, Result};
use crate::ops::Mxfp8GroupedQuant;
use half::{bf16, f16};
use rayon::prelude::*;

/// The input of a quantiser, in the element type of the problem.
#[derive(Clone, Copy, Debug)]
pub enum HostInput<'a> {
    /// `[T, K]` bf16.
    Bf16(&'a [bf16]),
    /// `[T, K]` f16.
    F16(&'a [f16]),
}

/// The tensors that one call of [`Mxfp8GroupedQuant`] reads, in host memory, packed row-major.
///
/// T is [`Mxfp8GroupedQuant::rows`], E the number of experts.
#[derive(Clone, Copy, Debug)]
pub struct HostQuantTensors<'a> {
    /// `[T, K]`, packed by expert.
    pub input: HostInput<'a>,
    /// `(M, N, K)` of each expert; N is not read.
    pub problem_sizes: &'a [[i32; 3]],
    /// First packed row of each expert.
    pub expert_offsets: &'a [i32],
    /// First scale row of each expert; multiples of 128.
    pub blockscale_offsets: &'a [i32],
}

/// Computes the codes `quant_output` (`[T, K]` e4m3) and the scales `scale_factor` (`[S, K / 32]` e8m0 in atoms)
/// on the threads of the current rayon pool, and reports what was wrong in the group tables.
///
/// Codes of rows that no expert owns and atoms that no expert owns keep their bytes; the rows that complete an
/// expert's last atom get the scale byte 0. Where two experts share scale rows, the later one's are kept. A
/// problem without rows or experts does nothing and reports nothing.
///
/// # Errors
///
/// What [`Mxfp8GroupedQuant::validate`] refuses, [`Error::WrongLength`], or [`Error::WrongElementType`] if the
/// input has another type than the problem.
pub fn mxfp8_grouped_quant(
    problem: &Mxfp8GroupedQuant,
    tensors: &HostQuantTensors<'_>,
    quant_output: &mut [u8],
    scale_factor: &mut [u8],
) -> Result<GroupStatus> {
    problem.validate()?;
    let given = match tensors.input {
        HostInput::Bf16(_) => ElementType::Bf16,
        HostInput::F16(_) => ElementType::F16,
    };
    if given != problem.input {
        let expected = problem.input;
        return Err(Error::WrongElementType { tensor: "input", given, expected });
    }
    let (t, e, k) = (problem.rows, problem.experts, problem.k);
    let scales = [problem.scale_rows, problem.scale_columns()];
    match tensors.input {
        HostInput::Bf16(input) => length("input", input.len(), &[t, k], "[T, K]")?,
        HostInput::F16(input) => length("input", input.len(), &[t, k], "[T, K]")?,
    }
    super::sizes(tensors.problem_sizes, e)?;
    super::offsets("expert_offsets", tensors.expert_offsets, e)?;
    super::offsets("blockscale_offsets", tensors.blockscale_offsets, e)?;
    length("quant_output", quant_output.len(), &[t, k], "[T, K]")?;
    length("scale_factor", scale_factor.len(), &scales, "[S, K / 32]")?;
    if problem.is_empty() {
        return Ok(GroupStatus::OK);
    }
    Ok(match tensors.input {
        HostInput::Bf16(input) => run(problem, tensors, input, quant_output, scale_factor),
        HostInput::F16(input) => run(problem, tensors, input, quant_output, scale_factor),
    })
}

/// Rows whose scales fill one row of atoms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stripe {
    first_row: usize,
    rows: usize,
}

/// Codes and scales are computed in two passes, because experts that share rows need not share scales: then
/// the codes of a row have one place, and its scales two.
fn run<I: Copy + Into<f32> + Sync>(
    problem: &Mxfp8GroupedQuant,
    tensors: &HostQuantTensors<'_>,
    input: &[I],
    quant_output: &mut [u8],
    scale_factor: &mut [u8],
) -> GroupStatus {
    let (k, rule) = (problem.k as usize, problem.rule);
    let groups = groups(problem, tensors);
    let (segments, rows_status) =
        groups::segments(problem.rows, groups.iter().map(|scaled| scaled.group));
    let mut owned = vec![false; problem.rows as usize];
    for segment in segments {
        let rows = segment.first_row..segment.first_row + segment.rows;
        owned.get_mut(rows).unwrap_or_default().fill(true);
    }
    let rows = quant_output.par_chunks_exact_mut(k).zip(input.par_chunks_exact(k));
    rows.zip(owned).filter(|(_, owned)| *owned).for_each(|((to, from), _)| {
        for (to, from) in to.chunks_exact_mut(VECTOR).zip(from.chunks_exact(VECTOR)) {
            let block = block(from);
            codes(&block, scale(&block, rule), to);
        }
    });
    let (stripes, scales_status) = stripes(problem, &groups);
    let atom_rows = scale_factor.par_chunks_exact_mut(scale_atoms::ROWS as usize * k / VECTOR);
    atom_rows.zip(stripes).for_each(|(atoms, stripe)| {
        if let Some(Stripe { first_row, rows }) = stripe {
            let rows = input.get(first_row * k..(first_row + rows) * k).unwrap_or_default();
            write_scales(rows, k, rule, atoms);
        }
    });
    rows_status.union(scales_status)
}

fn groups(p: &Mxfp8GroupedQuant, tensors: &HostQuantTensors<'_>) -> Vec<ScaledGroup> {
    // N is not read: the same on both sides of the comparison.
    let problem = groups::problem(p.rows, 0, p.k);
    let judge = ScaledProblem { problem, scale_rows: p.scale_rows as u32 };
    let offsets = tensors.expert_offsets.iter().zip(tensors.blockscale_offsets);
    let tables = tensors.problem_sizes.iter().zip(offsets);
    tables.map(|(&[m, _, k], (&offset, &scales))| judge.group([m, 0, k], offset, scales)).collect()
}

/// The owner of each row of atoms; the later one where there are two.
fn stripes(p: &Mxfp8GroupedQuant, groups: &[ScaledGroup]) -> (Vec<Option<Stripe>>, GroupStatus) {
    let atom = scale_atoms::ROWS as usize;
    let mut status = GroupStatus::OK;
    let mut stripes = vec![None; p.scale_rows as usize / atom];
    for &ScaledGroup { group, first_scale_row } in groups {
        let first = first_scale_row as usize / atom;
        let rows = group.rows as usize;
        let places = stripes.get_mut(first..first + rows.div_ceil(atom)).unwrap_or_default();
        for (index, place) in places.iter_mut().enumerate() {
            let first_row = group.first_row as usize + index * atom;
            let stripe = Stripe { first_row, rows: (rows - index * atom).min(atom) };
            if place.replace(stripe).is_some() {
                status = status.union(GroupStatus::SCALES_OVERLAP);
            }
        }
    }
    (stripes, status)
}

/// Fills one row of atoms with the scales of up to 128 rows.
fn write_scales<I: Copy + Into<f32>>(rows: &[I], k: usize, rule: ScaleRule, atoms: &mut [u8]) {
    atoms.fill(0);
    for (row, from) in rows.chunks_exact(k).enumerate() {
        for (column, from) in from.chunks_exact(VECTOR).enumerate() {
            let k_blocks = (k / VECTOR) as u64 / u64::from(scale_atoms::COLUMNS);
            let at = scale_atoms::offset(row as u64, column as u64, k_blocks) as usize;
            if let Some(to) = atoms.get_mut(at) {
                *to = scale(&block(from), rule);
            }
        }
    }
}

fn block<I: Copy + Into<f32>>(from: &[I]) -> [f32; VECTOR] {
    let mut block = [0.0; VECTOR];
    for (to, &from) in block.iter_mut().zip(from) {
        *to = from.into();
    }
    block
}

#[cfg(test)]
#[path = "mx_quant_tests.rs"]
mod tests;
