//! Mixture-of-experts GEMM kernels, written in Rust and compiled to PTX.
#![no_std]

pub mod abi;
