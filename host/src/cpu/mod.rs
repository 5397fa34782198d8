//! The operations on host memory: the same mathematics, on every machine, without a GPU.
//!
//! # Products
//!
//! [`fp8_grouped_mm`] promotes as the kernel does, one block of 128 at a time and in ascending order:
//! `acc = fma(block, scales_a * scales_b, acc)` in f32, with the product of the scales rounded first.
//!
//! [`mxfp8_grouped_mm`] does so with blocks of 32: `acc = fma(block, 2^(sfa + sfb - 254), acc)` in f32. The power
//! of two is exact, however large or small: only the sum is rounded. A scale byte of 255 makes NaN of every
//! output that it serves, and of no other.
//!
//! In both, sums within a block are f32 in ascending order of `k`, and one rounding to the output type (to
//! nearest, ties to even) comes at the end. NaN becomes the canonical NaN 0x7fff. (A product of two e4m3 numbers
//! is exact in f32, so it makes no difference whether the machine fuses the multiply with the add: every
//! machine gives the same bits.) The tensor core keeps fewer bits, so a GPU's output may differ by a rounding.
//!
//! # Quantiser
//!
//! [`mxfp8_grouped_quant`] follows its [`ScaleRule`](crate::ScaleRule) to the bit, as the GPU does.

// What runs inside of a function with target features must be inlined into it to be compiled with them.
#[allow(clippy::inline_always)]
mod decode;
mod encode;
#[allow(clippy::inline_always)]
mod fp8;
pub(crate) mod groups;
#[allow(clippy::inline_always)]
mod kernel;
#[allow(clippy::inline_always)]
mod mx_product;
mod mx_quant;
mod output;
mod product;

pub use fp8::{HostTensors, fp8_grouped_mm};
pub use mx_product::{HostMxTensors, mxfp8_grouped_mm};
pub use mx_quant::{HostInput, HostQuantTensors, mxfp8_grouped_quant};
pub use output::HostOutput;

use crate::error::{Error, Result};

/// Refuses a slice that has another length than its shape.
pub(crate) fn length(
    tensor: &'static str,
    given: usize,
    shape: &[u64],
    layout: &'static str,
) -> Result<()> {
    let expected = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let expected = expected.ok_or(Error::SizeOverflow { tensor })?;
    if given as u64 == expected {
        return Ok(());
    }
    Err(Error::WrongLength { tensor, given: given as u64, expected, layout })
}

pub(crate) fn sizes(problem_sizes: &[[i32; 3]], experts: u64) -> Result<()> {
    length("problem_sizes", problem_sizes.len(), &[experts], "[E] triples of (M, N, K)")
}

pub(crate) fn offsets(name: &'static str, offsets: &[i32], experts: u64) -> Result<()> {
    length(name, offsets.len(), &[experts], "[E], without the total at the end")
}
