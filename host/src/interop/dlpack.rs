//! [`DLPack`](https://dmlc.github.io/dlpack/latest/), the exchange of tensors between frameworks (feature `dlpack`).
//!
//! [`ManagedTensor`] takes over what `__dlpack__` of `PyTorch`, `CuPy`, `JAX` and others hands out, in either form (the
//! `dltensor` and the `dltensor_versioned` capsule), and gives it back when it is dropped. [`export`] hands a
//! [`DeviceBuffer`] out in the same way. The structures are those of `dlpack.h` 1.1; no library is linked.
//!
//! ```
//! use expert_gemm::driver::mock::MockDriver;
//! use expert_gemm::interop::dlpack::{ManagedTensor, export};
//! use expert_gemm::{Device, ElementType, Stream};
//!
//! let device = Device::with_driver(MockDriver::h200().shared()); // or `Device::open(0)?`
//! let capsule = export(device.alloc(256 * 7168)?, ElementType::E4m3, &[256, 7168])?;
//! // SAFETY: nobody else consumes the capsule, and its work is on the default stream.
//! let a = unsafe { ManagedTensor::from_raw(capsule, Stream::DEFAULT) }?;
//! let tensor = a.tensor(); // for a launch on the default stream; others are refused
//! assert_eq!((tensor.element(), tensor.shape()), (ElementType::E4m3, &[256, 7168][..]));
//! # Ok::<(), expert_gemm::Error>(())
//! ```
//!
//! # Streams
//!
//! The consumer names the stream on which it will use the tensor, as `tensor.__dlpack__(stream=s)` in Python, and the
//! producer sees to it that the data is there. Pass the same `s` as the [`Stream`] (1 is the legacy default stream, 2
//! that of the thread, as in CUDA itself; `None` is [`Stream::DEFAULT`]). A launch on any other stream is refused.
//!
//! # Types
//!
//! `float8_e4m3fn`, `float8_e8m0fnu`, `bfloat16`, `float16`, `float32`, `int32`, `uint32` and `uint8` pass as they are.
//! Frameworks without FP8 export the bytes: [`ManagedTensor::tensor_as`] says what they mean. Offsets in `int64`, as
//! `PyTorch` makes them, must be converted to `int32` first.

use super::ForeignError;
use crate::abi::ElementType;
use crate::driver::Stream;
use crate::error::{Error, Result};
use crate::memory::DeviceBuffer;
use crate::tensor::{DeviceTensor, Dims, Loan};
use std::ffi::c_void;
use std::ptr::NonNull;

/// `DLDevice`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DLDevice {
    /// `DLDeviceType`: 2 is CUDA, 13 CUDA managed memory.
    pub device_type: i32,
    /// Number of the device.
    pub device_id: i32,
}

/// `DLDataType`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DLDataType {
    /// `DLDataTypeCode`.
    pub code: u8,
    /// Bits of a lane.
    pub bits: u8,
    /// Lanes of an element; 1 but for vectors.
    pub lanes: u16,
}

/// `DLTensor`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DLTensor {
    /// Address, before [`byte_offset`](Self::byte_offset).
    pub data: *mut c_void,
    /// Where it lies.
    pub device: DLDevice,
    /// Number of dimensions.
    pub ndim: i32,
    /// Element type.
    pub dtype: DLDataType,
    /// `ndim` lengths.
    pub shape: *mut i64,
    /// `ndim` strides in elements, or null for packed row-major.
    pub strides: *mut i64,
    /// Bytes from `data` to element 0.
    pub byte_offset: u64,
}

/// `DLManagedTensor`: what a `dltensor` capsule holds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DLManagedTensor {
    /// The tensor.
    pub dl_tensor: DLTensor,
    /// The producer's own.
    pub manager_ctx: *mut c_void,
    /// Gives the tensor back.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensor)>,
}

/// `DLPackVersion`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DLPackVersion {
    /// Changes when the layout does.
    pub major: u32,
    /// Changes when something is added.
    pub minor: u32,
}

