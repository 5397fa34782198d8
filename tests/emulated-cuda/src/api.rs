//! How a function of the driver is written here: as a body that answers a `Result`.

use expert_gemm::{Error, ModuleError, Result};
use std::ffi::c_char;

/// Exports functions under the driver's names. A body may use what its caller promises by the driver's documentation.
macro_rules! driver_api {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => { $(
        #[doc = concat!("`", stringify!($name), "` of the driver.\n\n# Safety\n\nWhat the driver's documentation asks.")]
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe, clippy::macro_metavars_in_unsafe)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> u32 {
            // SAFETY: pointers and handles are what the driver's documentation asks the caller for.
            let run = || -> expert_gemm::Result<()> { unsafe { $body } };
            $crate::api::code(&run())
        }
    )* };
}

/// The driver's code for an answer.
pub(crate) fn code(answer: &Result<()>) -> u32 {
    match answer {
        Ok(()) => 0,
        Err(Error::OutOfMemory { .. }) => 2,
        Err(
            Error::Driver { code, .. }
            | Error::Fault { code, .. }
            | Error::Poisoned { code, .. }
            | Error::Module(ModuleError::Jit { code, .. }),
        ) => *code,
        Err(_) => 1,
    }
}

/// Refuses with a code of the driver.
pub(crate) fn refuse<T>(call: &'static str, code: u32) -> Result<T> {
    Err(Error::Driver { call, code, name: expert_gemm::driver::fault::code_name(code) })
}

/// Answers through a pointer of the caller.
///
/// # Safety
///
/// `to` is null or may be written.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> Result<()> {
    if to.is_null() {
        return refuse("an answer without a place", 1);
    }
    // SAFETY: as promised; the caller's place may hold nothing yet.
    unsafe { to.write(value) };
    Ok(())
}

/// Answers with as much of a text as there is room for, and a zero behind it.
///
/// # Safety
///
/// `capacity` bytes may be written at `to`.
pub(crate) unsafe fn put_text(to: *mut c_char, capacity: usize, text: &str) {
    let Some(room) = capacity.checked_sub(1) else { return };
    let length = text.len().min(room);
    // SAFETY: as promised, with room for the zero; a text of ours is not the caller's place.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), length);
        to.add(length).write(0);
    }
}
