//! The devices, their contexts, and which context is current.

use crate::api::refuse;
use expert_gemm::{Driver, Result};
use ptx_emulator::{EmulatorDriver, Options};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Number of devices.
const DEVICES: i32 = 2;
/// Contexts are numbered from here on; the primary ones come first, one for each device.
const FIRST_CONTEXT: u64 = 0xC000_0000;

static DRIVERS: LazyLock<Vec<EmulatorDriver>> = LazyLock::new(|| {
    let options = |ordinal| Options { ordinal, ..Options::default() };
    (0..DEVICES).map(|ordinal| EmulatorDriver::new(options(ordinal))).collect()
});
/// Contexts that were made beside the primary ones, with their devices.
static CREATED: Mutex<BTreeMap<u64, i32>> = Mutex::new(BTreeMap::new());

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

pub(crate) const fn device_count() -> i32 {
    DEVICES
}

pub(crate) fn primary_context(ordinal: i32) -> u64 {
    FIRST_CONTEXT + u64::from(ordinal.unsigned_abs())
}

/// Makes a context that is not primary.
pub(crate) fn create_context(ordinal: i32) -> u64 {
    let mut created = CREATED.lock().unwrap_or_else(PoisonError::into_inner);
    let context = primary_context(DEVICES) + created.len() as u64;
    created.insert(context, ordinal);
    context
}

pub(crate) fn current_context() -> u64 {
    CURRENT.get()
}

pub(crate) fn set_current_context(context: u64) {
    CURRENT.set(context);
}

pub(crate) fn driver_of(ordinal: i32) -> Result<&'static EmulatorDriver> {
    match usize::try_from(ordinal).ok().and_then(|ordinal| DRIVERS.get(ordinal)) {
        Some(driver) => Ok(driver),
        None => refuse("cuDeviceGet", 101),
    }
}

pub(crate) fn ordinal_of(context: u64) -> Option<i32> {
    let primary = (0..DEVICES).find(|&ordinal| primary_context(ordinal) == context);
    let created = || CREATED.lock().unwrap_or_else(PoisonError::into_inner).get(&context).copied();
    primary.or_else(created)
}

/// The device whose context is current.
pub(crate) fn current() -> Result<&'static EmulatorDriver> {
    match ordinal_of(current_context()) {
        Some(ordinal) => driver_of(ordinal),
        None => refuse("a call without a context", 201),
    }
}

/// All devices.
pub(crate) fn drivers() -> &'static [EmulatorDriver] {
    &DRIVERS
}

/// A handle as callers see it: unlike any of another device.
pub(crate) fn outside(driver: &EmulatorDriver, handle: u64) -> u64 {
    (u64::from(driver.info().ordinal.unsigned_abs()) + 1) << 32 | handle
}

/// A handle of `driver` as the emulator knows it, from what callers see. 0 stays 0.
pub(crate) fn inside(driver: &EmulatorDriver, handle: u64) -> Result<u64> {
    let own = handle & 0xFFFF_FFFF;
    if handle == 0 || outside(driver, own) == handle { Ok(own) } else { refuse("a handle", 400) }
}
