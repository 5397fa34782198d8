//! Memory of a device, for programs that have no allocator of their own.

use crate::device::{Backend, backend, eg_device};
use crate::plan::stream_of;
use crate::pointer::{given, hand_out, take_back};
use crate::status::{Refusal, Result, answer, eg_status, value_or};
use expert_gemm::{DeviceBuffer, Error};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::ptr;

/// Memory of a device. Made by `eg_buffer_create`, and freed by `eg_buffer_free`, which first waits for the work
/// that uses it.
pub struct eg_buffer {
    memory: Memory,
}

enum Memory {
    Gpu(DeviceBuffer),
    Cpu(HostBuffer),
}

/// Host memory that C and the operations write through its address.
struct HostBuffer {
    /// Owned; null for no bytes.
    start: *mut u8,
    layout: Layout,
}

// SAFETY: the memory is reached only through addresses, whose users agree on turns as for any memory of C.
unsafe impl Send for HostBuffer {}
// SAFETY: as above.
unsafe impl Sync for HostBuffer {}

/// What memory is aligned to, in bytes: enough for every tensor.
const ALIGNMENT: usize = 256;

impl HostBuffer {
    fn new(bytes: u64) -> Result<Self> {
        let refused = Error::HostMemory { requested_bytes: bytes };
        let layout = usize::try_from(bytes).ok();
        let layout = layout.and_then(|bytes| Layout::from_size_align(bytes, ALIGNMENT).ok());
        let Some(layout) = layout else { return Err(refused.into()) };
        let start = match bytes {
            0 => ptr::null_mut(),
            // SAFETY: the layout has a size.
            _ => unsafe { alloc_zeroed(layout) },
        };
        if start.is_null() && bytes != 0 {
            return Err(refused.into());
        }
        Ok(Self { start, layout })
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        if !self.start.is_null() {
            // SAFETY: from `alloc_zeroed` with this layout.
            unsafe { dealloc(self.start, self.layout) };
        }
    }
}

/// A buffer, and the bytes of the caller that are copied to or from it.
///
/// # Safety
///
/// As [`given`]; and `data` is to `bytes` bytes.
unsafe fn copy_of<'a, T>(
    buffer: *const eg_buffer,
    data: *const T,
    bytes: u64,
) -> Result<(&'a Memory, usize)> {
    // SAFETY: by the caller's promise.
    let memory = &unsafe { given(buffer, "buffer", "an eg_buffer, from eg_buffer_create") }?.memory;
    if data.is_null() && bytes != 0 {
        return Err(Refusal::Null { argument: "data", what: "the bytes of the copy" });
    }
    let capacity = match memory {
        Memory::Gpu(buffer) => buffer.bytes(),
        Memory::Cpu(buffer) => buffer.layout.size() as u64,
    };
    if bytes > capacity {
        return Err(Error::CopyTooLong { given: bytes, offset: 0, capacity }.into());
    }
    Ok((memory, bytes as usize))
}

/// Allocates `bytes` bytes on a device, aligned to 256 bytes. 0 bytes are ordinary: their address is NULL. The memory of a
/// GPU is not initialised. After a refusal `*buffer` is NULL.
///
/// # Safety
///
/// `device` is NULL or live; `buffer` is NULL or to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_buffer_create(
    device: *const eg_device,
    bytes: u64,
    buffer: *mut *mut eg_buffer,
) -> eg_status {
    answer(|| {
        let make = || {
            // SAFETY: by the caller's promise.
            let memory = match unsafe { backend(device) }? {
                Backend::Gpu(gpu) => Memory::Gpu(gpu.alloc(bytes)?),
                Backend::Cpu => Memory::Cpu(HostBuffer::new(bytes)?),
            };
            Ok(eg_buffer { memory })
        };
        // SAFETY: by the caller's promise.
        unsafe { hand_out(buffer, "buffer", make) }
    })
}

