//! Handles and descriptions that pass through a [`Driver`](super::Driver).

use crate::abi::ElementType;
use crate::tensor::Dims;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(transparent)]
        pub struct $name(pub(super) u64);

        impl $name {
            /// Wraps the driver's own handle.
            ///
            /// # Safety
            ///
            /// The handle is live, belongs to the driver and context it is used with, and stays alive
            /// while this value or a copy of it is used.
            pub const unsafe fn from_raw(raw: u64) -> Self {
                Self(raw)
            }

            /// The driver's own handle.
            pub const fn raw(self) -> u64 {
                self.0
            }
        }
    };
}

handle! {
    /// A stream: the `CUstream` as a number, so that it fits any binding of CUDA.
    Stream
}
handle! {
    /// A loaded module.
    Module
}
handle! {
    /// A kernel of a loaded module.
    Function
}
handle! {
    /// A point in a stream's work.
    Event
}
handle! {
    /// An instantiated graph.
    Graph
}

impl Stream {
    /// The default stream of the context (`CUstream` 0).
    pub const DEFAULT: Self = Self(0);
}

impl Default for Stream {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The allocation that holds an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryRange {
    /// First address.
    pub base: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Ordinal of the device whose memory it is.
    pub ordinal: i32,
}

/// How much memory a device has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryInfo {
    /// Bytes that no process uses.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// What the driver's compiler made of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FunctionAttributes {
    /// Registers of a thread.
    pub registers: u32,
    /// Local memory of a thread in bytes: stack and spills.
    pub local_bytes: u32,
    /// Static shared memory of a block in bytes.
    pub static_smem_bytes: u32,
    /// Most threads of a block.
    pub max_threads: u32,
}

/// How the bytes of a box are permuted in shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swizzle {
    /// Not at all.
    None,
    /// Within 32 bytes.
    Bytes32,
    /// Within 64 bytes.
    Bytes64,
    /// Within 128 bytes.
    Bytes128,
}

/// How much of a line the second-level cache fetches around a box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum L2Promotion {
    /// What the box needs.
    None,
    /// 64 bytes.
    Bytes64,
    /// 128 bytes.
    Bytes128,
    /// 256 bytes.
    Bytes256,
}

/// What a box holds where it reaches outside of the tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutOfBounds {
    /// Zeros.
    Zero,
    /// A special NaN; only for element types with NaN.
    NaN,
}

/// A tiled tensor map, before it is encoded. Dimension 0 is the innermost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TensorMapSpec {
    /// Element type. [`ElementType::E4m3`] moves as bytes.
    pub element: ElementType,
    /// Device address of element 0; aligned to 16 bytes.
    pub address: u64,
    /// Lengths in elements, up to 5 dimensions.
    pub dims: Dims,
    /// Strides of dimensions 1 and up, in bytes; multiples of 16, below 2^40.
    pub strides_bytes: Dims,
    /// Lengths of the box in elements, each at most 256.
    pub box_dims: Dims,
    /// Permutation in shared memory.
    pub swizzle: Swizzle,
    /// Cache hint.
    pub l2_promotion: L2Promotion,
    /// Values outside of the tensor.
    pub out_of_bounds: OutOfBounds,
}

/// One kernel launch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaunchSpec<'a> {
    /// The kernel.
    pub function: Function,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Blocks of a cluster in x, y and z; all 1 for no cluster.
    pub cluster: [u32; 3],
    /// Dynamic shared memory of a block, in bytes.
    pub smem_bytes: u32,
    /// The stream.
    pub stream: Stream,
    /// The kernel's one by-value parameter.
    pub params: &'a [u8],
}
