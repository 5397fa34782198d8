//! Everything that this crate can refuse, as one enum. Every variant carries its facts as fields, so that a service
//! can act on them, and displays as one sentence: the tensor or field, what was given, what is allowed, what to do.

use crate::abi::ElementType;
use crate::device::Version;
use crate::interop::ForeignError;
use crate::module_error::ModuleError;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal. Nothing was launched, and no tensor was touched, unless the variant says otherwise.
///
/// `Debug` writes the [`ErrorKind`](crate::ErrorKind) and the sentence, not the fields: a `main` that returns the error
/// prints that.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A size is outside its range.
    #[error("`{field}` is {given}, but it must be between {min} and {max}: {remedy}")]
    OutOfRange {
        /// The field of the problem.
        field: &'static str,
        /// Its value.
        given: u64,
        /// The smallest value allowed.
        min: u64,
        /// The largest value allowed.
        max: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// A size is not a multiple of the scale block.
    #[error("`{field}` is {given}, but it must be a multiple of {multiple}: {remedy}")]
    NotMultiple {
        /// The field of the problem.
        field: &'static str,
        /// Its value.
        given: u64,
        /// What it must be a multiple of.
        multiple: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The output cannot have this element type.
    #[error("`output` is to be {}, but only bf16 and f16 are written: ask for one of them and convert afterwards", given.name())]
    OutputType {
        /// The type asked for.
        given: ElementType,
    },
    /// The input of the quantiser cannot have this element type.
    #[error("`input` is to be {}, but only bf16 and f16 are quantised: convert it before the call", given.name())]
    InputType {
        /// The type asked for.
        given: ElementType,
    },
    /// The problem has more tiles than a launch can number.
    #[error(
        "`rows`, `experts` and `{side}` make up to {given} tiles, but a launch numbers at most {max}: split the rows over several calls"
    )]
    TooManyTiles {
        /// Upper bound of the number of tiles.
        given: u64,
        /// The largest number of tiles of one launch.
        max: u64,
        /// The field that makes tiles beside the rows: columns, or elements of a row.
        side: &'static str,
    },
    /// A tensor is larger than any address can reach.
    #[error("the size of `{tensor}` in bytes does not fit 64 bits: split the problem")]
    SizeOverflow {
        /// The tensor.
        tensor: &'static str,
    },
    /// A tensor has another element type.
    #[error("`{tensor}` holds {}, but {} is needed: convert it before the call", given.name(), expected.name())]
    WrongElementType {
        /// The tensor.
        tensor: &'static str,
        /// Its element type.
        given: ElementType,
        /// The element type needed.
        expected: ElementType,
    },
    /// A tensor has another number of dimensions.
    #[error("`{tensor}` has {given} dimensions, but {expected} are needed: pass it as {layout}")]
    WrongRank {
        /// The tensor.
        tensor: &'static str,
        /// Its number of dimensions.
        given: usize,
        /// The number of dimensions needed.
        expected: usize,
        /// The shape needed, in words.
        layout: &'static str,
    },
    /// A dimension has another length than the plan's.
    #[error(
        "dimension {dim} of `{tensor}` is {given}, but the plan has {expected}: pass {layout}, or plan for these shapes"
    )]
    WrongShape {
        /// The tensor.
        tensor: &'static str,
        /// The dimension, counted from 0.
        dim: usize,
        /// Its length.
        given: u64,
        /// The length needed.
        expected: u64,
        /// The shape needed, in words.
        layout: &'static str,
    },
    /// The offsets carry the total as one more entry.
    #[error(
        "`{tensor}` has {given} entries for {experts} experts: pass the first {experts}, without the total at the end"
    )]
    OffsetsWithTotal {
        /// The tensor.
        tensor: &'static str,
        /// Its number of entries.
        given: u64,
        /// The number of experts.
        experts: u64,
    },
    /// A tensor has gaps, or its dimensions are in another order.
    #[error(
        "dimension {dim} of `{tensor}` has a stride of {given} elements, but a packed row-major tensor has {expected}: make it contiguous"
    )]
    NotContiguous {
        /// The tensor.
        tensor: &'static str,
        /// The dimension, counted from 0.
        dim: usize,
        /// Its stride in elements.
        given: u64,
        /// The stride needed, in elements.
        expected: u64,
    },
    /// The strides do not describe the same dimensions as the shape.
    #[error(
        "`{tensor}` has {given} strides for {expected} dimensions: give one stride for each dimension, or none"
    )]
    WrongStrides {
        /// The tensor.
        tensor: &'static str,
        /// The number of strides.
        given: usize,
        /// The number of dimensions.
        expected: usize,
    },
    /// A tensor that has elements has the address 0.
    #[error(
        "`{tensor}` has the address 0, but it must hold {bytes} bytes: allocate it on the device"
    )]
    NullPointer {
        /// The tensor.
        tensor: &'static str,
        /// The bytes it must hold.
        bytes: u64,
    },
    /// An address is not aligned.
    #[error(
        "`{tensor}` is at {address:#x}, but it must be aligned to {alignment} bytes: begin it at an allocation, or pad the rows before it"
    )]
    Misaligned {
        /// The tensor.
        tensor: &'static str,
        /// Its address.
        address: u64,
        /// The alignment needed, in bytes.
        alignment: u64,
    },
    /// A tensor wraps around the end of the address space.
    #[error(
        "`{tensor}` would reach past the end of the address space ({bytes} bytes from {address:#x}): check its address"
    )]
    AddressOverflow {
        /// The tensor.
        tensor: &'static str,
        /// Its address.
        address: u64,
        /// Its size in bytes.
        bytes: u64,
    },
    /// An address is not device memory: it is on the host, was freed, or never existed.
    #[error(
        "`{tensor}` at {address:#x} is not device memory (host memory, freed, or never allocated): upload it, and keep it alive for the call"
    )]
    NotDeviceMemory {
        /// The tensor.
        tensor: &'static str,
        /// Its address.
        address: u64,
    },
    /// A tensor is in the memory of another GPU.
    #[error(
        "`{tensor}` is in the memory of device {given}, but the call runs on device {expected}: copy it, or prepare the plan on its device"
    )]
    WrongDevice {
        /// The tensor.
        tensor: &'static str,
        /// The device that holds it.
        given: i32,
        /// The device of the call.
        expected: i32,
    },
    /// Memory or a stream of another library cannot be used.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// The allocation ends before the tensor does.
    #[error(
        "`{tensor}` needs {needed_bytes} bytes, but its allocation ends {available_bytes} bytes after its address: allocate more, or pass a smaller problem"
    )]
    BufferTooShort {
        /// The tensor.
        tensor: &'static str,
        /// The bytes needed from its address on.
        needed_bytes: u64,
        /// The bytes that its allocation has from its address on.
        available_bytes: u64,
    },
    /// A tensor that is written shares bytes with another one.
    #[error(
        "`{written}` shares {bytes} bytes with `{other}`: give each its own memory, the kernel reads while it writes"
    )]
    Overlap {
        /// The tensor that is written.
        written: &'static str,
        /// The other tensor.
        other: &'static str,
        /// The number of bytes shared.
        bytes: u64,
    },
    /// A host slice has another length.
    #[error("`{tensor}` has {given} elements, but {expected} are needed: pass {layout}")]
    WrongLength {
        /// The tensor.
        tensor: &'static str,
        /// Its number of elements.
        given: u64,
        /// The number of elements needed.
        expected: u64,
        /// The shape needed, in words.
        layout: &'static str,
    },
    /// The CUDA driver library cannot be opened.
    #[error(
        "no CUDA driver was found (tried {tried}): install the NVIDIA driver, or use the CPU backend `expert_gemm::cpu`"
    )]
    DriverMissing {
        /// The library names tried.
        tried: String,
    },
    /// The CUDA driver is too old for this crate.
    #[error("the CUDA driver supports CUDA {have}, but {need} is needed: update the NVIDIA driver")]
    DriverTooOld {
        /// The CUDA version of the driver.
        have: Version,
        /// The oldest CUDA version that works.
        need: Version,
    },
    /// The CUDA driver lacks a function.
    #[error(
        "the CUDA driver has no function `{symbol}`: update the NVIDIA driver to CUDA {need} or newer"
    )]
    DriverSymbolMissing {
        /// The function.
        symbol: &'static str,
        /// The oldest CUDA version that works.
        need: Version,
    },
    /// The machine has a driver but no GPU.
    #[error(
        "the CUDA driver sees no GPU: check CUDA_VISIBLE_DEVICES, or use the CPU backend `expert_gemm::cpu`"
    )]
    NoDevice,
    /// There is no device of this number.
    #[error(
        "device {given} was asked for, but this process sees {count}, numbered from 0: choose one of them"
    )]
    DeviceOrdinal {
        /// The number asked for.
        given: i32,
        /// The number of devices.
        count: i32,
    },
    /// No kernel runs on this GPU.
    #[error("{op} needs {needs}; this device is sm_{}{} ({name})", capability.0, capability.1)]
    UnsupportedDevice {
        /// The operation, in words.
        op: &'static str,
        /// The GPU families that run it, in words.
        needs: String,
        /// Compute capability of this device.
        capability: (u32, u32),
        /// Name of this device.
        name: String,
    },
    /// The device offers less shared memory than the kernel needs.
    #[error(
        "kernel `{symbol}` needs {needed_bytes} bytes of shared memory per block, but this device offers {available_bytes}: check for MPS or MIG limits"
    )]
    SharedMemory {
        /// The kernel.
        symbol: &'static str,
        /// Bytes needed.
        needed_bytes: u64,
        /// Bytes offered.
        available_bytes: u64,
    },
    /// A plan was made for another kind of device.
    #[error(
        "the plan was made for {planned}, but this device is {have}: plan with `device.info()` of the device that runs it"
    )]
    PlanForAnotherDevice {
        /// The device planned for.
        planned: String,
        /// The device at hand.
        have: String,
    },
    /// A PTX module cannot be used.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The calling thread's current context is none, or not the primary one of its device.
    #[error("the current CUDA context is {given}: call `cudaSetDevice`, or open by number")]
    CurrentContext {
        /// What it is, in words.
        given: &'static str,
    },
    /// The stream is being captured into a graph, where this is not possible.
    #[error("`{operation}` cannot run while its stream is being captured: {remedy}")]
    Capturing {
        /// The operation.
        operation: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A launch without preparation; it would have to load a module.
    #[error(
        "kernel `{symbol}` is not loaded on this device: call `Device::prepare` first, outside of any capture"
    )]
    NotPrepared {
        /// The kernel.
        symbol: &'static str,
    },
    /// A copy is longer than the buffer.
    #[error(
        "a copy of {given} bytes at offset {offset} does not fit the buffer of {capacity} bytes: allocate a larger one"
    )]
    CopyTooLong {
        /// Bytes to copy.
        given: u64,
        /// Where the copy begins.
        offset: u64,
        /// Bytes of the buffer.
        capacity: u64,
    },
    /// A tensor map that the hardware cannot use.
    #[error("{field} of a tensor map is {given}, but {allowed}: change the layout of the tensor")]
    TensorMap {
        /// The field.
        field: &'static str,
        /// Its value.
        given: u64,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// The device has no memory left. Nothing changed; a smaller request may succeed.
    #[error(
        "{requested_bytes} bytes of device memory are not to be had: free memory, or ask for less"
    )]
    OutOfMemory {
        /// The bytes asked for.
        requested_bytes: u64,
    },
    /// The host has no memory left.
    #[error("{requested_bytes} bytes of host memory are not to be had: copy in parts")]
    HostMemory {
        /// The bytes asked for.
        requested_bytes: u64,
    },
    /// The driver refused a call; the device still works.
    #[error("the driver refused `{call}`: {name} (code {code})")]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// The driver's code.
        code: u32,
        /// The code's name.
        name: String,
    },
    /// A kernel faulted, in this call or in an earlier one: the process cannot use the device any more.
    #[error(
        "`{call}` reports that a kernel faulted: {name} (code {code}); the device is lost to this process, restart it"
    )]
    Fault {
        /// The driver's function that reported it.
        call: &'static str,
        /// The driver's code.
        code: u32,
        /// The code's name.
        name: String,
    },
    /// The device was lost earlier; the driver was not asked again.
    #[error(
        "the device was lost when `{since}` reported {name} (code {code}): restart the process"
    )]
    Poisoned {
        /// The driver's function that reported it first.
        since: &'static str,
        /// The driver's code.
        code: u32,
        /// The code's name.
        name: String,
    },
    /// The device was opened before `fork`, and CUDA does not survive it.
    #[error(
        "the device was opened by process {opened_by}, but this is process {current}: open devices after `fork`, or start processes with `exec`"
    )]
    Forked {
        /// The process that opened the device.
        opened_by: u32,
        /// The calling process.
        current: u32,
    },
}
