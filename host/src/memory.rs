//! Device memory that frees itself, and the host types that can be copied to it.

use crate::abi::ElementType;
use crate::driver::{Driver, Stream};
use crate::error::{Error, Result};
use crate::tensor::{DeviceTensor, Loan};
use half::{bf16, f16};
use std::sync::Arc;

/// Types whose every bit pattern is a value and that have no padding.
///
/// # Safety
///
/// Both must hold.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty)*) => { $(
        // SAFETY: a number of fixed layout; every bit pattern is a value.
        unsafe impl Plain for $type {}
    )* };
}
plain!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bf16 f16);

#[cfg(feature = "candle")]
plain!(float8::F8E4M3);

// SAFETY: an array has no padding between its elements.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The bytes of a slice.
pub(crate) fn bytes_of<T: Plain>(slice: &[T]) -> &[u8] {
    // SAFETY: `Plain` types have no padding, so every byte is initialised; the length is the slice's.
    unsafe { std::slice::from_raw_parts(slice.as_ptr().cast(), size_of_val(slice)) }
}

fn bytes_of_mut<T: Plain>(slice: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`, and every bit pattern that is written is a value.
    unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr().cast(), size_of_val(slice)) }
}

/// Device memory, freed with this value (the driver first waits for the work that uses it).
#[derive(Debug)]
pub struct DeviceBuffer {
    driver: Arc<dyn Driver>,
    address: u64,
    bytes: u64,
}

impl DeviceBuffer {
    pub(crate) fn new(driver: &Arc<dyn Driver>, bytes: u64) -> Result<Self> {
        let address = if bytes == 0 { 0 } else { driver.alloc(bytes)? };
        Ok(Self { driver: Arc::clone(driver), address, bytes })
    }

    /// First address; 0 for a buffer of 0 bytes.
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// Size in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of the device whose memory it is.
    pub fn ordinal(&self) -> i32 {
        self.driver.info().ordinal
    }

    /// The buffer as a packed row-major tensor from its first byte on. Whether it is long enough, and on the device
    /// of the call, is checked by the launch.
    pub fn tensor(&self, element: ElementType, shape: &[u64]) -> DeviceTensor<'_> {
        self.lend(0, element, shape)
    }

    /// The buffer as a tensor that begins `offset` bytes into it.
    ///
    /// # Errors
    ///
    /// [`Error::CopyTooLong`] if the tensor would not lie inside of the buffer.
    pub fn tensor_at(
        &self,
        offset: u64,
        element: ElementType,
        shape: &[u64],
    ) -> Result<DeviceTensor<'_>> {
        let given = crate::ops::size(shape, element).unwrap_or(u64::MAX);
        self.check(offset, given)?;
        Ok(self.lend(offset, element, shape))
    }

    fn lend(&self, offset: u64, element: ElementType, shape: &[u64]) -> DeviceTensor<'_> {
        let bytes = Some(self.bytes.saturating_sub(offset));
        let loan = Loan { bytes, ordinal: Some(self.ordinal()), ..Loan::default() };
        DeviceTensor::new(self.address.saturating_add(offset), element, shape).with_loan(loan)
    }

    /// Copies a slice to the start of the buffer and waits.
    ///
    /// # Errors
    ///
    /// [`Error::CopyTooLong`], or what the driver answers.
    pub fn upload<T: Plain>(&self, from: &[T]) -> Result<()> {
        let from = bytes_of(from);
        self.check(0, from.len() as u64)?;
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: the range lies in this buffer.
        unsafe { self.driver.copy_to_device(self.address, from) }
    }

    /// Copies the start of the buffer to a slice and waits.
    ///
    /// # Errors
    ///
    /// [`Error::CopyTooLong`], or what the driver answers.
    pub fn download<T: Plain>(&self, to: &mut [T]) -> Result<()> {
        let to = bytes_of_mut(to);
        self.check(0, to.len() as u64)?;
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: the range lies in this buffer.
        unsafe { self.driver.copy_to_host(to, self.address) }
    }

    /// The whole buffer as elements of `T`; bytes beyond the last whole element are left out.
    ///
    /// # Errors
    ///
    /// [`Error::HostMemory`], or what the driver answers.
    pub fn to_vec<T: Plain + Default>(&self) -> Result<Vec<T>> {
        let size = size_of::<T>().max(1) as u64;
        let count = usize::try_from(self.bytes / size).unwrap_or(usize::MAX);
        let mut elements = Vec::new();
        let refused = |_| Error::HostMemory { requested_bytes: self.bytes };
        elements.try_reserve_exact(count).map_err(refused)?;
        elements.resize(count, T::default());
        self.download(&mut elements)?;
        Ok(elements)
    }

    /// Sets every byte, in the order of `stream`.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub fn fill(&self, value: u8, stream: Stream) -> Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        // SAFETY: the range is this buffer.
        unsafe { self.driver.fill(self.address, value, self.bytes, stream) }
    }

    fn check(&self, offset: u64, given: u64) -> Result<()> {
        match offset.checked_add(given) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(Error::CopyTooLong { given, offset, capacity: self.bytes }),
        }
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        if self.address != 0 {
            // SAFETY: the address came from `alloc`, and nobody else owns it.
            // A refusal here means that the device is lost; the next call on it says so.
            let _ = unsafe { self.driver.free(self.address) };
        }
    }
}
