//! The C interface of expert-gemm: `libexpert_gemm` and `include/expert_gemm.h`.
//!
//! Thin on purpose: pointers are looked at, structs become the host crate's, and its answers become codes. Every check of
//! a shape or an address is the host crate's own, on the CPU too. No panic gets out, see [`status`].
//!
//! The header is made from these files by the test `header`.

// The header is made from the comments.
#![deny(missing_docs)]
// The names are those of the header.
#![allow(non_camel_case_types)]
// Its enums and structs are public in C whether Rust reaches them or not.
#![allow(unreachable_pub)]
// Nothing in this crate may panic, and nothing that panics below it gets out.
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used,
    )
)]

mod buffer;
mod device;
mod ops;
mod plan;
mod pointer;
mod scales;
mod status;
mod tensor;
#[cfg(test)]
mod tests;
mod version;
