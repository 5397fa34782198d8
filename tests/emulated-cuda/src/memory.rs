//! Memory: allocated, copied, filled, and looked up.

use crate::api::{put, refuse};
use crate::log;
use crate::world::{current, drivers, inside};
use cudarc::driver::sys::CUpointer_attribute_enum as Attribute;
use expert_gemm::{Driver, Result, Stream};
use std::ffi::c_void;

/// The handles of the default streams of the device and of the thread, which every context has.
const LEGACY: u64 = 1;
const PER_THREAD: u64 = 2;

/// A stream of the current device, from its handle.
///
/// # Safety
///
/// The stream is alive.
pub(crate) unsafe fn stream_of(handle: u64) -> Result<Stream> {
    if matches!(handle, LEGACY | PER_THREAD) {
        // Streams execute at once, so that they are as good as one.
        return Ok(Stream::DEFAULT);
    }
    // SAFETY: as promised, and of this device.
    Ok(unsafe { Stream::from_raw(inside(current()?, handle)?) })
}

/// Host memory as bytes.
///
/// # Safety
///
/// `bytes` bytes may be read there while the slice is in use.
unsafe fn host<'a>(from: *const c_void, bytes: usize) -> &'a [u8] {
    if bytes == 0 {
        return &[];
    }
    // SAFETY: as promised.
    unsafe { std::slice::from_raw_parts(from.cast(), bytes) }
}

/// Host memory as bytes that are written.
///
/// # Safety
///
/// `bytes` bytes may be written there while the slice is in use.
unsafe fn host_mut<'a>(to: *mut c_void, bytes: usize) -> &'a mut [u8] {
    if bytes == 0 {
        return &mut [];
    }
    // SAFETY: as promised.
    unsafe { std::slice::from_raw_parts_mut(to.cast(), bytes) }
}

/// Fills `count` elements, whose bytes are all `value`.
///
/// # Safety
///
/// The range is device memory.
unsafe fn fill(to: u64, value: u8, bytes: usize, stream: u64) -> Result<()> {
    // SAFETY: as promised; streams execute at once.
    unsafe { current()?.fill(to, value, bytes as u64, stream_of(stream)?) }
}

driver_api! {
    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) {
        let allocated = current()?.alloc(bytes as u64)?;
        log::line(format!("alloc {allocated:#x} {bytes}"));
        put(address, allocated)
    }

    fn cuMemFree_v2(address: u64) {
        log::line(format!("free {address:#x}"));
        current()?.free(address)
    }

    fn cuMemAllocAsync(address: *mut u64, bytes: usize, stream: u64) {
        let allocated = current()?.alloc(bytes as u64)?;
        log::line(format!("alloc {allocated:#x} {bytes} stream {stream:#x}"));
        put(address, allocated)
    }

    fn cuMemFreeAsync(address: u64, stream: u64) {
        log::line(format!("free {address:#x} stream {stream:#x}"));
        current()?.free(address)
    }

    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let info = current()?.memory_info()?;
        put(free, info.free_bytes as usize)?;
        put(total, info.total_bytes as usize)
    }

    fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) {
        current()?.copy_to_device(to, host(from, bytes))
    }

    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, _stream: u64) {
        current()?.copy_to_device(to, host(from, bytes))
    }

    fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) {
        current()?.copy_to_host(host_mut(to, bytes), from)
    }

    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, _stream: u64) {
        current()?.copy_to_host(host_mut(to, bytes), from)
    }

    fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) {
        current()?.copy_on_device(to, from, bytes as u64, Stream::DEFAULT)
    }

    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: u64) {
        current()?.copy_on_device(to, from, bytes as u64, stream_of(stream)?)
    }

    fn cuMemsetD8_v2(to: u64, value: u8, count: usize) { fill(to, value, count, 0) }

    fn cuMemsetD8Async(to: u64, value: u8, count: usize, stream: u64) {
        fill(to, value, count, stream)
    }

    fn cuPointerGetAttributes(
        count: u32,
        attributes: *const u32,
        values: *const *mut c_void,
        address: u64,
    ) {
        let mut found = None;
        for driver in drivers() {
            found = found.or(driver.range_of(address)?);
        }
        let Some(range) = found else { return refuse("cuPointerGetAttributes", 1) };
        for index in 0..count as usize {
            let (attribute, value) = (attributes.add(index).read(), values.add(index).read());
            if attribute == Attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE as u32 {
                put(value.cast(), 2u32)?;
            } else if attribute == Attribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL as u32 {
                put(value.cast(), range.ordinal)?;
            } else if attribute == Attribute::CU_POINTER_ATTRIBUTE_RANGE_START_ADDR as u32 {
                put(value.cast(), range.base)?;
            } else if attribute == Attribute::CU_POINTER_ATTRIBUTE_RANGE_SIZE as u32 {
                put(value.cast(), range.bytes as usize)?;
            } else {
                return refuse("cuPointerGetAttributes", 801);
            }
        }
        Ok(())
    }
}