/// `DLManagedTensorVersioned`: what a `dltensor_versioned` capsule holds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DLManagedTensorVersioned {
    /// Version of the layout.
    pub version: DLPackVersion,
    /// The producer's own.
    pub manager_ctx: *mut c_void,
    /// Gives the tensor back.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensorVersioned)>,
    /// Bit 0: the tensor may be read only.
    pub flags: u64,
    /// The tensor.
    pub dl_tensor: DLTensor,
}

/// What is lent, in messages.
const OWNER: &str = "DLManagedTensor";
const CUDA: i32 = 2;
const CUDA_MANAGED: i32 = 13;
const READ_ONLY: u64 = 1;
/// The layout that this file knows.
const MAJOR: u32 = 1;

/// A tensor of another framework, given back when this value is dropped.
///
/// It stays on the thread that made it: the producer's deleter may be bound to that (`PyTorch`'s takes Python's lock by
/// itself, others do not).
#[derive(Debug)]
pub struct ManagedTensor {
    address: u64,
    element: ElementType,
    shape: Dims,
    strides: Option<Dims>,
    loan: Loan,
    _owner: Owner,
}

/// The capsule's content, which must be given back.
#[derive(Debug)]
enum Owner {
    Unversioned(NonNull<DLManagedTensor>),
    Versioned(NonNull<DLManagedTensorVersioned>),
}

impl Drop for Owner {
    fn drop(&mut self) {
        match *self {
            Self::Unversioned(managed) => {
                let managed = managed.as_ptr();
                // SAFETY: `from_raw` took the tensor over; it is alive until it is given back, here and only once.
                unsafe { (*managed).deleter.map(|delete| delete(managed)) };
            }
            Self::Versioned(managed) => {
                let managed = managed.as_ptr();
                // SAFETY: as above; in every version the deleter lies there.
                unsafe { (*managed).deleter.map(|delete| delete(managed)) };
            }
        }
    }
}

impl ManagedTensor {
    /// Takes a tensor over, for launches on `stream`. It is given back even if it is refused.
    ///
    /// # Safety
    ///
    /// `managed` is a tensor as `DLPack` describes it, not consumed before and not used afterwards. The producer has been
    /// told that the consumer works on `stream`: the data is ready in its order, and when the tensor is given back the
    /// memory is used for something else only behind the work that `stream` then holds (or the caller synchronises
    /// before). Until then nothing else writes it, and nothing reads what a launch writes.
    ///
    /// # Errors
    ///
    /// [`ForeignError::Tensor`] for memory that is not CUDA's, and for element types that no operation has.
    pub unsafe fn from_raw(managed: NonNull<DLManagedTensor>, stream: Stream) -> Result<Self> {
        let owner = Owner::Unversioned(managed);
        // SAFETY: the caller vouches for the tensor, which `owner` keeps.
        unsafe { Self::new(&managed.as_ref().dl_tensor, false, stream, owner) }
    }

    /// As [`from_raw`](Self::from_raw), for the newer form, which can say that the tensor may be read only.
    ///
    /// # Safety
    ///
    /// As [`from_raw`](Self::from_raw).
    ///
    /// # Errors
    ///
    /// As [`from_raw`](Self::from_raw), and [`ForeignError::Tensor`] for a layout newer than version 1.
    pub unsafe fn from_raw_versioned(
        managed: NonNull<DLManagedTensorVersioned>,
        stream: Stream,
    ) -> Result<Self> {
        let owner = Owner::Versioned(managed);
        // SAFETY: the first fields are the same in every version.
        let DLPackVersion { major, minor } = unsafe { (*managed.as_ptr()).version };
        if major != MAJOR {
            let remedy = "ask the producer for `max_version=(1, 1)`";
            return Err(refused("version", format!("{major}.{minor}"), "1", remedy));
        }
        // SAFETY: the version is known; the caller vouches for the tensor, which `owner` keeps.
        unsafe {
            let DLManagedTensorVersioned { flags, dl_tensor, .. } = managed.as_ref();
            Self::new(dl_tensor, flags & READ_ONLY != 0, stream, owner)
        }
    }

