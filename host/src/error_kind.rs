//! Refusals by what the caller can do about them.

use crate::error::Error;

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
    /// The driver refused a call for a reason of its own. The device still works.
    Driver,
    /// The process cannot use the device any more: restart it.
    DeviceLost,
}

impl Error {
    /// What kind of refusal this is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
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
            | Self::TensorMap { .. } => ErrorKind::Argument,
            Self::OutputType { .. } | Self::InputType { .. } | Self::WrongElementType { .. } => {
                ErrorKind::ElementType
            }
            Self::DriverMissing { .. }
            | Self::DriverTooOld { .. }
            | Self::DriverSymbolMissing { .. }
            | Self::NoDevice
            | Self::DeviceOrdinal { .. } => ErrorKind::NoDevice,
            Self::UnsupportedDevice { .. } | Self::SharedMemory { .. } | Self::PtxTooNew { .. } => {
                ErrorKind::Unsupported
            }
            Self::OutOfMemory { .. } | Self::HostMemory { .. } => ErrorKind::OutOfMemory,
            Self::PtxMalformed { .. }
            | Self::PtxTarget { .. }
            | Self::AbiMismatch { .. }
            | Self::PtxUnknown { .. }
            | Self::PtxFile { .. }
            | Self::Jit { .. }
            | Self::KernelMissing { .. } => ErrorKind::Module,
            Self::PlanForAnotherDevice { .. }
            | Self::CurrentContext { .. }
            | Self::Capturing { .. }
            | Self::NotPrepared { .. } => ErrorKind::Order,
            Self::Driver { .. } => ErrorKind::Driver,
            Self::Fault { .. } | Self::Poisoned { .. } | Self::Forked { .. } => {
                ErrorKind::DeviceLost
            }
        }
    }
}
