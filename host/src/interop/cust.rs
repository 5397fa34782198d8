//! [cust](https://docs.rs/cust)'s memory and streams (feature `cust`, version 0.3).
//!
//! [`read`] and [`write()`] lend a `DeviceBuffer`, [`launch`] puts the kernel into a `Stream`. cust orders nothing by
//! itself: as with its own launches, synchronise the stream before the results are copied on another one. A buffer may
//! be dropped at any time, as that waits for the device; `DeviceBuffer::drop_async` does not, and belongs on the stream
//! of the launch.
//!
//! cust has no bf16 of half 2: a bf16 tensor is a `DeviceBuffer<u16>`, FP8 codes and block scales are a
//! `DeviceBuffer<u8>`.
//!
//! # Linking
//!
//! cust links `libcuda` when a program is built, and its build script looks for a CUDA installation. Without one, name a
//! folder that holds a `lib64` in `CUDA_LIBRARY_PATH`: an empty one is enough to check and to document, `libcuda.so` (the
//! driver's, or a stub) must be in it to link. The rest of this crate needs none of that.
//!
//! ```no_run
//! use cust::memory::DeviceBuffer;
//! use cust::stream::{Stream, StreamFlags};
//! use expert_gemm::interop::cust::{launch, read, write};
//! use expert_gemm::{Device, ElementType as E, Fp8GroupedMm, Fp8GroupedMmTensors};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (rows, experts, n, k) = (256, 8, 4096, 7168);
//! let device = Device::open(0)?; // the same primary context as cust's
//! let problem = Fp8GroupedMm { rows, experts, n, k, output: E::Bf16 };
//! let prepared = device.prepare(&problem.plan(device.info())?)?;
//!
//! let _context = cust::quick_init()?;
//! let stream = Stream::new(StreamFlags::NON_BLOCKING, None)?;
//! let a = DeviceBuffer::<u8>::zeroed(256 * 7168)?;
//! let b = DeviceBuffer::<u8>::zeroed(8 * 4096 * 7168)?;
//! let scales_a = DeviceBuffer::from_slice(&vec![1f32; 256 * 56])?;
//! let scales_b = DeviceBuffer::from_slice(&vec![1f32; 8 * 32 * 56])?;
//! let sizes = DeviceBuffer::from_slice(&[32, 4096, 7168].repeat(8))?;
//! let offsets = DeviceBuffer::from_slice(&[0, 32, 64, 96, 128, 160, 192, 224])?;
//! let mut output = DeviceBuffer::<u16>::zeroed(256 * 4096)?;
//!
//! launch(&prepared, &stream, &Fp8GroupedMmTensors {
//!     output: write(&mut output, E::Bf16, &[rows, n])?,
//!     a: read(&a, E::E4m3, &[rows, k])?,
//!     b: read(&b, E::E4m3, &[experts, n, k])?,
//!     scales_a: read(&scales_a, E::F32, &[rows, k / 128])?,
//!     scales_b: read(&scales_b, E::F32, &[experts, n / 128, k / 128])?,
//!     problem_sizes: read(&sizes, E::I32, &[experts, 3])?,
//!     expert_offsets: read(&offsets, E::I32, &[experts])?,
//!     status: None,
//! })?;
//! stream.synchronize()?;
//! # Ok(())
//! # }
//! ```
//!
//! A buffer cannot go away while it is lent:
//!
//! ```compile_fail,E0505
//! # use cust::{memory::DeviceBuffer, stream::Stream};
//! # use expert_gemm::{ElementType as E, interop::cust::read};
//! fn dangle(a: DeviceBuffer<u8>) -> expert_gemm::Result<()> {
//!     let tensor = read(&a, E::E4m3, &[256, 7168])?;
//!     drop(a);
//!     println!("{tensor:?}");
//!     Ok(())
//! }
//! ```

use super::{Elements, ForeignError, Lender};
use crate::abi::ElementType;
use crate::driver::Stream;
use crate::error::Result;
use crate::ops::Operation;
use crate::runtime::Prepared;
use crate::tensor::DeviceTensor;
use cust::memory::{DeviceBuffer, DeviceCopy};

/// Memory that the kernel reads, as a packed row-major tensor of `shape`.
///
/// # Errors
///
/// [`ForeignError::ElementType`] if `T` does not hold such elements. Whether the memory is long enough, and on the right
/// device, is checked by the launch.
pub fn read<'a, T: Elements + DeviceCopy>(
    memory: &'a DeviceBuffer<T>,
    element: ElementType,
    shape: &[u64],
) -> Result<DeviceTensor<'a>> {
    lend(memory, true, element, shape)
}

/// Memory that the kernel writes, as a packed row-major tensor of `shape`. A status word is written.
///
/// # Errors
///
/// As [`read`].
pub fn write<'a, T: Elements + DeviceCopy>(
    memory: &'a mut DeviceBuffer<T>,
    element: ElementType,
    shape: &[u64],
) -> Result<DeviceTensor<'a>> {
    lend(memory, false, element, shape)
}

fn lend<'a, T: Elements + DeviceCopy>(
    memory: &'a DeviceBuffer<T>,
    read_only: bool,
    element: ElementType,
    shape: &[u64],
) -> Result<DeviceTensor<'a>> {
    // A buffer does not say whose memory it is; the launch asks the driver.
    let lender = Lender { name: "DeviceBuffer", ordinal: None, read_only };
    lender.lend::<T>((memory.as_device_ptr().as_raw(), memory.len()), element, shape)
}

/// Checks the tensors and puts one kernel into `stream`, as [`Prepared::launch`] does.
///
/// # Errors
///
/// [`ForeignError::StreamElsewhere`] for a stream of a context that is not the primary one of the plan's device, and what
/// [`Prepared::launch`] refuses.
pub fn launch<O: Operation>(
    prepared: &Prepared<O>,
    stream: &cust::stream::Stream,
    tensors: &O::Tensors<'_>,
) -> Result<()> {
    // SAFETY: the stream is borrowed until the kernel is in it, and used on this device only if its context is the same.
    let raw = unsafe { Stream::from_raw(stream.as_inner() as usize as u64) };
    let driver = prepared.device().driver();
    if driver.context_of(raw)? != driver.context() {
        return Err(ForeignError::StreamElsewhere {
            owner: "Stream",
            given: "another context".to_owned(),
            expected: format!("the primary one of device {}", driver.info().ordinal),
            remedy: "make the stream while `Context::new` of that device is current",
        }
        .into());
    }
    prepared.launch(raw, tensors)
}
