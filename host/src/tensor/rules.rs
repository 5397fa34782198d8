//! What the tensors of a call must be, and everything that can be wrong with them.

use super::{DeviceTensor, Dims, Loan};
use crate::abi::ElementType;
use crate::driver::{Driver, MemoryRange, Stream};
use crate::error::{Error, Result};
use crate::interop::ForeignError;
use crate::ops::{Operation, size};

/// Most tensors of a call, the status word included.
const MAX_TENSORS: usize = 9;

/// What one tensor must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    name: &'static str,
    layout: &'static str,
    element: ElementType,
    /// Another name for the same bytes.
    alias: Option<ElementType>,
    shape: Dims,
    alignment: u64,
    written: bool,
}

/// The tensors of a call that have passed their rules so far.
#[derive(Debug, Default)]
pub struct Inspection {
    seen: [Option<Checked>; MAX_TENSORS],
    count: usize,
}

/// A tensor that passed its rule, with its size.
#[derive(Clone, Copy, Debug)]
struct Checked {
    name: &'static str,
    address: u64,
    bytes: u64,
    written: bool,
    loan: Option<Loan>,
}

impl Inspection {
    /// Inspects all tensors of a call, each for itself and then against each other.
    pub(crate) fn of<O: Operation>(problem: &O, tensors: &O::Tensors<'_>) -> Result<Self> {
        let mut inspection = Self::default();
        problem.inspect(tensors, &mut inspection)?;
        for (i, first) in inspection.seen().enumerate() {
            for second in inspection.seen().skip(i + 1) {
                first.disjoint(second)?;
            }
        }
        Ok(inspection)
    }

    /// Asks whether every tensor is memory of the driver's device, and long enough.
    pub(crate) fn memory(&self, driver: &dyn Driver) -> Result<()> {
        let ordinal = driver.info().ordinal;
        let tensors = || self.seen().filter(|tensor| tensor.bytes != 0);
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

    /// Whether every tensor whose owner is known may be used by device `ordinal` in the order of `stream`. Asks no
    /// driver.
    pub(crate) fn loans(&self, ordinal: i32, stream: Stream) -> Result<()> {
        for Checked { name: tensor, bytes, loan, .. } in self.seen() {
            let Some(loan) = loan.filter(|_| *bytes != 0) else { continue };
            if let Some(given) = loan.ordinal.filter(|&given| given != ordinal) {
                return Err(Error::WrongDevice { tensor, given, expected: ordinal });
            }
            if let Some(lent) = loan.stream.filter(|&lent| lent != stream) {
                let (given, expected) = (stream.raw(), lent.raw());
                return Err(ForeignError::WrongStream { tensor, given, expected }.into());
            }
        }
        Ok(())
    }

    pub(crate) fn tensor(&mut self, tensor: &DeviceTensor<'_>, rule: Rule) -> Result<()> {
        let checked = rule.check(tensor)?;
        // A test holds every operation to `MAX_TENSORS`.
        if let Some(place) = self.seen.get_mut(self.count) {
            *place = Some(checked);
            self.count += 1;
        }
        Ok(())
    }

    pub(crate) fn problem_sizes(&mut self, tensor: &DeviceTensor<'_>, experts: u64) -> Result<()> {
        let shape = [experts, 3];
        self.tensor(tensor, Rule::new("problem_sizes", "[E, 3]", ElementType::I32, &shape, 4))
    }

    /// One number for each expert; callers often hold the total behind them.
    pub(crate) fn offsets(
        &mut self,
        name: &'static str,
        tensor: &DeviceTensor<'_>,
        experts: u64,
    ) -> Result<()> {
        let given = tensor.shape.get(0);
        if tensor.element == ElementType::I32
            && tensor.shape.rank() == 1
            && given.checked_sub(1) == Some(experts)
        {
            return Err(Error::OffsetsWithTotal { tensor: name, given, experts });
        }
        self.tensor(tensor, Rule::new(name, "[E]", ElementType::I32, &[experts], 4))
    }

    pub(crate) fn status(&mut self, tensor: Option<&DeviceTensor<'_>>) -> Result<()> {
        let rule = Rule::new("status", "[1]", ElementType::U32, &[1], 4).written();
        tensor.map_or(Ok(()), |tensor| self.tensor(tensor, rule))
    }

    fn seen(&self) -> impl Iterator<Item = &Checked> {
        self.seen.iter().flatten()
    }
}

impl Rule {
    pub(crate) fn new(
        name: &'static str,
        layout: &'static str,
        element: ElementType,
        shape: &[u64],
        alignment: u64,
    ) -> Self {
        let shape = Dims::new(shape);
        Self { name, layout, element, alias: None, shape, alignment, written: false }
    }

    /// Block scales: e8m0, which many frameworks hold as plain bytes.
    pub(crate) fn scales(name: &'static str, layout: &'static str, shape: &[u64]) -> Self {
        let rule = Self::new(name, layout, ElementType::E8m0, shape, 16);
        Self { alias: Some(ElementType::U8), ..rule }
    }

    pub(crate) const fn written(self) -> Self {
        Self { written: true, ..self }
    }

    fn check(&self, tensor: &DeviceTensor<'_>) -> Result<Checked> {
        let Self { name, layout, .. } = *self;
        if tensor.element != self.element && Some(tensor.element) != self.alias {
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
        if self.written && tensor.loan.is_some_and(|loan| loan.read_only) {
            return Err(ForeignError::ReadOnly { tensor: name }.into());
        }
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
            if let Some(available_bytes) = tensor.loan.and_then(|loan| loan.bytes)
                && available_bytes < bytes
            {
                let needed_bytes = bytes;
                return Err(Error::BufferTooShort { tensor: name, needed_bytes, available_bytes });
            }
        }
        Ok(Checked { name, address, bytes, written: self.written, loan: tensor.loan })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_along_one_element_means_nothing() {
        let rule = Rule::new("output", "[T, N]", ElementType::Bf16, &[1, 128], 16);
        let tensor = DeviceTensor::new(4096, ElementType::Bf16, &[1, 128]);
        assert!(rule.check(&tensor.with_strides(&[999, 1])).is_ok());
        assert!(rule.check(&tensor.with_strides(&[128, 2])).is_err());
    }

    #[test]
    fn scales_may_be_called_bytes() {
        let rule = Rule::scales("sfa", "[S, K / 32]", &[128, 4]);
        for (element, right) in [
            (ElementType::E8m0, true),
            (ElementType::U8, true),
            (ElementType::E4m3, false),
            (ElementType::F32, false),
        ] {
            let tensor = DeviceTensor::new(4096, element, &[128, 4]);
            assert_eq!(rule.check(&tensor).is_ok(), right, "{element:?}");
        }
    }

    #[test]
    fn tensors_that_only_touch_do_not_overlap() {
        let t =
            |address, bytes, written| Checked { name: "x", address, bytes, written, loan: None };
        assert!(t(0x100, 0x100, true).disjoint(&t(0x200, 0x10, false)).is_ok());
        assert!(t(0x100, 0x101, true).disjoint(&t(0x200, 0x10, false)).is_err());
        assert!(t(0x100, 0x101, false).disjoint(&t(0x200, 0x10, false)).is_ok());
        assert!(t(0x100, 0, true).disjoint(&t(0x100, 0, true)).is_ok());
    }
}
