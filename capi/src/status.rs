//! What a call answers: a code, and a sentence beside it.

use expert_gemm::{Error, ErrorKind};
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call answers. Everything but `EG_STATUS_OK` is a refusal: nothing was launched, no tensor was touched,
/// and `eg_last_error` says why in one sentence.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum eg_status {
    /// Done, or on a GPU: launched.
    Ok = 0,
    /// A pointer, size, shape, stride, address or code is wrong. Change the arguments.
    InvalidArgument = 1,
    /// An element type is wrong. Convert the tensor.
    WrongElementType = 2,
    /// There is no such device, or no driver for it. Check the machine, or use the CPU.
    NoDevice = 3,
    /// This device, or its driver, cannot run the operation. Use another one, or the CPU.
    Unsupported = 4,
    /// Memory ran out. Free some, or ask for less.
    OutOfMemory = 5,
    /// A PTX module is damaged, missing or refused. Rebuild or reinstall.
    BadModule = 6,
    /// The call comes at the wrong time, or the plan is for another operation or device.
    WrongOrder = 7,
    /// The driver refused a call for a reason of its own. The device still works.
    Driver = 8,
    /// A kernel faulted: the process cannot use the device any more. Restart it.
    DeviceLost = 9,
    /// A fault of this library. Please report it.
    Internal = 10,
}

/// Everything that this layer can refuse.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Host(#[from] Error),
    #[error("`{argument}` is NULL: pass a pointer to {what}")]
    Null { argument: &'static str, what: &'static str },
    #[error(
        "`{argument}` is at {address:#x}, but it must be aligned to {alignment} bytes: pass a pointer to {what}"
    )]
    Misaligned { argument: &'static str, what: &'static str, address: usize, alignment: usize },
    #[error("`{field}` is {given}, which is no {family}: pass one of its constants")]
    UnknownCode { field: &'static str, given: u32, family: &'static str },
    #[error(
        "`{tensor}` has {given} dimensions, but at most {max} can be described: pass its own shape"
    )]
    TooManyDimensions { tensor: &'static str, given: u32, max: usize },
    #[error(
        "the plan is for `{planned}`, but `{called}` was called: launch it by its own function"
    )]
    AnotherOperation { planned: &'static str, called: &'static str },
    #[error("this library panicked, please report it: {0}")]
    Panic(String),
}

pub(crate) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    fn status(&self) -> eg_status {
        match self {
            Self::Host(error) => match error.kind() {
                ErrorKind::Argument => eg_status::InvalidArgument,
                ErrorKind::ElementType => eg_status::WrongElementType,
                ErrorKind::NoDevice => eg_status::NoDevice,
                ErrorKind::Unsupported => eg_status::Unsupported,
                ErrorKind::OutOfMemory => eg_status::OutOfMemory,
                ErrorKind::Module => eg_status::BadModule,
                ErrorKind::Order => eg_status::WrongOrder,
                ErrorKind::Driver => eg_status::Driver,
                ErrorKind::DeviceLost => eg_status::DeviceLost,
                _ => eg_status::Internal,
            },
            Self::Null { .. }
            | Self::Misaligned { .. }
            | Self::UnknownCode { .. }
            | Self::TooManyDimensions { .. } => eg_status::InvalidArgument,
            Self::AnotherOperation { .. } => eg_status::WrongOrder,
            Self::Panic(_) => eg_status::Internal,
        }
    }
}

/// What a code of the header stands for.
pub(crate) fn from_code<T, const N: usize>(
    field: &'static str,
    family: &'static str,
    given: u32,
    codes: [(u32, T); N],
) -> Result<T> {
    let found = codes.into_iter().find(|(code, _)| *code == given);
    found.map(|(_, value)| value).ok_or(Refusal::UnknownCode { field, given, family })
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// The sentence of the calling thread's last refusal: what was wrong, where, what is allowed, and what to do. Empty if there
/// was none. Calls that succeed leave it alone. Valid until the next refusal on this thread, or its end.
#[unsafe(no_mangle)]
pub extern "C" fn eg_last_error() -> *const c_char {
    // Where the thread is ending there is no sentence any more.
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

fn remember(refusal: &Refusal) {
    let text: Vec<u8> = refusal.to_string().bytes().filter(|&byte| byte != 0).collect();
    let text = CString::new(text).unwrap_or_default();
    let _ = LAST_ERROR.try_with(|last| last.replace(text));
}

/// Runs the body of a function of the interface: refusals become codes, and no panic gets out.
pub(crate) fn answer(body: impl FnOnce() -> Result<()>) -> eg_status {
    match guarded(body) {
        Ok(()) => eg_status::Ok,
        Err(refusal) => {
            remember(&refusal);
            refusal.status()
        }
    }
}

/// As [`answer`], for functions that return a value, and `refused` in its place.
pub(crate) fn value_or<T>(refused: T, body: impl FnOnce() -> Result<T>) -> T {
    guarded(body).unwrap_or_else(|refusal| {
        remember(&refusal);
        refused
    })
}

fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a body leaves half done is dropped, or behind a lock of the host crate, which recovers from poison.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(Refusal::Panic(words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: the pointer is valid until the next refusal on this thread.
        unsafe { CStr::from_ptr(eg_last_error()) }.to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(answer(|| panic!("seven {}", 8)), eg_status::Internal);
        assert!(last().contains("seven 8"), "{}", last());
    }

    #[test]
    fn the_last_refusal_is_kept_by_its_thread() {
        assert_eq!(last(), "");
        let null = || Err(Refusal::Null { argument: "plan", what: "an eg_plan" });
        assert_eq!(answer(null), eg_status::InvalidArgument);
        assert_eq!(answer(|| Ok(())), eg_status::Ok);
        assert_eq!(last(), "`plan` is NULL: pass a pointer to an eg_plan");
        assert_eq!(std::thread::spawn(last).join().expect("no panic"), "");
        assert_eq!(answer(|| Err(Error::NoDevice.into())), eg_status::NoDevice);
        assert!(last().contains("no GPU"), "{}", last());
    }
}
