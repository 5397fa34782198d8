//! Refusals by what the caller can do about them.

use crate::error::Error;
use crate::interop::ForeignError;
use crate::module_error::ModuleError;
use std::fmt;

/// What kind of refusal an [`Error`] is: for callers that branch on it, or that must map it to the codes or
/// exceptions of another language.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A size, shape, stride or address is wrong: change the arguments.
    Argument,
    /// An element type is wrong: convert the tensor.
    ElementType,
    /// There is no such device, or no driver for it: check the machine, or use the CPU backend.
    NoDevice,
    /// This device, or its driver, cannot run the operation: use another one, or the CPU backend.
    Unsupported,
    /// Memory ran out: free some, or ask for less.
    OutOfMemory,
    /// A PTX module is damaged, missing or refused: rebuild or reinstall.
    Module,
    /// The call comes at the wrong time: call it earlier, later, or on another device.
    Order,
    /// The driver, or a library beside it, refused a call for a reason of its own. The device still works.
    Driver,
    /// The process cannot use the device any more: restart it.
    DeviceLost,
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl Error {
    /// What kind of refusal this is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::OutputType { .. }
            | Self::InputType { .. }
            | Self::WrongElementType { .. }
            | Self::Foreign(ForeignError::ElementType { .. }) => ErrorKind::ElementType,
            Self::OutOfRange { .. }
            | Self::NotMultiple { .. }
            | Self::TooManyTiles { .. }
            | Self::SizeOverflow { .. }
            | Self::WrongRank { .. }
            | Self::WrongShape { .. }
            | Self::OffsetsWithTotal { .. }
            | Self::NotContiguous { .. }
            | Self::WrongStrides { .. }
            | Self::NullPointer { .. }
            | Self::Misaligned { .. }
            | Self::AddressOverflow { .. }
            | Self::NotDeviceMemory { .. }
            | Self::WrongDevice { .. }
            | Self::BufferTooShort { .. }
            | Self::Overlap { .. }
            | Self::WrongLength { .. }
            | Self::CopyTooLong { .. }
            | Self::TensorMap { .. }
            | Self::Foreign(
                ForeignError::Tensor { .. }
                | ForeignError::ReadOnly { .. }
                | ForeignError::WrongStream { .. }
                | ForeignError::StreamElsewhere { .. },
            ) => ErrorKind::Argument,
            Self::DriverMissing { .. }
            | Self::DriverTooOld { .. }
            | Self::DriverSymbolMissing { .. }
            | Self::NoDevice
            | Self::DeviceOrdinal { .. } => ErrorKind::NoDevice,
            Self::UnsupportedDevice { .. }
            | Self::SharedMemory { .. }
            | Self::Module(ModuleError::TooNew { .. }) => ErrorKind::Unsupported,
            Self::OutOfMemory { .. } | Self::HostMemory { .. } => ErrorKind::OutOfMemory,
            Self::Module(_) => ErrorKind::Module,
            Self::PlanForAnotherDevice { .. }
            | Self::CurrentContext { .. }
            | Self::Capturing { .. }
            | Self::NotPrepared { .. } => ErrorKind::Order,
            Self::Driver { .. } | Self::Foreign(ForeignError::Library { .. }) => ErrorKind::Driver,
            Self::Fault { .. } | Self::Poisoned { .. } | Self::Forked { .. } => {
                ErrorKind::DeviceLost
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::ElementType;
    use crate::device::Version;

    #[test]
    fn a_main_that_returns_a_refusal_prints_what_to_do() {
        let printed = format!("Error: {:?}", Error::NoDevice);
        assert_eq!(printed, format!("Error: NoDevice: {}", Error::NoDevice));
    }

    #[test]
    fn a_refusal_inside_of_another_keeps_its_kind() {
        let library = ForeignError::Library { library: "x", message: String::new() };
        assert_eq!(Error::from(library).kind(), ErrorKind::Driver);
        let read_only = ForeignError::ReadOnly { tensor: "output" };
        assert_eq!(Error::from(read_only).kind(), ErrorKind::Argument);
        let (given, allowed, asked) = (String::new(), String::new(), ElementType::E4m3);
        let element = ForeignError::ElementType { owner: "x", given, asked, allowed };
        assert_eq!(Error::from(element).kind(), ErrorKind::ElementType);

        let module = String::new();
        let [ptx, driver, max] = [9, 13, 8].map(|major| Version { major, minor: 0 });
        let too_new = ModuleError::TooNew { module: module.clone(), ptx, driver, max };
        assert_eq!(Error::from(too_new).kind(), ErrorKind::Unsupported);
        let malformed = ModuleError::Malformed { module, missing: ".target" };
        assert_eq!(Error::from(malformed).kind(), ErrorKind::Module);
    }
}
