//! What the driver says about itself and its devices, before a context exists.

use super::{code_of, library};
use crate::device::{DeviceInfo, Version};
use crate::driver::fault::Health;
use crate::error::{Error, Result};
use cudarc::driver::sys;
use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;

/// Initialises the driver and counts the devices.
pub(super) fn count(health: &Health) -> Result<i32> {
    // SAFETY: the library is open; the only flag is 0.
    let answer = health.judge("cuInit", unsafe { sys::cuInit(0) } as u32);
    match code_of(&answer) {
        // The stub for linking without a driver, found instead of the driver.
        34 => return Err(Error::DriverMissing { tried: "a stub of libcuda".to_owned() }),
        100 => return Err(Error::NoDevice),
        _ => answer?,
    }
    let have = version(health)?;
    if have < library::NEEDS {
        return Err(Error::DriverTooOld { have, need: library::NEEDS });
    }
    let mut count = 0;
    // SAFETY: the pointer is to a local.
    let code = unsafe { sys::cuDeviceGetCount(&raw mut count) };
    health.judge("cuDeviceGetCount", code as u32)?;
    if count == 0 { Err(Error::NoDevice) } else { Ok(count) }
}

/// The driver's handle of a device; the number is one that exists.
pub(super) fn device(health: &Health, ordinal: i32) -> Result<sys::CUdevice> {
    let mut device = 0;
    // SAFETY: the pointer is to a local.
    let code = unsafe { sys::cuDeviceGet(&raw mut device, ordinal) };
    health.judge("cuDeviceGet", code as u32)?;
    Ok(device)
}

/// The device of this number, and what it is.
pub(super) fn probe(health: &Health, ordinal: i32) -> Result<(sys::CUdevice, DeviceInfo)> {
    let count = count(health)?;
    if !(0..count).contains(&ordinal) {
        return Err(Error::DeviceOrdinal { given: ordinal, count });
    }
    let device = device(health, ordinal)?;
    let mut memory_bytes = 0;
    // SAFETY: the device is valid, the pointer is to a local.
    let code = unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory_bytes, device) };
    health.judge("cuDeviceTotalMem", code as u32)?;
    let attribute = |attribute| attribute_of(health, device, attribute);
    let info = DeviceInfo {
        ordinal,
        name: name(health, device)?,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        sm_count: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        smem_optin_bytes: attribute(
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?
        .into(),
        l2_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
        memory_bytes: memory_bytes as u64,
        driver_version: version(health)?,
    };
    Ok((device, info))
}

fn version(health: &Health) -> Result<Version> {
    let mut version = 0;
    // SAFETY: the pointer is to a local.
    let code = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    health.judge("cuDriverGetVersion", code as u32)?;
    Ok(Version::from_cuda(version.unsigned_abs()))
}

fn name(health: &Health, device: sys::CUdevice) -> Result<String> {
    let mut name = [0u8; 256];
    // SAFETY: the driver writes at most the length given, with a zero at the end.
    let code = unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, device) };
    health.judge("cuDeviceGetName", code as u32)?;
    let text = name.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn attribute_of(health: &Health, device: sys::CUdevice, attribute: Attribute) -> Result<u32> {
    let mut value = 0;
    // SAFETY: the device is valid, the pointer is to a local.
    let code = unsafe { sys::cuDeviceGetAttribute(&raw mut value, attribute, device) };
    health.judge("cuDeviceGetAttribute", code as u32)?;
    Ok(value.unsigned_abs())
}
