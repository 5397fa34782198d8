//! The one door to a GPU.
//!
//! Everything above this module speaks to a device through [`Driver`], which has three implementations:
//! CUDA ([`cuda`]), the PTX emulator of the tests, and a recorder without a device (`mock`, behind the
//! feature of that name). So the code that validates, plans, prepares and launches also runs in CI.

pub mod cuda;
pub mod fault;
#[cfg(any(test, feature = "mock"))]
pub mod mock;
mod types;

pub use types::{
    Event, Function, FunctionAttributes, Graph, L2Promotion, LaunchSpec, MemoryInfo, MemoryRange,
    Module, OutOfBounds, Stream, Swizzle, TensorMapSpec,
};

use crate::abi::TensorMap;
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use fault::Poison;
use std::fmt::Debug;

/// One device, as the host crate needs it.
///
/// The methods are raw: they take addresses and handles as they are. Those that read or write memory
/// through an address, run code, or end the life of a handle are unsafe. Every method may be called from
/// any thread, leaves the thread's current context as it was, and answers [`Error::Poisoned`] at once
/// after a kernel has faulted.
pub trait Driver: Send + Sync + Debug {
    /// What the device is.
    fn info(&self) -> &DeviceInfo;

    /// Why the device is lost to this process, if it is.
    fn poison(&self) -> Option<Poison>;

    /// The context that everything runs in: the `CUcontext` as a number, so that it can be compared with another
    /// library's. 0 where there is none.
    fn context(&self) -> u64 {
        0
    }

    /// The context that a stream belongs to, as a number.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn context_of(&self, stream: Stream) -> Result<u64> {
        let _ = stream;
        Ok(self.context())
    }

    // ---- memory -------------------------------------------------------------------------------

    /// Allocates `bytes` (at least 1) of device memory, aligned to at least 256 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`], or what the driver answers.
    fn alloc(&self, bytes: u64) -> Result<u64>;

    /// Frees what [`alloc`](Self::alloc) returned, after the work that uses it.
    ///
    /// # Safety
    ///
    /// `address` came from `alloc`, was not freed before, and is not used again.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn free(&self, address: u64) -> Result<()>;

    /// Copies host bytes to the device and waits.
    ///
    /// # Safety
    ///
    /// Device memory of this size begins at `to`, and nothing else uses it meanwhile.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn copy_to_device(&self, to: u64, from: &[u8]) -> Result<()>;

    /// Copies device bytes to the host and waits.
    ///
    /// # Safety
    ///
    /// Device memory of this size begins at `from`, and nothing writes it meanwhile.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn copy_to_host(&self, to: &mut [u8], from: u64) -> Result<()>;

    /// Copies `bytes` within the device, in the order of `stream`.
    ///
    /// # Safety
    ///
    /// Both ranges are device memory, do not overlap, and stay allocated until the copy is done.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn copy_on_device(&self, to: u64, from: u64, bytes: u64, stream: Stream) -> Result<()>;

    /// Sets `bytes` bytes to `value`, in the order of `stream`.
    ///
    /// # Safety
    ///
    /// The range is device memory and stays allocated until the work is done.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn fill(&self, to: u64, value: u8, bytes: u64, stream: Stream) -> Result<()>;

    /// Free and total memory of the device, at this moment and for all processes.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn memory_info(&self) -> Result<MemoryInfo>;

    /// The allocation that holds `address`, or `None` for host, freed and unknown addresses.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn range_of(&self, address: u64) -> Result<Option<MemoryRange>>;

    /// Answers [`range_of`](Self::range_of) for each address in turn, until `visit` refuses one. Cheaper
    /// than as many calls where a call has a fixed cost.
    ///
    /// # Errors
    ///
    /// What the driver answers, or what `visit` refuses.
    fn ranges_of(
        &self,
        addresses: &[u64],
        visit: &mut dyn FnMut(usize, Option<MemoryRange>) -> Result<()>,
    ) -> Result<()> {
        for (index, &address) in addresses.iter().enumerate() {
            visit(index, self.range_of(address)?)?;
        }
        Ok(())
    }

    // ---- modules ------------------------------------------------------------------------------

    /// Compiles and loads PTX text. `name` appears in errors.
    ///
    /// # Errors
    ///
    /// [`ModuleError::Jit`](crate::ModuleError::Jit) with the compiler's log.
    fn load_module(&self, name: &str, ptx: &str) -> Result<Module>;

    /// Unloads a module.
    ///
    /// # Safety
    ///
    /// Neither the module nor a function of it is used again, and no launch of it is pending.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn unload_module(&self, module: Module) -> Result<()>;

    /// A kernel of a module, or `None` if it has no such kernel.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn function(&self, module: Module, symbol: &str) -> Result<Option<Function>>;

    /// Allows launches of `function` with this much dynamic shared memory.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn set_max_dynamic_smem(&self, function: Function, bytes: u32) -> Result<()>;

    /// What the driver's compiler made of a kernel.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn function_attributes(&self, function: Function) -> Result<FunctionAttributes>;

    // ---- streams and events -------------------------------------------------------------------

    /// A new stream that does not wait for the default stream.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn create_stream(&self) -> Result<Stream>;

    /// Ends a stream; its pending work still runs.
    ///
    /// # Safety
    ///
    /// The stream came from [`create_stream`](Self::create_stream) and is not used again.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn destroy_stream(&self, stream: Stream) -> Result<()>;

    /// Waits for the work of a stream.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if a kernel faulted.
    fn synchronize_stream(&self, stream: Stream) -> Result<()>;

    /// Waits for all work of the device.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if a kernel faulted.
    fn synchronize(&self) -> Result<()>;

    /// Whether the stream's work is being captured into a graph.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn is_capturing(&self, stream: Stream) -> Result<bool>;

    /// A new event that measures time.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn create_event(&self) -> Result<Event>;

    /// Ends an event.
    ///
    /// # Safety
    ///
    /// The event came from [`create_event`](Self::create_event) and is not used again.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn destroy_event(&self, event: Event) -> Result<()>;

    /// Records an event after the work that `stream` holds now.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn record_event(&self, event: Event, stream: Stream) -> Result<()>;

    /// Waits for an event.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if a kernel faulted.
    fn synchronize_event(&self, event: Event) -> Result<()>;

    /// Milliseconds from `start` to `end`, both reached.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn elapsed_ms(&self, start: Event, end: Event) -> Result<f32>;

    // ---- graphs -------------------------------------------------------------------------------

    /// Begins to capture the work of a stream (not the default stream) instead of running it.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn begin_capture(&self, stream: Stream) -> Result<()>;

    /// Ends the capture and makes its work launchable.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    fn end_capture(&self, stream: Stream) -> Result<Graph>;

    /// Runs a graph in the order of `stream`.
    ///
    /// # Safety
    ///
    /// The memory that the captured work uses is still allocated.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn launch_graph(&self, graph: Graph, stream: Stream) -> Result<()>;

    /// Ends a graph.
    ///
    /// # Safety
    ///
    /// The graph came from [`end_capture`](Self::end_capture) and is not used again.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn destroy_graph(&self, graph: Graph) -> Result<()>;

    // ---- launch -------------------------------------------------------------------------------

    /// Encodes a tensor map. Pure: the memory is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::TensorMap`] for what the hardware cannot express.
    fn encode_tensor_map(&self, spec: &TensorMapSpec) -> Result<TensorMap>;

    /// Starts a kernel and returns at once.
    ///
    /// # Safety
    ///
    /// `params` is the function's one parameter, and the memory it names stays allocated, and is used by
    /// nothing else, until the kernel is done.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    unsafe fn launch(&self, spec: &LaunchSpec<'_>) -> Result<()>;
}

