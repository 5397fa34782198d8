//! Opening libcuda without a panic.
//!
//! cudarc's generated functions look their symbol up at the first call and panic if the library or the
//! symbol is missing. So both are looked for here, once, before any of them is called. (cudarc's own
//! `is_culib_present` exists only in builds where cudarc loads the library itself, not where another
//! crate in the build has made it link the library.)

use crate::device::Version;
use crate::error::{Error, Result};
use cudarc::driver::sys;
use libloading::Library;
use std::sync::OnceLock;

/// The oldest CUDA version whose driver has tensor maps and cluster launches.
pub(super) const NEEDS: Version = Version { major: 12, minor: 0 };

/// The library's names, in cudarc's order.
const NAMES: &[&str] =
    if cfg!(windows) { &["cuda.dll", "nvcuda.dll"] } else { &["libcuda.so", "libcuda.so.1"] };

/// Every function that this crate calls.
const SYMBOLS: &[&str] = &[
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxGetDevice",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemcpyHtoD_v2",
    "cuMemcpyDtoH_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuPointerGetAttributes",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuFuncGetAttribute",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamIsCapturing",
    "cuStreamGetCtx",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuTensorMapEncodeTiled",
    "cuLaunchKernel",
    "cuLaunchKernelEx",
];

/// `cuEventElapsedTime`. cudarc binds it under one of two names, by the CUDA version of the build; every
/// driver has the first.
pub(super) type ElapsedTime =
    unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> std::ffi::c_uint;

/// The opened library.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) elapsed_time: ElapsedTime,
    _library: Library,
}

/// Opens the library, or says why not. Only the first call does anything.
pub(super) fn open() -> Result<&'static Api> {
    static API: OnceLock<Result<Api>> = OnceLock::new();
    API.get_or_init(|| load(NAMES)).as_ref().map_err(Clone::clone)
}

fn load(names: &[&str]) -> Result<Api> {
    let library = names
        .iter()
        // SAFETY: libcuda's initialisers may run on any thread; a library of that name is libcuda.
        .find_map(|name| unsafe { Library::new(*name) }.ok())
        .ok_or_else(|| Error::DriverMissing { tried: names.join(", ") })?;
    for &symbol in SYMBOLS {
        // SAFETY: only the address is looked at, under the type of an address.
        if unsafe { library.get::<*const ()>(symbol.as_bytes()) }.is_err() {
            return Err(Error::DriverSymbolMissing { symbol, need: NEEDS });
        }
    }
    let symbol = "cuEventElapsedTime";
    // SAFETY: the type is the one that CUDA documents for this function.
    let found = unsafe { library.get::<ElapsedTime>(symbol.as_bytes()) };
    let elapsed_time = *found.map_err(|_| Error::DriverSymbolMissing { symbol, need: NEEDS })?;
    Ok(Api { elapsed_time, _library: library })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_an_error() {
        let error = load(&["libno-such-cuda.so"]).expect_err("not there");
        assert!(matches!(error, Error::DriverMissing { ref tried } if tried.contains("no-such")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_library_is_told_by_its_symbols() {
        let error = load(&["libc.so.6"]).expect_err("not libcuda");
        assert_eq!(error, Error::DriverSymbolMissing { symbol: "cuInit", need: NEEDS });
    }
}
