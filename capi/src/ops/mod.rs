//! The three operations, one file each: the structs of the header, and how they become the host crate's.

pub mod fp8_grouped_mm;
pub mod mxfp8_grouped_mm;
pub mod mxfp8_grouped_quant;

use crate::plan::{Planned, Runner};
use crate::status::Result;
use expert_gemm::cpu::HostOutput;
use expert_gemm::{DeviceTensor, ElementType, GroupStatus, Operation};
use std::sync::atomic::{AtomicU32, Ordering};

/// What an operation adds to the host crate's to be served here.
pub(crate) trait Served: Operation {
    /// Its place among the plans.
    fn planned(runner: Runner<Self>) -> Planned;

    /// Checks tensors as a launch does, and computes them on the CPU.
    ///
    /// # Safety
    ///
    /// The tensors are host memory as they say, and nothing else uses it meanwhile.
    unsafe fn run_on_cpu(&self, tensors: &Self::Tensors<'_>) -> Result<()>;
}

/// Elements of type `T` in a checked tensor.
fn elements<T>(tensor: &DeviceTensor<'_>) -> usize {
    let bytes = tensor.shape().iter().product::<u64>() * tensor.element().bytes();
    bytes as usize / size_of::<T>()
}

/// The elements of a checked tensor in host memory.
///
/// # Safety
///
/// The tensor has passed its rule, which bounds its size and aligns it; its memory is there, holds any `T`, and
/// nobody writes it while `'a` lasts.
unsafe fn slice<'a, T>(tensor: &DeviceTensor<'_>) -> &'a [T] {
    match elements::<T>(tensor) {
        0 => &[],
        count => {
            let start = std::ptr::with_exposed_provenance(tensor.address() as usize);
            // SAFETY: by the caller's promise.
            unsafe { std::slice::from_raw_parts(start, count) }
        }
    }
}

/// The same, to be written.
///
/// # Safety
///
/// As [`slice`], and nobody reads it while `'a` lasts: the rules refuse tensors that overlap.
unsafe fn slice_mut<'a, T>(tensor: &DeviceTensor<'_>) -> &'a mut [T] {
    match elements::<T>(tensor) {
        0 => &mut [],
        count => {
            let start = std::ptr::with_exposed_provenance_mut(tensor.address() as usize);
            // SAFETY: by the caller's promise.
            unsafe { std::slice::from_raw_parts_mut(start, count) }
        }
    }
}

/// The output of a product, bf16 or f16 by its rule.
///
/// # Safety
///
/// As [`slice_mut`].
unsafe fn output<'a>(tensor: &DeviceTensor<'_>) -> HostOutput<'a> {
    match tensor.element() {
        // SAFETY: by the caller's promise.
        ElementType::F16 => HostOutput::F16(unsafe { slice_mut(tensor) }),
        // SAFETY: by the caller's promise.
        _ => HostOutput::Bf16(unsafe { slice_mut(tensor) }),
    }
}

/// ORs what was wrong in the tables into the status word, as a kernel does.
///
/// # Safety
///
/// As [`slice_mut`], but other calls may report into the same word.
unsafe fn report(status: GroupStatus, word: Option<&DeviceTensor<'_>>) {
    if let Some(word) = word {
        let word = std::ptr::with_exposed_provenance_mut(word.address() as usize);
        // SAFETY: the rule of the word aligns it; it is there by the caller's promise.
        unsafe { AtomicU32::from_ptr(word) }.fetch_or(status.0, Ordering::Relaxed);
    }
}
