//! Borrowed views of device memory.

mod rules;

pub(crate) use rules::{Inspection, Rule};

use crate::abi::ElementType;
use crate::driver::Stream;
use std::marker::PhantomData;

/// Most dimensions that a view describes.
pub const MAX_RANK: usize = 5;

/// Up to five lengths or strides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Dims {
    rank: usize,
    dims: [u64; MAX_RANK],
}

impl Dims {
    /// Copies a slice. Of more than [`MAX_RANK`] entries only the number is kept beyond the fifth.
    pub fn new(dims: &[u64]) -> Self {
        let mut copy = [0; MAX_RANK];
        for (to, from) in copy.iter_mut().zip(dims) {
            *to = *from;
        }
        Self { rank: dims.len(), dims: copy }
    }

    /// Number of entries given.
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// The entries.
    pub fn as_slice(&self) -> &[u64] {
        self.dims.get(..self.rank).unwrap_or(&self.dims)
    }

    /// One entry, or 0 beyond the last.
    pub fn get(&self, index: usize) -> u64 {
        self.as_slice().get(index).copied().unwrap_or(0)
    }
}

/// What the owner of a tensor's memory knows about it, for a launch to hold the tensor to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Loan {
    /// Bytes that are lent, from the tensor's address on.
    pub(crate) bytes: Option<u64>,
    /// The device whose memory it is.
    pub(crate) ordinal: Option<i32>,
    /// The one stream in whose order the memory may be used.
    pub(crate) stream: Option<Stream>,
    /// Whether it may be read only.
    pub(crate) read_only: bool,
}

/// A tensor in device memory: address, element type, shape, and strides unless it is packed row-major.
///
/// Made from a [`DeviceBuffer`](crate::DeviceBuffer), which lends its memory, from what another library owns (see
/// [`interop`](crate::interop)), or from a raw address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceTensor<'a> {
    address: u64,
    element: ElementType,
    shape: Dims,
    strides: Option<Dims>,
    loan: Option<Loan>,
    memory: PhantomData<&'a ()>,
}

impl<'a> DeviceTensor<'a> {
    /// A packed row-major tensor at a raw device address.
    ///
    /// # Safety
    ///
    /// Until the work of every launch that receives the view is done: the memory stays allocated, no other
    /// work writes it, and, where it is the output or the status word, no other work reads it.
    /// (A launch itself refuses addresses that are not device memory or too short, see
    /// [`Checks`](crate::Checks); what it cannot see is what happens afterwards.)
    pub unsafe fn from_raw(address: u64, element: ElementType, shape: &[u64]) -> Self {
        Self::new(address, element, shape)
    }

    pub(crate) fn new(address: u64, element: ElementType, shape: &[u64]) -> Self {
        let shape = Dims::new(shape);
        Self { address, element, shape, strides: None, loan: None, memory: PhantomData }
    }

    /// The same tensor, held by every launch to what its owner lends.
    pub(crate) fn with_loan(self, loan: Loan) -> Self {
        Self { loan: Some(loan), ..self }
    }

    /// The same tensor with its strides in elements, so that a launch can tell whether it is packed.
    #[must_use]
    pub fn with_strides(self, strides: &[u64]) -> DeviceTensor<'a> {
        Self { strides: Some(Dims::new(strides)), ..self }
    }

    /// Device address of element 0.
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// Element type.
    pub const fn element(&self) -> ElementType {
        self.element
    }

    /// Lengths in elements, the innermost last.
    pub fn shape(&self) -> &[u64] {
        self.shape.as_slice()
    }

    /// Strides in elements, if they were given.
    pub fn strides(&self) -> Option<&[u64]> {
        self.strides.as_ref().map(Dims::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_keep_the_true_rank() {
        let dims = Dims::new(&[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((dims.rank(), dims.as_slice(), dims.get(9)), (7, &[1, 2, 3, 4, 5][..], 0));
    }
}
