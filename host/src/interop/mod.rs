//! Memory and streams of other libraries, lent to a launch without a copy. A module each, behind features that are off
//! by default:
//!
//! | feature | lends | its stream |
//! | --- | --- | --- |
//! | `cudarc` | `CudaSlice`, `CudaView`, `CudaViewMut` | `CudaStream`, with cudarc's event tracking |
//! | `cust` | `DeviceBuffer` | `Stream` |
//! | `dlpack` | `DLManagedTensor`, `DLManagedTensorVersioned` (`PyTorch`, `CuPy`, `JAX`, ...) | the stream of the exchange |
//! | `candle` | `Tensor` on the CPU, through the CPU backend | - |
//! | `candle-cuda` | `Tensor` on a GPU | candle's stream |
//!
//! What is lent becomes a [`DeviceTensor`](crate::DeviceTensor) and so meets the same checks as any other. Its lifetime
//! is that of the borrow, and it remembers how long the memory is, on which device, and (DLPack) for which stream, which
//! every launch compares, whatever its [`Checks`](crate::Checks).
//!
//! The memory must be of the device that the plan is prepared for, by the number that CUDA gives it in this process, and
//! the stream of its primary context: that is the context of the CUDA runtime, of `CudaContext::new` and of cust's
//! `Context::new`. Anything else without an adapter comes in by
//! [`DeviceTensor::from_raw`](crate::DeviceTensor::from_raw) and [`Stream::from_raw`](crate::Stream::from_raw).

mod elements;
mod error;

#[cfg(feature = "candle")]
pub mod candle;
#[cfg(feature = "cudarc")]
pub mod cudarc;
#[cfg(feature = "cust")]
pub mod cust;
#[cfg(feature = "dlpack")]
pub mod dlpack;

pub use elements::Elements;
pub use error::ForeignError;

#[cfg(any(feature = "cudarc", feature = "cust"))]
pub(crate) use elements::Lender;
