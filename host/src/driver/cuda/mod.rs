//! [`Driver`](super::Driver) on the CUDA driver, loaded at run time through cudarc's `sys` layer.

mod calls;
mod library;
mod probe;
mod tensor_map;

use super::fault::Health;
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use cudarc::driver::sys;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A device of the CUDA driver, with its primary context.
#[derive(Debug)]
pub struct Cuda {
    info: DeviceInfo,
    device: sys::CUdevice,
    context: Context,
    health: Health,
    elapsed_time: library::ElapsedTime,
}

/// The primary context of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Context(sys::CUcontext);

// SAFETY: a context may be made current on any thread.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks what it must.
unsafe impl Sync for Context {}

impl Cuda {
    /// Opens device `ordinal`, or returns it if this process has it open: one device has one state of
    /// health, whoever uses it.
    ///
    /// # Errors
    ///
    /// [`Error::DriverMissing`], [`Error::DriverSymbolMissing`], [`Error::DriverTooOld`],
    /// [`Error::NoDevice`], [`Error::DeviceOrdinal`], or what the driver answers.
    pub fn open(ordinal: i32) -> Result<Arc<Self>> {
        static OPEN: Mutex<BTreeMap<i32, Weak<Cuda>>> = Mutex::new(BTreeMap::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cuda) = open.get(&ordinal).and_then(Weak::upgrade) {
            return Ok(cuda);
        }
        let api = library::open()?;
        let health = Health::new();
        let (device, info) = probe::probe(&health, ordinal)?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the device came from `cuDeviceGet`, the pointer is to a local.
        let code = unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, device) };
        health.judge("cuDevicePrimaryCtxRetain", code as u32)?;
        let cuda = Arc::new(Self {
            info,
            device,
            context: Context(context),
            health,
            elapsed_time: api.elapsed_time,
        });
        open.insert(ordinal, Arc::downgrade(&cuda));
        Ok(cuda)
    }

    /// Opens the device whose primary context is current on the calling thread.
    ///
    /// # Errors
    ///
    /// [`Error::CurrentContext`] if no context is current, or one that is not primary; and as
    /// [`open`](Self::open).
    pub fn open_current() -> Result<Arc<Self>> {
        library::open()?;
        let health = Health::new();
        let count = probe::count(&health)?;
        let mut current = std::ptr::null_mut();
        // SAFETY: the pointer is to a local.
        let code = unsafe { sys::cuCtxGetCurrent(&raw mut current) };
        health.judge("cuCtxGetCurrent", code as u32)?;
        if current.is_null() {
            return Err(Error::CurrentContext { given: "none" });
        }
        let mut device = 0;
        // SAFETY: a context is current, the pointer is to a local.
        let code = unsafe { sys::cuCtxGetDevice(&raw mut device) };
        health.judge("cuCtxGetDevice", code as u32)?;
        for ordinal in 0..count {
            if probe::device(&health, ordinal)? == device {
                let cuda = Self::open(ordinal)?;
                let primary = cuda.context.0 == current;
                let foreign = Error::CurrentContext { given: "not a primary one" };
                return if primary { Ok(cuda) } else { Err(foreign) };
            }
        }
        Err(Error::DeviceOrdinal { given: device, count })
    }

    /// Number of devices that this process sees.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn count() -> Result<i32> {
        library::open()?;
        probe::count(&Health::new())
    }

    /// Makes the context current until the returned value is dropped.
    fn enter(&self) -> Result<Current> {
        self.health.check()?;
        let mut previous = std::ptr::null_mut();
        // SAFETY: the pointer is to a local.
        let code = unsafe { sys::cuCtxGetCurrent(&raw mut previous) };
        self.judge("cuCtxGetCurrent", code)?;
        if previous == self.context.0 {
            return Ok(Current { previous: None });
        }
        // SAFETY: the context is retained while `self` lives.
        let code = unsafe { sys::cuCtxSetCurrent(self.context.0) };
        self.judge("cuCtxSetCurrent", code)?;
        Ok(Current { previous: Some(previous) })
    }

    fn judge(&self, call: &'static str, code: sys::CUresult) -> Result<()> {
        self.health.judge(call, code as u32)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        if self.health.check().is_ok() {
            // SAFETY: retained in `open`, once; handles of the context hold an `Arc` of `self`.
            let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
        }
    }
}

/// The context that was current before, to be restored.
struct Current {
    previous: Option<sys::CUcontext>,
}

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(previous) = self.previous {
            // SAFETY: it was current on this thread before; a null context means none.
            let _ = unsafe { sys::cuCtxSetCurrent(previous) };
        }
    }
}

/// Tells an answer that has its own meaning from the others.
fn code_of(result: &Result<()>) -> u32 {
    match result {
        Err(Error::Driver { code, .. }) => *code,
        _ => 0,
    }
}
