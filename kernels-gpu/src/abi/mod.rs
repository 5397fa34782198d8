//! The whole contract between host and device: parameter structs, group metadata, scale layouts,
//! and the table of kernels. Nothing here knows an instruction or a driver.

pub mod bulk_read;
pub mod fp8_block;
pub mod groups;
pub mod lesson;
pub mod mxfp8_gemm;
pub mod mxfp8_gemm_sm100;
pub mod mxfp8_gemm_sm100_pair;
pub mod mxfp8_gemm_sm90;
pub mod mxfp8_quant;
pub mod scale_atoms;
pub mod tensor_map;
pub mod tensor_probe;
pub mod variant;

pub use bulk_read::BulkReadParams;
pub use fp8_block::Fp8BlockParams;
pub use groups::{Group, GroupStatus, Problem, ScaledGroup, ScaledProblem};
pub use lesson::{LESSONS, LessonParams};
pub use mxfp8_gemm::Mxfp8GemmParams;
pub use mxfp8_quant::{Mxfp8QuantParams, ScaleRule};
pub use tensor_map::{MAPS, TensorMap};
pub use tensor_probe::{ProbeStep, TensorProbeParams};
pub use variant::{Arch, ElementType, Op, Shares, VARIANTS, Variant, WeightOrder};

/// Version of this contract. It is stamped into every PTX module as the global `EXPERT_GEMM_ABI`,
/// and the host refuses a module that carries another one.
pub const ABI_VERSION: u32 = 3;

/// Edge of a weight-scale block and width of an activation-scale group, in elements.
pub const SCALE_BLOCK: u32 = 128;
