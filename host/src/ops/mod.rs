//! The operations: one file each, which holds the shapes, the tensors of a call, and what the common machinery
//! of plans and launches must know. To add one, write such a file.

mod fp8_grouped_mm;
mod gemm;
mod limits;
mod mxfp8_grouped_mm;
mod mxfp8_grouped_quant;

pub use fp8_grouped_mm::{Fp8GroupedMm, Fp8GroupedMmTensors};
pub(crate) use gemm::{Addresses, Operands};
pub use limits::{MAX_EXPERTS, MAX_ROWS, MAX_SCALE_ROWS, MAX_SIDE, MAX_WEIGHT_BYTES};
pub(crate) use limits::{rows_and_experts, scale_rows, side, size};
pub use mxfp8_grouped_mm::{Mxfp8GroupedMm, Mxfp8GroupedMmTensors};
pub use mxfp8_grouped_quant::{Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors};

use crate::abi::{ElementType, MAPS, Op, TensorMap, Variant};
use crate::device::DeviceInfo;
use crate::error::Result;
use crate::plan::{Plan, Rounds};
use crate::tensor::Inspection;
use std::fmt::Debug;
use std::hash::Hash;

/// An operation of this crate: [`Fp8GroupedMm`], [`Mxfp8GroupedMm`] or [`Mxfp8GroupedQuant`].
///
/// Plans, preparation and launches are written once, over this trait. It is sealed: nobody else can
/// implement it, and what only the machinery asks is hidden.
pub trait Operation: sealed::Sealed + Copy + Eq + Hash + Debug + Send + Sync + 'static {
    /// The tensors of one call.
    type Tensors<'a>: Copy + Debug;

    /// Its place in the table of kernels.
    const OP: Op;

    /// Its name in messages, in words.
    const NAME: &'static str;

    /// Checks every number of the problem. Pure: no driver is asked.
    ///
    /// # Errors
    ///
    /// The first number that is refused.
    fn validate(&self) -> Result<()>;

    /// Whether there is nothing to compute, whatever the group tables say.
    fn is_empty(&self) -> bool;

    /// Most tiles of 128 x 128 elements that disjoint groups can have.
    fn max_tiles(&self) -> u64;

    /// Operations on numbers when every row is owned by an expert.
    fn flops(&self) -> u128;

    /// Fewest bytes moved when every row is owned and `active_experts` have rows.
    fn min_bytes(&self, active_experts: u64) -> u128;

    /// The by-value parameter of its kernels.
    #[doc(hidden)]
    type Params: Parameter;

    /// What the score of a kernel counts.
    #[doc(hidden)]
    const UNIT: &'static str;

    /// How its kernels adapt to the rows of an expert, if they do.
    #[doc(hidden)]
    const FORMS: Option<&'static str>;

    /// Whether the blocks of a launch stay until all work is done. Otherwise there is one for each piece.
    #[doc(hidden)]
    const PERSISTENT: bool = true;

    /// The problem in one line.
    #[doc(hidden)]
    fn describe(&self) -> String;

    /// Packed rows and experts.
    #[doc(hidden)]
    fn rows_and_experts(&self) -> [u64; 2];

    /// Checks every number, and that no more rows are expected than there are. Pure.
    #[doc(hidden)]
    fn validate_expecting(&self, expected_rows: Option<u64>) -> Result<()> {
        self.validate()?;
        let [rows, _] = self.rows_and_experts();
        limits::expected_rows(expected_rows.unwrap_or(rows), rows)
    }

    /// Chooses a kernel, for all rows or for those that are expected. Pure.
    #[doc(hidden)]
    fn plan_for(&self, expected_rows: Option<u64>, device: &DeviceInfo) -> Result<Plan<Self>> {
        Plan::expecting(*self, expected_rows, device)
    }

    /// The same problem with another number of packed rows.
    #[doc(hidden)]
    #[must_use]
    fn with_rows(&self, rows: u64) -> Self;

    /// Element types of the activations and of the output.
    #[doc(hidden)]
    fn elements(&self) -> [ElementType; 2];

    /// The most work that there can be for a kernel.
    #[doc(hidden)]
    fn most_work(&self, variant: &Variant) -> Work;

    /// The work by which kernels are compared: the most, or what it is when the experts' rows are nearly equal. What that is may
    /// depend on the rounds that the device takes.
    #[doc(hidden)]
    fn usual_work(&self, variant: &Variant, _rounds: Rounds) -> Work {
        self.most_work(variant)
    }

    /// Shows every tensor with its rule to an inspection, in the order of the fields.
    #[doc(hidden)]
    fn inspect(&self, tensors: &Self::Tensors<'_>, inspection: &mut Inspection) -> Result<()>;

    /// What the kernels read through tensor maps, if they do.
    #[doc(hidden)]
    fn operands(&self, tensors: &Self::Tensors<'_>) -> Option<Operands>;

    /// The parameter of a launch. The problem is valid, and so are the tensors.
    #[doc(hidden)]
    fn params(&self, maps: [TensorMap; MAPS], tensors: &Self::Tensors<'_>) -> Self::Params;
}

/// The most work that disjoint groups can make for a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// Clusters that can have work at once.
    pub(crate) clusters: u64,
    /// What a block takes at a time, counted.
    pub(crate) tiles: u64,
    /// The score of one of them, padding included.
    pub(crate) tile_cost: u128,
}

/// The by-value parameter of a kernel.
///
/// # Safety
///
/// The type is `repr(C)` and has no padding: every byte is initialised.
pub unsafe trait Parameter: Copy {
    /// The bytes, as the driver takes them.
    fn bytes(&self) -> &[u8] {
        let start = std::ptr::from_ref(self).cast::<u8>();
        // SAFETY: implementors have no padding, and the length is the type's.
        unsafe { std::slice::from_raw_parts(start, size_of::<Self>()) }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Fp8GroupedMm {}
    impl Sealed for super::Mxfp8GroupedMm {}
    impl Sealed for super::Mxfp8GroupedQuant {}
}

/// The checks that the tensors of an operation offer to callers.
macro_rules! checked_tensors {
    ($tensors:ident of $problem:ident) => {
        impl $tensors<'_> {
            /// Checks types, shapes, strides, alignment and overlap. Pure: no driver is asked.
            ///
            /// # Errors
            ///
            /// The first refusal, tensor by tensor in the order of the fields.
            pub fn validate(&self, problem: &$problem) -> $crate::error::Result<()> {
                $crate::tensor::Inspection::of(problem, self).map(drop)
            }

            /// Asks the driver whether every tensor is memory of `driver`'s device, and long enough, after
            /// everything that [`validate`](Self::validate) checks.
            ///
            /// # Errors
            ///
            /// The first refusal.
            pub fn validate_memory(
                &self,
                problem: &$problem,
                driver: &dyn $crate::driver::Driver,
            ) -> $crate::error::Result<()> {
                $crate::tensor::Inspection::of(problem, self)?.memory(driver)
            }
        }
    };
}
use checked_tensors;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::VARIANTS;

    fn parameters_have_the_size_of_the_table<O: Operation>() {
        for variant in VARIANTS.iter().filter(|variant| variant.op == O::OP) {
            assert_eq!(variant.param_bytes as usize, size_of::<O::Params>(), "{}", variant.symbol);
        }
    }

    #[test]
    fn every_kernel_takes_the_parameter_of_its_operation() {
        parameters_have_the_size_of_the_table::<Fp8GroupedMm>();
        parameters_have_the_size_of_the_table::<Mxfp8GroupedMm>();
        parameters_have_the_size_of_the_table::<Mxfp8GroupedQuant>();
    }
}
