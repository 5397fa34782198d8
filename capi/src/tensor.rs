//! Tensors, and the codes of element types.

use crate::status::{Refusal, Result, from_code};
use expert_gemm::{DeviceTensor, ElementType};
use std::ffi::c_void;

/// Dimensions that an `eg_tensor` has room for.
pub const EG_MAX_RANK: usize = 5;

/// The element types. 0 is none of them, so that a tensor of zeros is refused.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum eg_element {
    /// bfloat16, 2 bytes.
    Bf16 = 1,
    /// IEEE binary16, 2 bytes.
    F16 = 2,
    /// IEEE binary32, 4 bytes.
    F32 = 3,
    /// 8-bit float, 4 exponent bits, 3 mantissa bits, no infinity (`float8_e4m3fn`).
    E4m3 = 4,
    /// A power of two, 2^(byte - 127); 255 is NaN (`float8_e8m0fnu`). `EG_ELEMENT_U8` may stand for it.
    E8m0 = 5,
    /// Signed 32-bit integer.
    I32 = 6,
    /// Unsigned 32-bit integer.
    U32 = 7,
    /// A byte.
    U8 = 8,
}

/// A tensor: address, element type, shape, and strides unless it is packed row-major. The memory is the
/// caller's, on the device of the plan (host memory for the CPU), and stays allocated until the work is done.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct eg_tensor {
    /// Address of element 0. NULL is ordinary where there are no elements.
    pub data: *mut c_void,
    /// An `eg_element`.
    pub element: u32,
    /// Number of dimensions.
    pub rank: u32,
    /// Lengths in elements, the innermost last. Entries from `rank` on are not read.
    pub shape: [u64; EG_MAX_RANK],
    /// `rank` strides in elements, so that the call can tell whether the tensor is packed; NULL says that it is.
    pub strides: *const u64,
}

/// The element type of a code.
pub(crate) fn element(field: &'static str, code: u32) -> Result<ElementType> {
    const CODES: [(eg_element, ElementType); 8] = [
        (eg_element::Bf16, ElementType::Bf16),
        (eg_element::F16, ElementType::F16),
        (eg_element::F32, ElementType::F32),
        (eg_element::E4m3, ElementType::E4m3),
        (eg_element::E8m0, ElementType::E8m0),
        (eg_element::I32, ElementType::I32),
        (eg_element::U32, ElementType::U32),
        (eg_element::U8, ElementType::U8),
    ];
    from_code(field, "eg_element", code, CODES.map(|(code, element)| (code as u32, element)))
}

impl eg_tensor {
    /// The tensor as the host crate takes it.
    ///
    /// # Safety
    ///
    /// `strides` is NULL or to `rank` numbers; and as [`DeviceTensor::from_raw`].
    pub(crate) unsafe fn view<'a>(&self, name: &'static str) -> Result<DeviceTensor<'a>> {
        let element = element(name, self.element)?;
        let rank = self.rank as usize;
        let Some(shape) = self.shape.get(..rank) else {
            let (given, max) = (self.rank, EG_MAX_RANK);
            return Err(Refusal::TooManyDimensions { tensor: name, given, max });
        };
        let address = self.data.expose_provenance() as u64;
        // SAFETY: by the caller's promise.
        let view = unsafe { DeviceTensor::from_raw(address, element, shape) };
        if self.strides.is_null() {
            return Ok(view);
        }
        if !self.strides.is_aligned() {
            let (argument, what) = (name, "strides");
            let (address, alignment) = (self.strides.addr(), align_of::<u64>());
            return Err(Refusal::Misaligned { argument, what, address, alignment });
        }
        // SAFETY: not null, aligned, and `rank` numbers by the caller's promise.
        Ok(view.with_strides(unsafe { std::slice::from_raw_parts(self.strides, rank) }))
    }

    /// The same for a tensor that may be left out: by a NULL address.
    ///
    /// # Safety
    ///
    /// As [`view`](Self::view).
    pub(crate) unsafe fn optional_view<'a>(
        &self,
        name: &'static str,
    ) -> Result<Option<DeviceTensor<'a>>> {
        if self.data.is_null() {
            return Ok(None);
        }
        // SAFETY: by the caller's promise.
        unsafe { self.view(name) }.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_type_of_its_name() {
        use eg_element as E;
        let codes = [E::Bf16, E::F16, E::F32, E::E4m3, E::E8m0, E::I32, E::U32, E::U8];
        for code in codes {
            let element = element("a", code as u32).expect("a code of the header");
            assert_eq!(format!("{element:?}"), format!("{code:?}"));
        }
        for nonsense in [0, 9, u32::MAX] {
            assert!(
                matches!(element("a", nonsense), Err(Refusal::UnknownCode { given, .. }) if given == nonsense)
            );
        }
    }

    #[test]
    fn a_tensor_is_one_line_of_the_cache() {
        assert_eq!(size_of::<eg_tensor>(), 64);
    }

    #[test]
    fn too_many_dimensions_are_counted_not_read() {
        let tensor = eg_tensor {
            data: std::ptr::null_mut(),
            element: eg_element::U8 as u32,
            rank: 6,
            shape: [1; EG_MAX_RANK],
            strides: std::ptr::null(),
        };
        // SAFETY: nothing is followed.
        let refused = unsafe { tensor.view("a") };
        assert!(matches!(refused, Err(Refusal::TooManyDimensions { given: 6, max: 5, .. })));
    }
}
