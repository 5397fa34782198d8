//! Devices: a GPU with its primary context, or the CPU.

use crate::pointer::{given, hand_out, place, take_back, write_text};
use crate::status::{Result, answer, eg_status, value_or};
use expert_gemm::Device;
use expert_gemm::driver::cuda::Cuda;
use std::ffi::c_char;

/// The ordinal of the CPU.
pub const EG_CPU: i32 = -1;

/// A device. Every function that takes one may be called from any thread. Opened by `eg_device_open` or
/// `eg_device_open_current`, and ended by `eg_device_close`.
pub struct eg_device {
    pub(crate) backend: Backend,
}

/// What runs the operations.
pub(crate) enum Backend {
    Gpu(Device),
    Cpu,
}

const HANDLE: &str = "an eg_device, from eg_device_open";

/// # Safety
///
/// As [`given`].
pub(crate) unsafe fn backend<'a>(device: *const eg_device) -> Result<&'a Backend> {
    // SAFETY: by the caller's promise.
    unsafe { given(device, "device", HANDLE) }.map(|device| &device.backend)
}

/// Counts the GPUs that this process sees. Without a driver or a GPU the answer is `EG_STATUS_NO_DEVICE`, and the
/// count 0.
///
/// # Safety
///
/// `count` is NULL or to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_device_count(count: *mut i32) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise.
        let count = unsafe { place(count, "count", "a number") }?;
        *count = 0;
        *count = Cuda::count()?;
        Ok(())
    })
}

/// Opens GPU `ordinal` (from 0) with its primary context, which the CUDA runtime and PyTorch use too; or the CPU, if
/// `ordinal` is `EG_CPU`. After a refusal `*device` is NULL.
///
/// # Safety
///
/// `device` is NULL or to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_device_open(ordinal: i32, device: *mut *mut eg_device) -> eg_status {
    answer(|| {
        let make = || {
            let gpu = || Device::open(ordinal).map(Backend::Gpu);
            let backend = if ordinal == EG_CPU { Backend::Cpu } else { gpu()? };
            Ok(eg_device { backend })
        };
        // SAFETY: by the caller's promise.
        unsafe { hand_out(device, "device", make) }
    })
}

/// Opens the GPU whose primary context is current on the calling thread: the one that `cudaSetDevice` chose. Without one,
/// or with a context of `cuCtxCreate`, the answer is `EG_STATUS_WRONG_ORDER`. After a refusal `*device` is NULL.
///
/// # Safety
///
/// `device` is NULL or to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_device_open_current(device: *mut *mut eg_device) -> eg_status {
    answer(|| {
        let make = || Ok(eg_device { backend: Backend::Gpu(Device::open_current()?) });
        // SAFETY: by the caller's promise.
        unsafe { hand_out(device, "device", make) }
    })
}

/// Ends a device. Its plans and buffers live on. NULL is ordinary.
///
/// # Safety
///
/// `device` is NULL, or came from this library and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_device_close(device: *mut eg_device) {
    value_or((), || {
        // SAFETY: by the caller's promise.
        unsafe { take_back(device) };
        Ok(())
    });
}

/// The ordinal: from 0 for a GPU, `EG_CPU` for the CPU. -2 if `device` is NULL.
///
/// # Safety
///
/// `device` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_device_ordinal(device: *const eg_device) -> i32 {
    value_or(-2, || {
        // SAFETY: by the caller's promise.
        Ok(match unsafe { backend(device) }? {
            Backend::Gpu(gpu) => gpu.info().ordinal,
            Backend::Cpu => EG_CPU,
        })
    })
}

/// Writes what the device is, such as `NVIDIA H200 (sm_90, 132 SMs)`, as `snprintf` does: at most `capacity` bytes, the
/// last one 0. Returns the length of the whole text without the 0, or 0 after a refusal.
///
/// # Safety
///
/// `device` is NULL or live; `buffer` is NULL, or to `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_device_describe(
    device: *const eg_device,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    value_or(0, || {
        // SAFETY: by the caller's promise.
        let text = match unsafe { backend(device) }? {
            Backend::Gpu(gpu) => gpu.info().to_string(),
            Backend::Cpu => "CPU".to_owned(),
        };
        // SAFETY: by the caller's promise.
        Ok(unsafe { write_text(&text, buffer, capacity) })
    })
}

/// Waits for all work of the device.
///
/// # Safety
///
/// `device` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_device_synchronize(device: *const eg_device) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise.
        match unsafe { backend(device) }? {
            Backend::Gpu(gpu) => Ok(gpu.synchronize()?),
            // Its calls return when they are done.
            Backend::Cpu => Ok(()),
        }
    })
}
