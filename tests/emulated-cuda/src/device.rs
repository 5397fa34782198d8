//! Devices and contexts.

use crate::api::{put, put_text, refuse};
use crate::world::{
    create_context, current, current_context, device_count, driver_of, ordinal_of, primary_context,
    set_current_context,
};
use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use expert_gemm::{Driver, Result};
use std::ffi::{c_char, c_void};

const NO_DEVICE: u32 = 100;

/// A new context, which is current from then on.
fn created(device: i32) -> Result<u64> {
    driver_of(device)?;
    let context = create_context(device);
    set_current_context(context);
    Ok(context)
}

driver_api! {
    fn cuInit(_flags: u32) {
        // As the real one: an empty list hides every GPU.
        if std::env::var_os("CUDA_VISIBLE_DEVICES").is_some_and(|list| list.is_empty()) {
            return refuse("cuInit", NO_DEVICE);
        }
        Ok(())
    }

    fn cuDriverGetVersion(version: *mut i32) { put(version, 13_000) }

    fn cuDeviceGetCount(count: *mut i32) { put(count, device_count()) }

    fn cuDeviceGet(device: *mut i32, ordinal: i32) {
        driver_of(ordinal)?;
        put(device, ordinal)
    }

    fn cuDeviceGetName(name: *mut c_char, length: i32, device: i32) {
        put_text(name, usize::try_from(length).unwrap_or(0), &driver_of(device)?.info().name);
        Ok(())
    }

    fn cuDeviceTotalMem_v2(bytes: *mut usize, device: i32) {
        put(bytes, driver_of(device)?.info().memory_bytes as usize)
    }

    fn cuDeviceGetAttribute(value: *mut i32, attribute: u32, device: i32) {
        let info = driver_of(device)?.info();
        let known = [
            (Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, u64::from(info.capability.0)),
            (Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, u64::from(info.capability.1)),
            (Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, u64::from(info.sm_count)),
            (
                Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
                info.smem_optin_bytes,
            ),
            (Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, info.l2_bytes),
            (Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1),
        ];
        let found = known.iter().find(|(known, _)| *known as u32 == attribute);
        put(value, found.map_or(0, |(_, value)| *value as i32))
    }

    fn cuDevicePrimaryCtxRetain(context: *mut u64, device: i32) {
        driver_of(device)?;
        put(context, primary_context(device))
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: i32, _flags: u32) {
        driver_of(device).map(drop)
    }

    fn cuDevicePrimaryCtxRelease_v2(device: i32) { driver_of(device).map(drop) }

    fn cuCtxCreate_v4(context: *mut u64, _params: *mut c_void, _flags: u32, device: i32) {
        put(context, created(device)?)
    }

    fn cuCtxCreate_v2(context: *mut u64, _flags: u32, device: i32) { put(context, created(device)?) }

    fn cuCtxDestroy_v2(_context: u64) { Ok(()) }

    fn cuCtxGetCurrent(context: *mut u64) { put(context, current_context()) }

    fn cuCtxSetCurrent(context: u64) {
        if context != 0 && ordinal_of(context).is_none() {
            return refuse("cuCtxSetCurrent", 201);
        }
        set_current_context(context);
        Ok(())
    }

    fn cuCtxGetDevice(device: *mut i32) { put(device, current()?.info().ordinal) }

    fn cuCtxSynchronize() { current()?.synchronize() }
}
