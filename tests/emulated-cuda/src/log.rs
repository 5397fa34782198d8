//! What was asked of the driver, line by line.

use std::sync::{Mutex, MutexGuard, PoisonError};

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<String>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn line(line: String) {
    lines().push(line);
}

/// Copies what was logged since the last call to `text`, and returns its length. Where `text` is too short nothing is
/// copied, and the log stays.
///
/// # Safety
///
/// `capacity` bytes may be written at `text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emulatedCudaLog(text: *mut u8, capacity: usize) -> usize {
    let mut lines = lines();
    let whole = lines.join("\n");
    if whole.len() <= capacity {
        // SAFETY: as promised; a text that was just made is not the caller's place.
        unsafe { text.copy_from_nonoverlapping(whole.as_ptr(), whole.len()) };
        lines.clear();
    }
    whole.len()
}