impl TensorMapSpec {
    /// Refuses what the hardware cannot express, so that every implementation answers alike.
    ///
    /// # Errors
    ///
    /// [`Error::TensorMap`] with the first field that is out of bounds.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, field, given, allowed| {
            if ok { Ok(()) } else { Err(Error::TensorMap { field, given, allowed }) }
        };
        let rank = self.dims.rank();
        check((1..=5).contains(&rank), "the rank", rank as u64, "1 to 5 are possible")?;
        check(
            self.box_dims.rank() == rank,
            "the rank of the box",
            self.box_dims.rank() as u64,
            "it must be the tensor's",
        )?;
        check(
            self.strides_bytes.rank() + 1 == rank,
            "the number of strides",
            self.strides_bytes.rank() as u64,
            "it must be one less than the rank",
        )?;
        check(
            self.address.is_multiple_of(16),
            "the address",
            self.address,
            "it must be a multiple of 16",
        )?;
        for &dim in self.dims.as_slice() {
            check((1..=1 << 32).contains(&dim), "a dimension", dim, "1 to 2^32 are possible")?;
        }
        for &stride in self.strides_bytes.as_slice() {
            let ok = stride.is_multiple_of(16) && stride < 1 << 40;
            check(ok, "a stride in bytes", stride, "multiples of 16 below 2^40 are possible")?;
        }
        for &dim in self.box_dims.as_slice() {
            check((1..=256).contains(&dim), "a side of the box", dim, "1 to 256 are possible")?;
        }
        let inner = self.box_dims.get(0).saturating_mul(self.element.bytes());
        let widest = match self.swizzle {
            Swizzle::None => 256 * 8,
            Swizzle::Bytes32 => 32,
            Swizzle::Bytes64 => 64,
            Swizzle::Bytes128 => 128,
        };
        check(
            inner.is_multiple_of(16) && inner <= widest,
            "the inner side of the box in bytes",
            inner,
            "it must be a multiple of 16 and at most the swizzle's width",
        )
    }
}
