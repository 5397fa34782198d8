//! Borrowed views of device memory, and everything that can be wrong with them.

use crate::abi::{ElementType, fp8_block};
use crate::driver::{Driver, MemoryRange};
use crate::error::{Error, Result};
use crate::problem::{Fp8GroupedMm, size};
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

/// A tensor in device memory: address, element type, shape, and strides unless it is packed row-major.
///
/// Made from a [`DeviceBuffer`](crate::DeviceBuffer), which lends its memory, or from a raw address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceTensor<'a> {
    address: u64,
    element: ElementType,
    shape: Dims,
    strides: Option<Dims>,
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
        Self { address, element, shape: Dims::new(shape), strides: None, memory: PhantomData }
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

/// The tensors of one call of [`Fp8GroupedMm`], all in the memory of one device.
///
/// T is [`Fp8GroupedMm::rows`], E the number of experts.
#[derive(Clone, Copy, Debug)]
pub struct Fp8GroupedMmTensors<'a> {
    /// `[T, N]` bf16 or f16, written. Rows that no expert owns keep their bytes. 16-byte aligned.
    pub output: DeviceTensor<'a>,
    /// Activations `[T, K]` e4m3, packed by expert. 16-byte aligned.
    pub a: DeviceTensor<'a>,
    /// Weights `[E, N, K]` e4m3. 16-byte aligned.
    pub b: DeviceTensor<'a>,
    /// Activation scales `[T, K / 128]` f32.
    pub scales_a: DeviceTensor<'a>,
    /// Weight scales `[E, N / 128, K / 128]` f32.
    pub scales_b: DeviceTensor<'a>,
    /// `(M, N, K)` of each expert: `[E, 3]` i32.
    pub problem_sizes: DeviceTensor<'a>,
    /// First packed row of each expert: `[E]` i32.
    pub expert_offsets: DeviceTensor<'a>,
    /// Status word `[1]` u32, into which the kernel ORs [`GroupStatus`](crate::GroupStatus) bits.
    pub status: Option<DeviceTensor<'a>>,
}

/// Tensors of a call, the status word included.
const MAX_TENSORS: usize = 8;

/// What one tensor must be.
struct Rule {
    name: &'static str,
    layout: &'static str,
    element: ElementType,
    shape: Dims,
    alignment: u64,
    written: bool,
}

/// A tensor that passed its rule, with its size.
#[derive(Clone, Copy)]
struct Checked {
    name: &'static str,
    address: u64,
    bytes: u64,
    written: bool,
}

impl Fp8GroupedMmTensors<'_> {
    /// Checks types, shapes, strides, alignment and overlap. Pure: no driver is asked.
    ///
    /// # Errors
    ///
    /// The first refusal, tensor by tensor in the order of the fields.
    pub fn validate(&self, problem: &Fp8GroupedMm) -> Result<()> {
        self.checked(problem).map(drop)
    }

    /// Asks the driver whether every tensor is memory of `driver`'s device, and long enough, after
    /// everything that [`validate`](Self::validate) checks.
    ///
    /// # Errors
    ///
    /// The first refusal.
    pub fn validate_memory(&self, problem: &Fp8GroupedMm, driver: &dyn Driver) -> Result<()> {
        let ordinal = driver.info().ordinal;
        let tensors = self.checked(problem)?;
        let tensors = || tensors.iter().flatten().filter(|tensor| tensor.bytes != 0);
        let mut addresses = [0; MAX_TENSORS];
        for (address, tensor) in addresses.iter_mut().zip(tensors()) {
            *address = tensor.address;
        }
        let addresses = addresses.get(..tensors().count()).unwrap_or(&addresses);
        let mut next = tensors();
        driver.ranges_of(addresses, &mut |_, range| match next.next() {
            Some(tensor) => tensor.holds(range, ordinal),
            None => Ok(()),
        })
    }

    fn checked(&self, problem: &Fp8GroupedMm) -> Result<[Option<Checked>; MAX_TENSORS]> {
        let [output, a, b, scales_a, scales_b, sizes, offsets, status] = rules(problem);
        let checked = [
            Some(output.check(&self.output)?),
            Some(a.check(&self.a)?),
            Some(b.check(&self.b)?),
            Some(scales_a.check(&self.scales_a)?),
            Some(scales_b.check(&self.scales_b)?),
            Some(sizes.check(&self.problem_sizes)?),
            Some(offsets.check_offsets(&self.expert_offsets)?),
            self.status.as_ref().map(|tensor| status.check(tensor)).transpose()?,
        ];
        for (i, first) in checked.iter().enumerate() {
            for second in checked.iter().skip(i + 1) {
                if let (Some(first), Some(second)) = (first, second) {
                    first.disjoint(second)?;
                }
            }
        }
        Ok(checked)
    }
}

fn rules(p: &Fp8GroupedMm) -> [Rule; MAX_TENSORS] {
    let (t, e, n, k) = (p.rows, p.experts, p.n, p.k);
    let (nb, kb) = (p.n_blocks(), p.k_blocks());
    let rule = |name, layout, element: ElementType, shape: &[u64], alignment| Rule {
        name,
        layout,
        element,
        shape: Dims::new(shape),
        alignment,
        written: false,
    };
    let (e4m3, f32, i32) = (ElementType::E4m3, ElementType::F32, ElementType::I32);
    [
        Rule { written: true, ..rule("output", "[T, N]", p.output, &[t, n], 16) },
        rule("a", "[T, K]", e4m3, &[t, k], 16),
        rule("b", "[E, N, K]", e4m3, &[e, n, k], 16),
        rule("scales_a", "[T, K / 128]", f32, &[t, kb], 4),
        rule("scales_b", "[E, N / 128, K / 128]", f32, &[e, nb, kb], 4),
        rule("problem_sizes", "[E, 3]", i32, &[e, 3], 4),
        rule("expert_offsets", "[E]", i32, &[e], 4),
        Rule { written: true, ..rule("status", "[1]", ElementType::U32, &[1], 4) },
    ]
}