/// The address of the first byte, for `eg_tensor.data`; device memory cannot be read or written through it by the CPU.
/// NULL for a buffer of 0 bytes, and if `buffer` is NULL.
///
/// # Safety
///
/// `buffer` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_buffer_data(buffer: *const eg_buffer) -> *mut c_void {
    value_or(ptr::null_mut(), || {
        // SAFETY: by the caller's promise; nothing is copied.
        let (memory, _) = unsafe { copy_of(buffer, ptr::null::<u8>(), 0) }?;
        Ok(match memory {
            Memory::Gpu(buffer) => ptr::with_exposed_provenance_mut(buffer.address() as usize),
            Memory::Cpu(buffer) => buffer.start.cast(),
        })
    })
}

/// Copies `bytes` bytes from host memory to the start of a buffer, and waits.
///
/// # Safety
///
/// `buffer` is NULL or live; `data` is NULL, or to `bytes` bytes; nothing else uses the buffer meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_buffer_upload(
    buffer: *mut eg_buffer,
    data: *const c_void,
    bytes: u64,
) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise.
        match unsafe { copy_of(buffer, data, bytes) }? {
            (_, 0) => Ok(()),
            (Memory::Gpu(buffer), bytes) => {
                // SAFETY: not null, and `bytes` long by the caller's promise.
                let from = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), bytes) };
                Ok(buffer.upload(from)?)
            }
            (Memory::Cpu(buffer), bytes) => {
                // SAFETY: both are `bytes` long, and nothing else uses the buffer.
                unsafe { ptr::copy(data.cast::<u8>(), buffer.start, bytes) };
                Ok(())
            }
        }
    })
}

/// Copies `bytes` bytes from the start of a buffer to host memory, and waits for the work before it on the default stream.
///
/// # Safety
///
/// `buffer` is NULL or live; `data` is NULL, or to `bytes` bytes that nobody else uses; nothing writes the buffer meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_buffer_download(
    buffer: *const eg_buffer,
    data: *mut c_void,
    bytes: u64,
) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise.
        match unsafe { copy_of(buffer, data, bytes) }? {
            (_, 0) => Ok(()),
            (Memory::Gpu(buffer), bytes) => {
                // SAFETY: not null, `bytes` long and ours by the caller's promise.
                let to = unsafe { std::slice::from_raw_parts_mut(data.cast::<u8>(), bytes) };
                Ok(buffer.download(to)?)
            }
            (Memory::Cpu(buffer), bytes) => {
                // SAFETY: both are `bytes` long, and nothing writes the buffer.
                unsafe { ptr::copy(buffer.start, data.cast(), bytes) };
                Ok(())
            }
        }
    })
}

/// Sets every byte of a buffer to `value`, in the order of `stream`.
///
/// # Safety
///
/// `buffer` is NULL or live; `stream` is a stream of the buffer's device, or NULL; nothing else uses the buffer meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_buffer_fill(
    buffer: *mut eg_buffer,
    value: u8,
    stream: *mut c_void,
) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise; nothing is copied.
        match unsafe { copy_of(buffer, ptr::null::<u8>(), 0) }?.0 {
            Memory::Gpu(buffer) => {
                // SAFETY: by the caller's promise.
                Ok(buffer.fill(value, unsafe { stream_of(stream) })?)
            }
            Memory::Cpu(buffer) => {
                if !buffer.start.is_null() {
                    // SAFETY: the memory is that long, and nothing else uses it.
                    unsafe { ptr::write_bytes(buffer.start, value, buffer.layout.size()) };
                }
                Ok(())
            }
        }
    })
}

/// Frees a buffer, after the work that uses it. NULL is ordinary.
///
/// # Safety
///
/// `buffer` is NULL, or came from this library and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_buffer_free(buffer: *mut eg_buffer) {
    value_or((), || {
        // SAFETY: by the caller's promise.
        unsafe { take_back(buffer) };
        Ok(())
    });
}
