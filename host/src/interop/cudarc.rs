//! [cudarc](https://docs.rs/cudarc)'s memory and streams (feature `cudarc`, version 0.19).
//!
//! [`launch`] takes cudarc's stream and a closure that lends the tensors. cudarc then knows what the kernel reads and
//! writes: where event tracking is on (it is by default, once a context has a second stream), the launch waits for
//! writes of other streams before it, and whoever uses or frees the memory on another stream waits for the launch.
//!
//! ```no_run
//! use cudarc::driver::CudaContext;
//! use expert_gemm::interop::cudarc::launch;
//! use expert_gemm::{Device, ElementType as E, Fp8GroupedMm, Fp8GroupedMmTensors};
//! use half::bf16;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (rows, experts, n, k) = (256, 8, 4096, 7168);
//! let device = Device::open(0)?; // the same primary context as cudarc's
//! let problem = Fp8GroupedMm { rows, experts, n, k, output: E::Bf16 };
//! let prepared = device.prepare(&problem.plan(device.info())?)?;
//!
//! let stream = CudaContext::new(0)?.new_stream()?;
//! let a = stream.alloc_zeros::<u8>(256 * 7168)?; // FP8 codes are bytes
//! let b = stream.alloc_zeros::<u8>(8 * 4096 * 7168)?;
//! let scales_a = stream.clone_htod(&vec![1f32; 256 * 56])?;
//! let scales_b = stream.clone_htod(&vec![1f32; 8 * 32 * 56])?;
//! let sizes = stream.clone_htod(&[32, 4096, 7168].repeat(8))?;
//! let offsets = stream.clone_htod(&[0, 32, 64, 96, 128, 160, 192, 224])?;
//! let mut output = stream.alloc_zeros::<bf16>(256 * 4096)?;
//!
//! launch(&prepared, &stream, |lend| {
//!     Ok(Fp8GroupedMmTensors {
//!         output: lend.write(&mut output, E::Bf16, &[rows, n])?,
//!         a: lend.read(&a, E::E4m3, &[rows, k])?,
//!         b: lend.read(&b, E::E4m3, &[experts, n, k])?,
//!         scales_a: lend.read(&scales_a, E::F32, &[rows, k / 128])?,
//!         scales_b: lend.read(&scales_b, E::F32, &[experts, n / 128, k / 128])?,
//!         problem_sizes: lend.read(&sizes, E::I32, &[experts, 3])?,
//!         expert_offsets: lend.read(&offsets, E::I32, &[experts])?,
//!         status: None,
//!     })
//! })?;
//! let output = stream.clone_dtoh(&output)?; // cudarc waits for the kernel
//! # Ok(())
//! # }
//! ```
//!
//! Nothing that was lent leaves the closure: a tensor that outlived the launch could be launched on a stream that cudarc
//! does not know of.
//!
//! ```compile_fail
//! # use cudarc::driver::{CudaSlice, CudaStream};
//! # use expert_gemm::interop::cudarc::launch;
//! # use expert_gemm::{ElementType as E, Fp8GroupedMm, Prepared};
//! fn keep(prepared: &Prepared<Fp8GroupedMm>, stream: &CudaStream, a: &CudaSlice<u8>) {
//!     let mut kept = None;
//!     let _ = launch(prepared, stream, |lend| {
//!         kept = Some(lend.read(a, E::E4m3, &[256, 7168])?);
//!         Err(expert_gemm::Error::NoDevice)
//!     });
//! }
//! ```
//!
//! What is written is borrowed alone:
//!
//! ```compile_fail
//! # use cudarc::driver::{CudaSlice, CudaStream};
//! # use expert_gemm::interop::cudarc::launch;
//! # use expert_gemm::{ElementType as E, Fp8GroupedMm, Prepared};
//! fn twice(prepared: &Prepared<Fp8GroupedMm>, stream: &CudaStream, out: &mut CudaSlice<u8>) {
//!     let _ = launch(prepared, stream, |lend| {
//!         let read = lend.read(out, E::E4m3, &[256, 7168])?;
//!         let written = lend.write(out, E::E4m3, &[256, 7168])?;
//!         Err(expert_gemm::Error::NoDevice)
//!     });
//! }
//! ```
//!
//! # Capture
//!
//! Inside of a capture cudarc's events become part of the graph, and streams outside of it must not wait for them: record
//! a graph with event tracking off (`CudaContext::disable_event_tracking`, before the memory is allocated), as cudarc
//! asks of every captured launch.