    /// # Safety
    ///
    /// Shape and strides are null or have as many entries as there are dimensions.
    unsafe fn new(
        tensor: &DLTensor,
        read_only: bool,
        stream: Stream,
        owner: Owner,
    ) -> Result<Self> {
        let DLDevice { device_type, device_id } = tensor.device;
        if !matches!(device_type, CUDA | CUDA_MANAGED) {
            let allowed = "2 or 13 (CUDA)";
            let remedy = "move the tensor to the GPU first";
            return Err(refused("device type", device_type.to_string(), allowed, remedy));
        }
        // SAFETY: passed on.
        let shape = unsafe { dims("shape", tensor.shape, tensor.ndim)? };
        let strides = if tensor.strides.is_null() {
            None
        } else {
            // SAFETY: passed on.
            Some(unsafe { dims("strides", tensor.strides, tensor.ndim)? })
        };
        let address = (tensor.data as usize as u64).wrapping_add(tensor.byte_offset);
        let element = element_of(tensor.dtype)?;
        let ordinal = Some(device_id);
        let loan = Loan { bytes: None, ordinal, stream: Some(stream), read_only };
        Ok(Self { address, element, shape, strides, loan, _owner: owner })
    }

    /// The tensor as it is described, for a launch on the stream that it was taken over for. A launch checks its shape
    /// and whether it is packed.
    pub fn tensor(&self) -> DeviceTensor<'_> {
        self.view(self.element)
    }

    /// The bytes of a `uint8` tensor as elements of another type of one byte: FP8 codes or block scales.
    ///
    /// # Errors
    ///
    /// [`ForeignError::ElementType`] if the tensor has another element type, or `element` more than one byte.
    pub fn tensor_as(&self, element: ElementType) -> Result<DeviceTensor<'_>> {
        if self.element != ElementType::U8 || element.bytes() != 1 {
            let (owner, given, asked) = (OWNER, self.element.name().to_owned(), element);
            let allowed = match self.element {
                ElementType::U8 => "u8, e4m3 or e8m0".to_owned(),
                other => other.name().to_owned(),
            };
            return Err(ForeignError::ElementType { owner, given, asked, allowed }.into());
        }
        Ok(self.view(element))
    }

    fn view(&self, element: ElementType) -> DeviceTensor<'_> {
        let tensor = DeviceTensor::new(self.address, element, self.shape.as_slice());
        let tensor = tensor.with_loan(self.loan);
        match &self.strides {
            Some(strides) => tensor.with_strides(strides.as_slice()),
            None => tensor,
        }
    }
}

/// Hands a buffer out as a packed row-major tensor, which frees it when its consumer gives it back.
///
/// The consumer must wait for the work that writes the buffer: `DLPack` carries no stream along.
///
/// # Errors
///
/// [`Error::CopyTooLong`] if the tensor does not fit the buffer, [`ForeignError::Tensor`] for a dimension that `DLPack`
/// cannot express; then the buffer is freed.
pub fn export(
    buffer: DeviceBuffer,
    element: ElementType,
    shape: &[u64],
) -> Result<NonNull<DLManagedTensor>> {
    // Refuses what does not fit.
    buffer.tensor_at(0, element, shape)?;
    let length = |&length: &u64| {
        let remedy = "no dimension can be longer";
        i64::try_from(length).map_err(|_| refused("shape", length.to_string(), "an i64", remedy))
    };
    let lengths = shape.iter().map(length).collect::<Result<Vec<i64>>>()?;
    let mut strides = lengths.clone();
    let mut stride = 1i64;
    for (to, length) in strides.iter_mut().zip(&lengths).rev() {
        *to = stride;
        stride = stride.saturating_mul(*length);
    }
    let (code, bits) = code_of(element);
    let mut exported = Box::new(Exported {
        managed: DLManagedTensor {
            dl_tensor: DLTensor {
                data: std::ptr::without_provenance_mut(buffer.address() as usize),
                device: DLDevice { device_type: CUDA, device_id: buffer.ordinal() },
                ndim: lengths.len() as i32,
                dtype: DLDataType { code, bits, lanes: 1 },
                shape: std::ptr::null_mut(),
                strides: std::ptr::null_mut(),
                byte_offset: 0,
            },
            manager_ctx: std::ptr::null_mut(),
            deleter: Some(delete),
        },
        lengths,
        strides,
        _buffer: buffer,
    });
    exported.managed.dl_tensor.shape = exported.lengths.as_mut_ptr();
    exported.managed.dl_tensor.strides = exported.strides.as_mut_ptr();
    Ok(NonNull::from(Box::leak(exported)).cast())
}

