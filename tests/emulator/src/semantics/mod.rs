//! What instructions compute: pure functions, no machine.
//!
//! | module | holds |
//! | --- | --- |
//! | [`tensor`] | the sums of the tensor cores, bit for bit: `wgmma`, `mma.sync`, `tcgen05.mma` |
//! | [`swizzle`], [`descriptor`] | where a matrix element lies in shared memory |
//! | [`fragment`], [`matrix`] | which thread and register holds which element |
//! | [`tma`] | the box of a tensor copy, row by row |
//! | [`tmem`] | tensor memory: scale factors, copies, allocation |
//! | [`convert`], [`alu`] | conversions and scalar arithmetic |
//!
//! Every rule names its source: a section of the PTX ISA (numbers of version 9.2), or a measurement on an
//! H200. Where neither exists, the text says so.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "the tests compare exact results"))]

pub mod alu;
pub mod convert;
pub mod descriptor;
pub mod fragment;
pub mod matrix;
pub mod swizzle;
pub mod tensor;
pub mod tma;
pub mod tmem;
