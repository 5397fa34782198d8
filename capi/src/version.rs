//! Which library this is.

use std::ffi::c_char;

/// Version of this interface: of its functions, structs and codes.
pub const EG_INTERFACE_VERSION: u32 = 1;

/// The interface version of the library, to be compared with `EG_INTERFACE_VERSION` of the header.
#[unsafe(no_mangle)]
pub extern "C" fn eg_interface_version() -> u32 {
    EG_INTERFACE_VERSION
}

/// The version of the library, such as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn eg_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