/// A buffer that was handed out. The tensor is its first field, so that both have one address.
#[repr(C)]
struct Exported {
    managed: DLManagedTensor,
    lengths: Vec<i64>,
    strides: Vec<i64>,
    _buffer: DeviceBuffer,
}

unsafe extern "C" fn delete(managed: *mut DLManagedTensor) {
    // SAFETY: `export` made the box, and a consumer gives it back once.
    drop(unsafe { Box::from_raw(managed.cast::<Exported>()) });
}

/// # Safety
///
/// `values` is null or has `count` entries.
unsafe fn dims(field: &'static str, values: *const i64, count: i32) -> Result<Dims> {
    let count = match usize::try_from(count) {
        Ok(0) => return Ok(Dims::default()),
        Ok(count) if !values.is_null() => count,
        _ => {
            let remedy = "the producer does not follow DLPack";
            return Err(refused(field, format!("null of {count} entries"), "a list", remedy));
        }
    };
    // SAFETY: as promised.
    let values = unsafe { std::slice::from_raw_parts(values, count) };
    if let Some(negative) = values.iter().find(|value| **value < 0) {
        let (given, remedy) =
            (format!("{negative} in one dimension"), "make the tensor contiguous");
        return Err(refused(field, given, "0 or more", remedy));
    }
    Ok(Dims::new(&values.iter().map(|value| value.unsigned_abs()).collect::<Vec<_>>()))
}

/// Element types that pass.
const ELEMENTS: [ElementType; 8] = [
    ElementType::Bf16,
    ElementType::F16,
    ElementType::F32,
    ElementType::E4m3,
    ElementType::E8m0,
    ElementType::I32,
    ElementType::U32,
    ElementType::U8,
];

/// `DLDataTypeCode` and bits of an element type.
const fn code_of(element: ElementType) -> (u8, u8) {
    match element {
        ElementType::I32 => (0, 32),
        ElementType::U8 => (1, 8),
        ElementType::U32 => (1, 32),
        ElementType::F16 => (2, 16),
        ElementType::F32 => (2, 32),
        ElementType::Bf16 => (4, 16),
        ElementType::E4m3 => (10, 8),
        ElementType::E8m0 => (14, 8),
    }
}

fn element_of(dtype: DLDataType) -> Result<ElementType> {
    let DLDataType { code, bits, lanes } = dtype;
    let is_it = |element: &ElementType| code_of(*element) == (code, bits) && lanes == 1;
    ELEMENTS.into_iter().find(is_it).ok_or_else(|| {
        let given = format!("code {code}, {bits} bits, {lanes} lanes");
        let allowed =
            "float8_e4m3fn, float8_e8m0fnu, bfloat16, float16, float32, int32, uint32 or uint8";
        refused("element type", given, allowed, "convert the tensor before the exchange")
    })
}

fn refused(
    field: &'static str,
    given: String,
    allowed: &'static str,
    remedy: &'static str,
) -> Error {
    ForeignError::Tensor { owner: OWNER, field, given, allowed, remedy }.into()
}
