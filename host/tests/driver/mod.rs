//! Whether there is a driver to test with, whose turn on it is, and the log of the emulated one.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

use expert_gemm::{Device, Result};
use libloading::Library;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// What was opened, and the turn on the driver: a log must not hold the lines of two tests, and addresses that one test
/// frees must not come back in another.
pub struct Turn<T> {
    opened: T,
    _turn: MutexGuard<'static, ()>,
}

impl<T> Deref for Turn<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.opened
    }
}

/// What was opened, or nothing, with the reason on standard error; with `REQUIRE_GPU=1` the reason is a failure.
pub fn required<T>(open: impl FnOnce() -> Result<T>) -> Option<Turn<T>> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match open() {
        Ok(opened) => Some(Turn { opened, _turn: turn }),
        Err(error) => {
            assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// What the emulated driver was asked for.
pub struct Log {
    library: Library,
}

impl Log {
    /// The log of the emulated driver; a real one keeps none.
    pub fn of(device: &Device) -> Option<Self> {
        if !device.info().name.starts_with("emulated") {
            eprintln!("skipped: only the emulated driver keeps a log");
            return None;
        }
        // SAFETY: the driver is loaded already.
        let library = unsafe { Library::new("libcuda.so") }.expect("the emulated driver");
        Some(Self { library })
    }

    /// The lines since the last call.
    pub fn take(&self) -> Vec<String> {
        let mut text = vec![0; 1 << 20];
        // SAFETY: the function has this type, and the text this capacity.
        let length = unsafe {
            let take = self
                .library
                .get::<unsafe extern "C" fn(*mut u8, usize) -> usize>(b"emulatedCudaLog")
                .expect("the log of the emulated driver");
            take(text.as_mut_ptr(), text.len())
        };
        let text = String::from_utf8_lossy(&text[..length]).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}
