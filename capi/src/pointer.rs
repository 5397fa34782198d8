//! Pointers from C, looked at before they are followed.

use crate::status::{Refusal, Result};
use std::ffi::c_char;

/// Follows a pointer that must not be null.
///
/// # Safety
///
/// If it is neither null nor misaligned, `pointer` is to a live `T` that nobody changes while `'a` lasts.
pub(crate) unsafe fn given<'a, T>(
    pointer: *const T,
    argument: &'static str,
    what: &'static str,
) -> Result<&'a T> {
    check(pointer, argument, what)?;
    // SAFETY: not null, aligned, and live by the caller's promise.
    Ok(unsafe { &*pointer })
}

/// Follows a pointer to a place for a result.
///
/// # Safety
///
/// If it is neither null nor misaligned, `pointer` is to a `T` that nobody else uses while `'a` lasts.
pub(crate) unsafe fn place<'a, T>(
    pointer: *mut T,
    argument: &'static str,
    what: &'static str,
) -> Result<&'a mut T> {
    check(pointer, argument, what)?;
    // SAFETY: not null, aligned, and ours by the caller's promise.
    Ok(unsafe { &mut *pointer })
}

fn check<T>(pointer: *const T, argument: &'static str, what: &'static str) -> Result<()> {
    if pointer.is_null() {
        return Err(Refusal::Null { argument, what });
    }
    if !pointer.is_aligned() {
        let (address, alignment) = (pointer.addr(), align_of::<T>());
        return Err(Refusal::Misaligned { argument, what, address, alignment });
    }
    Ok(())
}

/// Gives ownership of a value to the caller, through a pointer to a pointer, which is NULL after a refusal.
///
/// # Safety
///
/// As [`place`].
pub(crate) unsafe fn hand_out<T>(
    to: *mut *mut T,
    argument: &'static str,
    make: impl FnOnce() -> Result<T>,
) -> Result<()> {
    // SAFETY: by the caller's promise.
    let to = unsafe { place(to, argument, "a pointer that becomes the handle") }?;
    *to = std::ptr::null_mut();
    *to = Box::into_raw(Box::new(make()?));
    Ok(())
}

/// Takes back what [`hand_out`] gave. NULL is ordinary.
///
/// # Safety
///
/// The handle came from `hand_out`, and is not used again.
pub(crate) unsafe fn take_back<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: by the caller's promise.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// Writes text as C does in `snprintf`: at most `capacity` bytes, the last one 0. Returns the length that the
/// whole text has, without the 0.
///
/// # Safety
///
/// `buffer` is NULL, or to `capacity` bytes that nobody else uses.
pub(crate) unsafe fn write_text(text: &str, buffer: *mut c_char, capacity: usize) -> usize {
    if !buffer.is_null()
        && let Some(room) = capacity.checked_sub(1)
    {
        // Only whole characters, so that the text stays UTF-8.
        let end = text.floor_char_boundary(room);
        // SAFETY: `end` bytes and a 0 fit `capacity`, which the caller vouches for.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, end);
            buffer.add(end).write(0);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn text_is_cut_at_a_character_and_ended() {
        let mut buffer = [b'#' as c_char; 8];
        for (capacity, written) in
            [(8, "a\u{e9}b"), (5, "a\u{e9}b"), (3, "a"), (4, "a\u{e9}"), (1, "")]
        {
            // SAFETY: the buffer is longer than every capacity.
            let whole = unsafe { write_text("a\u{e9}b", buffer.as_mut_ptr(), capacity) };
            assert_eq!(whole, 4);
            // SAFETY: `write_text` ends the text.
            let text = unsafe { CStr::from_ptr(buffer.as_ptr()) };
            assert_eq!(text.to_str(), Ok(written), "{capacity}");
        }
        // SAFETY: nothing is written.
        assert_eq!(unsafe { write_text("four", std::ptr::null_mut(), 9) }, 4);
        // SAFETY: as above.
        assert_eq!(unsafe { write_text("four", buffer.as_mut_ptr(), 0) }, 4);
    }

    #[test]
    fn nonsense_is_refused_before_it_is_followed() {
        // SAFETY: neither pointer is followed.
        let (null, odd) = unsafe {
            (
                given::<u64>(std::ptr::null(), "x", "a number"),
                given::<u64>(std::ptr::without_provenance(9), "x", "a number"),
            )
        };
        assert!(matches!(null, Err(Refusal::Null { argument: "x", .. })));
        assert!(matches!(odd, Err(Refusal::Misaligned { address: 9, alignment: 8, .. })));
    }
}
