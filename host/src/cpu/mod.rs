//! The operations on host memory: the same mathematics, on every machine, without a GPU.
//!
//! [`fp8_grouped_mm`] promotes as the kernel does, one block of 128 at a time and in ascending order:
//! `acc = fma(block, scales_a * scales_b, acc)` in f32, with the product of the scales rounded first, and one
//! rounding to the output type (to nearest, ties to even) at the end. NaN becomes the canonical NaN 0x7fff.
//!
//! Within a block, sums are f32 in ascending order of `k`. (A product of two e4m3 numbers is exact in f32,
//! so it makes no difference whether the machine fuses the multiply with the add: every machine gives the
//! same bits.) The tensor core keeps fewer bits there, so a GPU's output may differ by a rounding.

// What runs inside of a function with target features must be inlined into it to be compiled with them.
#[allow(clippy::inline_always)]
mod decode;
mod groups;
#[allow(clippy::inline_always)]
mod kernel;

use crate::abi::{ElementType, GroupStatus};
use crate::error::{Error, Result};
use crate::ops::Fp8GroupedMm;
use half::{bf16, f16};
use rayon::prelude::*;

/// The output of a call, in the element type of the problem.
#[derive(Debug)]
pub enum HostOutput<'a> {
    /// `[T, N]` bf16.
    Bf16(&'a mut [bf16]),
    /// `[T, N]` f16.
    F16(&'a mut [f16]),
}

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
/// What [`Fp8GroupedMm::validate`] refuses, [`Error::WrongLength`], or [`Error::WrongElementType`] if
/// `output` has another type than the problem.
pub fn fp8_grouped_mm(
    problem: &Fp8GroupedMm,
    tensors: &HostTensors<'_>,
    output: HostOutput<'_>,
) -> Result<GroupStatus> {
    problem.validate()?;
    check(problem, tensors)?;
    match (output, problem.output) {
        (HostOutput::Bf16(output), ElementType::Bf16) => run(problem, tensors, output),
        (HostOutput::F16(output), ElementType::F16) => run(problem, tensors, output),
        (HostOutput::Bf16(_), expected) => {
            Err(Error::WrongElementType { tensor: "output", given: ElementType::Bf16, expected })
        }
        (HostOutput::F16(_), expected) => {
            Err(Error::WrongElementType { tensor: "output", given: ElementType::F16, expected })
        }
    }
}

fn check(p: &Fp8GroupedMm, tensors: &HostTensors<'_>) -> Result<()> {
    let (t, e, n, k, nb, kb) = (p.rows, p.experts, p.n, p.k, p.n_blocks(), p.k_blocks());
    length("a", tensors.a.len(), &[t, k], "[T, K]")?;
    length("b", tensors.b.len(), &[e, n, k], "[E, N, K]")?;
    length("scales_a", tensors.scales_a.len(), &[t, kb], "[T, K / 128]")?;
    length("scales_b", tensors.scales_b.len(), &[e, nb, kb], "[E, N / 128, K / 128]")?;
    length("problem_sizes", tensors.problem_sizes.len(), &[e], "[E] triples of (M, N, K)")?;
    length(
        "expert_offsets",
        tensors.expert_offsets.len(),
        &[e],
        "[E], without the total at the end",
    )
}

fn length(tensor: &'static str, given: usize, shape: &[u64], layout: &'static str) -> Result<()> {
    let expected = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let expected = expected.ok_or(Error::SizeOverflow { tensor })?;
    if given as u64 == expected {
        return Ok(());
    }
    Err(Error::WrongLength { tensor, given: given as u64, expected, layout })
}

/// An element type of the output.
pub(crate) trait Output: Copy + Send + Sync {
    /// Rounds to nearest, ties to even; NaN becomes canonical.
    fn from_f32(value: f32) -> Self;
}

const CANONICAL_NAN: u16 = 0x7fff;

impl Output for bf16 {
    fn from_f32(value: f32) -> Self {
        if value.is_nan() { Self::from_bits(CANONICAL_NAN) } else { Self::from_f32(value) }
    }
}

impl Output for f16 {
    fn from_f32(value: f32) -> Self {
        if value.is_nan() { Self::from_bits(CANONICAL_NAN) } else { Self::from_f32(value) }
    }
}

/// The output matrix, shared by tasks that write disjoint parts of it.
#[derive(Clone, Copy)]
struct Shared<O> {
    start: *mut O,
    n: usize,
}

// SAFETY: tasks write disjoint elements through it, see `run`.
unsafe impl<O: Send> Send for Shared<O> {}
// SAFETY: as above.
unsafe impl<O: Send> Sync for Shared<O> {}

impl<O> Shared<O> {
    /// The 128 columns of block `nb` in row `row`.
    ///
    /// # Safety
    ///
    /// The row and the block lie inside the matrix, and no other live slice covers them.
    #[allow(clippy::mut_from_ref)]
    unsafe fn block(&self, row: usize, nb: usize) -> &mut [O] {
        // SAFETY: by the caller's promise.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.start.add(row * self.n + nb * kernel::BLOCK),
                kernel::BLOCK,
            )
        }
    }
}

fn run<O: Output>(
    problem: &Fp8GroupedMm,
    tensors: &HostTensors<'_>,
    output: &mut [O],
) -> Result<GroupStatus> {
    length("output", output.len(), &[problem.rows, problem.n], "[T, N]")?;
    if problem.is_empty() {
        return Ok(GroupStatus::OK);
    }
    let (segments, status) =
        groups::segments(problem, tensors.problem_sizes, tensors.expert_offsets);
    let n_blocks = problem.n_blocks() as usize;
    let shared = Shared { start: output.as_mut_ptr(), n: problem.n as usize };
    let simd = kernel::Simd::detect();
    (0..segments.len() * n_blocks).into_par_iter().for_each_init(
        kernel::Scratch::default,
        |scratch, task| {
            let Some(segment) = segments.get(task / n_blocks) else { return };
            let nb = task % n_blocks;
            simd.tile(problem, tensors, *segment, nb, scratch);
            for (row, sums) in scratch.rows(segment.rows) {
                // SAFETY: segments are disjoint and lie inside the output (`groups::segments`), blocks of one
                // row are disjoint, and `output` is borrowed until all tasks are done.
                let to = unsafe { shared.block(segment.first_row + row, nb) };
                for (to, &sum) in to.iter_mut().zip(sums) {
                    *to = O::from_f32(sum);
                }
            }
        },
    );
    Ok(status)
}

#[cfg(test)]
mod tests;
