//! Mixture-of-experts GEMM kernels, written in Rust and compiled to PTX by rustc's own NVPTX back end.
//!
//! The crate is a ladder; a rung uses only the rungs below it.
//!
//! | rung | holds | compiles for |
//! | --- | --- | --- |
//! | [`abi`] | parameter structs, group metadata, the table of kernels: the host/device contract | host and GPU |
//! | `ptx` | one function per instruction | GPU |
//! | [`tile`] | nouns and verbs: rings, descriptors, raster, work lists, fragments | pure parts also for the host |
//! | `gemm` | one file per kernel | GPU |
//! | `quant` | one file per quantiser | GPU |
//! | `lessons` | the kernels of `docs/lessons`, which are not shipped | GPU |
//! | `probe` | kernels that measure the machine, or question it | GPU |
//! | `entry` | the `extern "ptx-kernel"` shims that a PTX module exports | GPU |
//!
//! Everything that is not an instruction is pure and tested on the CPU by `cargo test`.
#![no_std]
#![cfg_attr(
    target_arch = "nvptx64",
    feature(abi_ptx, asm_experimental_arch, core_intrinsics, link_llvm_intrinsics, stdarch_nvptx)
)]
// A PTX module is a build of the crate with one family of entries; it uses the rungs that these need.
#![cfg_attr(target_arch = "nvptx64", allow(internal_features, dead_code))]

pub mod abi;
pub mod tile;

#[cfg(target_arch = "nvptx64")]
mod entry;
#[cfg(target_arch = "nvptx64")]
mod gemm;
#[cfg(all(target_arch = "nvptx64", gpu_module = "lessons_sm90"))]
mod lessons;
#[cfg(target_arch = "nvptx64")]
mod probe;
#[cfg(target_arch = "nvptx64")]
mod ptx;
#[cfg(target_arch = "nvptx64")]
mod quant;

/// Kernels have no panicking path: `cargo xtask build-ptx` fails when one survives into the PTX.
#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: `trap` ends the grid; nothing runs after it.
    unsafe { core::arch::nvptx::trap() }
}
