//! Which of the driver's answers end a device for this process, and the memory of it.

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// Why a device is lost to this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Poison {
    /// The driver's function that reported it first.
    pub since: &'static str,
    /// The driver's code.
    pub code: u32,
}

/// Whether this code means that the context is corrupt and repeats it for ever.
pub const fn is_sticky(code: u32) -> bool {
    // 214 uncorrectable ECC, 220/226/227 NVLink and contained errors, 700 illegal address, 702 launch
    // timeout, 709 context destroyed, 710 assert, 714..=719 hardware stack, illegal instruction,
    // misaligned address, invalid address space, invalid program counter, launch failure, 721 contained.
    matches!(code, 214 | 220 | 226 | 227 | 700 | 702 | 709 | 710 | 714..=719 | 721)
}

/// The driver's name of a code, without asking the driver.
pub fn code_name(code: u32) -> String {
    let name = match code {
        1 => "CUDA_ERROR_INVALID_VALUE",
        2 => "CUDA_ERROR_OUT_OF_MEMORY",
        3 => "CUDA_ERROR_NOT_INITIALIZED",
        4 => "CUDA_ERROR_DEINITIALIZED",
        34 => "CUDA_ERROR_STUB_LIBRARY",
        46 => "CUDA_ERROR_DEVICE_UNAVAILABLE",
        100 => "CUDA_ERROR_NO_DEVICE",
        101 => "CUDA_ERROR_INVALID_DEVICE",
        200 => "CUDA_ERROR_INVALID_IMAGE",
        201 => "CUDA_ERROR_INVALID_CONTEXT",
        209 => "CUDA_ERROR_NO_BINARY_FOR_GPU",
        214 => "CUDA_ERROR_ECC_UNCORRECTABLE",
        218 => "CUDA_ERROR_INVALID_PTX",
        222 => "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        400 => "CUDA_ERROR_INVALID_HANDLE",
        500 => "CUDA_ERROR_NOT_FOUND",
        600 => "CUDA_ERROR_NOT_READY",
        700 => "CUDA_ERROR_ILLEGAL_ADDRESS",
        701 => "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
        702 => "CUDA_ERROR_LAUNCH_TIMEOUT",
        709 => "CUDA_ERROR_CONTEXT_IS_DESTROYED",
        710 => "CUDA_ERROR_ASSERT",
        714 => "CUDA_ERROR_HARDWARE_STACK_ERROR",
        715 => "CUDA_ERROR_ILLEGAL_INSTRUCTION",
        716 => "CUDA_ERROR_MISALIGNED_ADDRESS",
        717 => "CUDA_ERROR_INVALID_ADDRESS_SPACE",
        718 => "CUDA_ERROR_INVALID_PC",
        719 => "CUDA_ERROR_LAUNCH_FAILED",
        802 => "CUDA_ERROR_SYSTEM_NOT_READY",
        803 => "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        900 => "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        901 => "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
        999 => "CUDA_ERROR_UNKNOWN",
        _ => return format!("CUDA error {code}"),
    };
    name.to_owned()
}

/// Remembers the first fault of a device, and the process that opened it.
#[derive(Debug)]
pub struct Health {
    first: OnceLock<Poison>,
    opened_by: u32,
}

impl Health {
    /// A device in order, opened by this process.
    pub fn new() -> Self {
        Self::opened_by(std::process::id())
    }

    /// A device in order, opened by process `pid`.
    pub fn opened_by(pid: u32) -> Self {
        Self { first: OnceLock::new(), opened_by: pid }
    }

    /// Why the device is lost, if it is.
    pub fn poison(&self) -> Option<Poison> {
        self.first.get().copied()
    }

    /// Refuses any further call after a fault, and in a forked child.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] or [`Error::Forked`].
    pub fn check(&self) -> Result<()> {
        if let Some(Poison { since, code }) = self.poison() {
            return Err(Error::Poisoned { since, code, name: code_name(code) });
        }
        let current = std::process::id();
        if current != self.opened_by {
            return Err(Error::Forked { opened_by: self.opened_by, current });
        }
        Ok(())
    }

    /// Turns the driver's answer to `call` into a result, and remembers a fault.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] for a code that ends the device, [`Error::Driver`] for any other but 0.
    pub fn judge(&self, call: &'static str, code: u32) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        if is_sticky(code) {
            let first = self.first.get_or_init(|| {
                crate::trace::device_lost(call, code);
                Poison { since: call, code }
            });
            return Err(Error::Fault { call, code: first.code, name: code_name(first.code) });
        }
        Err(Error::Driver { call, code, name: code_name(code) })
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_remembered() {
        let health = Health::new();
        assert_eq!(health.check(), Ok(()));
        assert!(matches!(health.judge("cuMemAlloc", 2), Err(Error::Driver { code: 2, .. })));
        assert_eq!(health.check(), Ok(()));
        assert!(matches!(
            health.judge("cuStreamSynchronize", 700),
            Err(Error::Fault { code: 700, .. })
        ));
        assert!(matches!(health.judge("cuMemAlloc", 719), Err(Error::Fault { code: 700, .. })));
        assert!(matches!(
            health.check(),
            Err(Error::Poisoned { since: "cuStreamSynchronize", code: 700, .. })
        ));
    }

    #[test]
    fn a_forked_child_is_refused() {
        let health = Health::opened_by(std::process::id().wrapping_add(1));
        assert!(matches!(health.check(), Err(Error::Forked { .. })));
    }

    #[test]
    fn every_sticky_code_is_a_fault_and_capture_errors_are_not() {
        for code in [700, 710, 714, 715, 716, 717, 718, 719] {
            assert!(is_sticky(code), "{code}");
        }
        for code in [0, 1, 2, 3, 218, 222, 400, 500, 701, 900, 901] {
            assert!(!is_sticky(code), "{code}");
        }
    }
}
