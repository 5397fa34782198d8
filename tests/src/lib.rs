//! The testkit: seeded problems, three references to compare with, and the gate to the GPU.
//!
//! | module | holds |
//! | --- | --- |
//! | [`e4m3`], [`narrow`] | the number formats of the operands and of the output, as the hardware converts them |
//! | [`rng`], [`routing`], [`values`], [`quantise`], [`problem`] | problems, each reproducible from one `u64` |
//! | [`wgmma_model`] | the Hopper tensor core, bit for bit, and the promotion of the kernel on top |
//! | [`mod@reference`], [`bound`] | the exact sum in `f64`, and how far from it a correct kernel may be |
//! | [`sweep`] | whole problems by tiles, on all cores |
//! | [`metrics`], [`judge`], [`suite`] | comparison of outputs, with reports that a person can read |
//! | [`fp8_kernel`] | problems for which a plan chooses a certain FP8 kernel |
//! | [`mx`] | the MXFP8 operations: problems, models, judgement |
//! | [`lessons`] | the kernels of `docs/lessons`, and what each promises |
//! | [`soak`] | problems that are launched again and again from many threads |
//! | [`cpu`] | the CPU backend on such problems, and what it promises |
//! | [`gpu`], [`guarded`] | device access, guard zones, and the rule for skipping without a GPU |

#![cfg_attr(test, allow(clippy::float_cmp, reason = "the tests compare exact results"))]

pub mod bound;
pub mod cpu;
pub mod e4m3;
pub mod fp8_kernel;
pub mod gpu;
pub mod guarded;
pub mod judge;
pub mod lessons;
pub mod metrics;
pub mod mx;
pub mod narrow;
pub mod problem;
pub mod quantise;
pub mod reference;
pub mod rng;
pub mod routing;
pub mod soak;
pub mod suite;
pub mod sweep;
pub mod values;
pub mod wgmma_model;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The examples of the guide for those who come from DeepGEMM.
#[cfg(doctest)]
#[doc = include_str!("../../docs/migrating-from-deepgemm.md")]
pub struct MigratingFromDeepGemm;
