//! A `libcuda` whose GPUs are emulated.
//!
//! What sits on the driver's C interface (this project's own [`Driver`] for CUDA, cudarc, cust) runs on it unchanged,
//! without a GPU: PTX is executed by [`ptx_emulator`], with its checks for races and for memory that nobody wrote.
//! There are two H200s. Streams execute at once, so what a test learns about their order is in the log, which
//! [`emulatedCudaLog`](log::emulatedCudaLog) hands out: one line for each launch, event, wait, allocation and free.
//!
//! Functions that no test needs answer `CUDA_ERROR_NOT_SUPPORTED`; they exist so that programs link.
//!
//! [`Driver`]: expert_gemm::Driver

// The driver's own names.
#![allow(non_snake_case)]

#[macro_use]
mod api;
pub mod device;
pub mod log;
pub mod memory;
pub mod module;
pub mod stream;
pub mod tensor_map;
pub mod unsupported;
mod world;