impl Rule {
    fn check_offsets(&self, tensor: &DeviceTensor<'_>) -> Result<Checked> {
        let experts = self.shape.get(0);
        let given = tensor.shape.get(0);
        if tensor.element == self.element
            && tensor.shape.rank() == 1
            && given.checked_sub(1) == Some(experts)
        {
            return Err(Error::OffsetsWithTotal { given, experts });
        }
        self.check(tensor)
    }

    fn check(&self, tensor: &DeviceTensor<'_>) -> Result<Checked> {
        let Self { name, layout, .. } = *self;
        if tensor.element != self.element {
            let (given, expected) = (tensor.element, self.element);
            return Err(Error::WrongElementType { tensor: name, given, expected });
        }
        let (given, expected) = (tensor.shape.rank(), self.shape.rank());
        if given != expected {
            return Err(Error::WrongRank { tensor: name, given, expected, layout });
        }
        let lengths = tensor.shape().iter().zip(self.shape.as_slice());
        for (dim, (&given, &expected)) in lengths.enumerate() {
            if given != expected {
                return Err(Error::WrongShape { tensor: name, dim, given, expected, layout });
            }
        }
        self.check_strides(tensor)?;
        let bytes =
            size(tensor.shape(), self.element).ok_or(Error::SizeOverflow { tensor: name })?;
        let address = tensor.address;
        if bytes != 0 {
            if address == 0 {
                return Err(Error::NullPointer { tensor: name, bytes });
            }
            if !address.is_multiple_of(self.alignment) {
                return Err(Error::Misaligned { tensor: name, address, alignment: self.alignment });
            }
            if address.checked_add(bytes).is_none() {
                return Err(Error::AddressOverflow { tensor: name, address, bytes });
            }
        }
        Ok(Checked { name, address, bytes, written: self.written })
    }

    fn check_strides(&self, tensor: &DeviceTensor<'_>) -> Result<()> {
        let Some(strides) = tensor.strides else { return Ok(()) };
        let rank = tensor.shape.rank();
        if strides.rank() != rank {
            let (given, expected) = (strides.rank(), rank);
            return Err(Error::WrongStrides { tensor: self.name, given, expected });
        }
        if tensor.shape().contains(&0) {
            return Ok(());
        }
        let mut expected = 1;
        for dim in (0..rank).rev() {
            let (length, given) = (tensor.shape.get(dim), strides.get(dim));
            // A dimension of length 1 is never stepped along, so its stride means nothing.
            if length != 1 && given != expected {
                return Err(Error::NotContiguous { tensor: self.name, dim, given, expected });
            }
            expected = expected.saturating_mul(length);
        }
        Ok(())
    }
}

impl Checked {
    fn disjoint(&self, other: &Self) -> Result<()> {
        let begin = self.address.max(other.address);
        let end = (self.address + self.bytes).min(other.address + other.bytes);
        if !(self.written || other.written) || begin >= end {
            return Ok(());
        }
        let (written, other) = if self.written { (self, other) } else { (other, self) };
        Err(Error::Overlap { written: written.name, other: other.name, bytes: end - begin })
    }

    fn holds(&self, range: Option<MemoryRange>, ordinal: i32) -> Result<()> {
        let (tensor, address) = (self.name, self.address);
        let Some(range) = range else {
            return Err(Error::NotDeviceMemory { tensor, address });
        };
        if range.ordinal != ordinal {
            return Err(Error::WrongDevice { tensor, given: range.ordinal, expected: ordinal });
        }
        let available_bytes = range.bytes.saturating_sub(address.saturating_sub(range.base));
        if available_bytes < self.bytes {
            return Err(Error::BufferTooShort {
                tensor,
                needed_bytes: self.bytes,
                available_bytes,
            });
        }
        Ok(())
    }
}

// The rules promise what the tensor maps need.
const _: () = assert!(fp8_block::TILE_K as u64 * ElementType::E4m3.bytes() == 128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_keep_the_true_rank() {
        let dims = Dims::new(&[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((dims.rank(), dims.as_slice(), dims.get(9)), (7, &[1, 2, 3, 4, 5][..], 0));
    }

    #[test]
    fn a_stride_along_one_element_means_nothing() {
        let rule = &rules(&Fp8GroupedMm {
            rows: 1,
            experts: 1,
            n: 128,
            k: 128,
            output: ElementType::Bf16,
        })[0];
        let tensor = DeviceTensor::new(4096, ElementType::Bf16, &[1, 128]);
        assert!(rule.check(&tensor.with_strides(&[999, 1])).is_ok());
        assert!(rule.check(&tensor.with_strides(&[128, 2])).is_err());
    }

    #[test]
    fn tensors_that_only_touch_do_not_overlap() {
        let t = |address, bytes, written| Checked { name: "x", address, bytes, written };
        assert!(t(0x100, 0x100, true).disjoint(&t(0x200, 0x10, false)).is_ok());
        assert!(t(0x100, 0x101, true).disjoint(&t(0x200, 0x10, false)).is_err());
        assert!(t(0x100, 0x101, false).disjoint(&t(0x200, 0x10, false)).is_ok());
        assert!(t(0x100, 0, true).disjoint(&t(0x100, 0, true)).is_ok());
    }
}
