//! What can be wrong with what another library lends.

use crate::abi::ElementType;

/// A refusal of memory or of a stream of another library. Nothing was launched, unless the variant says otherwise.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignError {
    /// The memory does not hold such elements.
    #[error("a {owner} of {given} cannot be lent as {}: lend it as {allowed}, or convert it", asked.name())]
    ElementType {
        /// What owns the memory, such as `CudaSlice`.
        owner: &'static str,
        /// Its element type, as that library calls it.
        given: String,
        /// The element type asked for.
        asked: ElementType,
        /// The element types that it can be lent as, in words.
        allowed: String,
    },
    /// The tensor cannot be lent as it is.
    #[error("the {field} of `{owner}` is {given}, but it must be {allowed}: {remedy}")]
    Tensor {
        /// What it is: the tensor of the call, or else its type, such as `DLManagedTensor`.
        owner: &'static str,
        /// Its field.
        field: &'static str,
        /// The value of the field.
        given: String,
        /// What is allowed, in words.
        allowed: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A tensor may be used in the order of one stream only, and the call is on another.
    #[error(
        "`{tensor}` was lent for stream {expected:#x}, but the call is on stream {given:#x}: launch on the stream that it was lent for"
    )]
    WrongStream {
        /// The tensor.
        tensor: &'static str,
        /// The stream of the call, as a number.
        given: u64,
        /// The stream that the tensor was lent for, as a number.
        expected: u64,
    },
    /// A tensor that the kernel writes was lent for reading.
    #[error(
        "`{tensor}` is written by the kernel, but was lent to be read: lend it for writing, or a copy of it"
    )]
    ReadOnly {
        /// The tensor.
        tensor: &'static str,
    },
    /// The stream belongs to another device, or to another context of the same one.
    #[error("the {owner} belongs to {given}, but the plan is prepared on {expected}: {remedy}")]
    StreamElsewhere {
        /// What it is, such as `CudaStream`.
        owner: &'static str,
        /// Where it belongs.
        given: String,
        /// Where the plan is prepared.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The library answered an error of its own; perhaps after the launch.
    #[error("{library} answered {message}: see its documentation")]
    Library {
        /// The library.
        library: &'static str,
        /// What it said.
        message: String,
    },
}
