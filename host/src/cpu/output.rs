//! Outputs: their element types, and how tasks share one.

use super::kernel::BLOCK;
use crate::abi::ElementType;
use crate::error::{Error, Result};
use half::{bf16, f16};

/// The output of a call, in the element type of the problem.
#[derive(Debug)]
pub enum HostOutput<'a> {
    /// `[T, N]` bf16.
    Bf16(&'a mut [bf16]),
    /// `[T, N]` f16.
    F16(&'a mut [f16]),
}

impl HostOutput<'_> {
    pub(super) fn check(&self, expected: ElementType, shape: [u64; 2]) -> Result<()> {
        let (given, length) = match self {
            Self::Bf16(output) => (ElementType::Bf16, output.len()),
            Self::F16(output) => (ElementType::F16, output.len()),
        };
        if given != expected {
            return Err(Error::WrongElementType { tensor: "output", given, expected });
        }
        super::length("output", length, &shape, "[T, N]")
    }
}

/// An element type of the output.
pub(super) trait Output: Copy + Send + Sync {
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
pub(super) struct Shared<O> {
    start: *mut O,
    n: usize,
}

// SAFETY: tasks write disjoint elements through it, see `block`.
unsafe impl<O: Send> Send for Shared<O> {}
// SAFETY: as above.
unsafe impl<O: Send> Sync for Shared<O> {}

impl<O> Shared<O> {
    /// A matrix of rows of `n` elements.
    pub(super) fn new(matrix: &mut [O], n: usize) -> Self {
        Self { start: matrix.as_mut_ptr(), n }
    }

    /// The 128 columns of block `nb` in row `row`.
    ///
    /// # Safety
    ///
    /// The matrix is still borrowed, the row and the block lie inside it, and no other live slice covers them.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn block(&self, row: usize, nb: usize) -> &mut [O] {
        // SAFETY: by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.n + nb * BLOCK), BLOCK) }
    }
}
