//! MXFP8: e4m3 codes with one power of two for each 32 elements of a row.
//!
//! | module | holds |
//! | --- | --- |
//! | [`quant_integer`], [`quant_float`] | a block of 32 quantised, twice: by whole numbers, and by `f32` arithmetic |
//! | [`vectors`] | the published table of special blocks |
//! | [`inputs`] | kinds of bf16 and f16 inputs |
//! | [`routing`] | where the experts' scales lie: scale offsets, and hostile tables |
//! | [`made_for`] | routings for which a plan chooses a certain kernel |
//! | [`judge`] | which experts are served and what is reported, for any tables |
//! | [`quant_problem`], [`quant_model`], [`quant_device`] | a grouped quantisation, what it must leave behind, and what it did |
//! | [`scale_values`], [`gemm_problem`], [`gemm_device`] | a grouped product, and what it did |
//! | [`hopper`], [`blackwell`], [`gemm_model`] | every output bit of either family |
//! | [`gemm_reference`] | the exact product in `f64`, and how far from it a kernel may be |

pub mod blackwell;
pub mod gemm_device;
pub mod gemm_model;
pub mod gemm_problem;
pub mod gemm_reference;
pub mod hopper;
pub mod inputs;
pub mod judge;
pub mod made_for;
pub mod quant_device;
pub mod quant_float;
pub mod quant_integer;
pub mod quant_model;
pub mod quant_problem;
pub mod routing;
pub mod scale_values;
pub mod vectors;

use expert_gemm_kernels::abi::scale_atoms;

/// Elements that share a scale.
pub const VECTOR: usize = scale_atoms::VECTOR as usize;

/// Bits of 32 consecutive elements of a row.
pub type Block = [u16; VECTOR];

/// A quantised block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quantised {
    /// The scale byte.
    pub scale: u8,
    /// The e4m3 codes.
    pub codes: [u8; VECTOR],
}