use super::{Elements, ForeignError, Lender};
use crate::abi::ElementType;
use crate::driver::Stream;
use crate::error::Result;
use crate::ops::Operation;
use crate::runtime::Prepared;
use crate::tensor::DeviceTensor;
use cudarc::driver::{CudaStream, DevicePtr, DevicePtrMut, DriverError, SyncOnDrop};
use std::cell::RefCell;
use std::marker::PhantomData;

/// Lends cudarc's memory to one [`launch`].
///
/// `'env` is what the closure of the launch borrows, `'scope` the launch itself.
#[derive(Debug)]
pub struct Lend<'scope, 'env: 'scope> {
    stream: &'env CudaStream,
    /// Each tells cudarc, when it is dropped, that its memory is in use until the stream gets here.
    in_use: RefCell<Vec<SyncOnDrop<'env>>>,
    /// Neither longer nor shorter: what is lent belongs to this launch.
    scope: PhantomData<fn(&'scope ()) -> &'scope ()>,
}

impl<'scope, 'env> Lend<'scope, 'env> {
    /// Memory that the kernel reads, as a packed row-major tensor of `shape`. The stream waits for its last write.
    ///
    /// # Errors
    ///
    /// [`ForeignError::ElementType`] if `T` does not hold such elements. Whether the memory is long enough, and on the
    /// right device, is checked by the launch.
    pub fn read<T: Elements>(
        &self,
        memory: &'env impl DevicePtr<T>,
        element: ElementType,
        shape: &[u64],
    ) -> Result<DeviceTensor<'scope>> {
        let (count, ordinal) = (memory.len(), memory.stream().context().ordinal());
        let (address, in_use) = memory.device_ptr(self.stream);
        self.in_use.borrow_mut().push(in_use);
        lender(ordinal, true).lend::<T>((address, count), element, shape)
    }

    /// Memory that the kernel writes, as a packed row-major tensor of `shape`. The stream waits for its last read and
    /// write. A status word is written.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write<T: Elements>(
        &self,
        memory: &'env mut impl DevicePtrMut<T>,
        element: ElementType,
        shape: &[u64],
    ) -> Result<DeviceTensor<'scope>> {
        let (count, ordinal) = (memory.len(), memory.stream().context().ordinal());
        let (address, in_use) = memory.device_ptr_mut(self.stream);
        self.in_use.borrow_mut().push(in_use);
        lender(ordinal, false).lend::<T>((address, count), element, shape)
    }
}

fn lender(ordinal: usize, read_only: bool) -> Lender {
    Lender { name: "CudaSlice", ordinal: Some(ordinal as i32), read_only }
}

/// Checks the tensors that `tensors` lends and puts one kernel into `stream`, as [`Prepared::launch`] does.
///
/// # Errors
///
/// [`ForeignError::StreamElsewhere`] for a stream of another device or of a context that is not the primary one, what
/// `tensors` and [`Prepared::launch`] refuse, or the error that cudarc's context holds from an earlier call.
pub fn launch<'env, O: Operation>(
    prepared: &Prepared<O>,
    stream: &'env CudaStream,
    tensors: impl for<'scope> FnOnce(&Lend<'scope, 'env>) -> Result<O::Tensors<'scope>>,
) -> Result<()> {
    let raw = check_stream(prepared, stream)?;
    let lend = Lend { stream, in_use: RefCell::default(), scope: PhantomData };
    let launched = tensors(&lend).and_then(|tensors| prepared.launch(raw, &tensors));
    // Only now: what is recorded here is what other streams wait for.
    drop(lend);
    launched.and(stream.context().check_err().map_err(driver_error))
}

/// The stream as a number, if it belongs to the context of the plan.
fn check_stream<O>(prepared: &Prepared<O>, stream: &CudaStream) -> Result<Stream> {
    let driver = prepared.device().driver();
    let context = stream.context();
    let refuse = |given: String, remedy| {
        let (owner, expected) = ("CudaStream", format!("device {}", driver.info().ordinal));
        Err(ForeignError::StreamElsewhere { owner, given, expected, remedy }.into())
    };
    if context.ordinal() as i32 != driver.info().ordinal {
        let given = format!("device {}", context.ordinal());
        return refuse(given, "use a stream of that device, or prepare the plan on this one");
    }
    if context.cu_ctx() as usize as u64 != driver.context() {
        let given = format!("a context of device {} that is not primary", context.ordinal());
        return refuse(given, "make the context with `CudaContext::new`");
    }
    context.check_err().map_err(driver_error)?;
    // SAFETY: the stream is borrowed by `launch` until the kernel is in it, and its context was compared above.
    Ok(unsafe { Stream::from_raw(stream.cu_stream() as usize as u64) })
}

fn driver_error(error: DriverError) -> crate::Error {
    ForeignError::Library { library: "cudarc", message: format!("{:?}", error.0) }.into()
}
