//! What the examples of products and layers share: number formats, group tables, and both kinds of product on the GPU or
//! on the CPU.

// Each of them uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod backend;
#[path = "../common/fallback.rs"]
pub mod fallback;
pub mod fp8;
pub mod groups;
pub mod mxfp8;
pub mod numbers;
