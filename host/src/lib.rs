//! Mixture-of-experts GEMM kernels for inference, written in Rust and embedded as PTX.
//!
//! Three operations, which `SGLang` knows by the names on the right:
//!
//! | operation | computes | known as |
//! | --- | --- | --- |
//! | [`Fp8GroupedMm`] | FP8 product, f32 scales of blocks of 128 | `es_fp8_blockwise_scaled_grouped_mm` |
//! | [`Mxfp8GroupedQuant`] | bf16 or f16 to MXFP8: codes and a power of two for 32 | `es_sm100_mxfp8_blockscaled_grouped_quant` |
//! | [`Mxfp8GroupedMm`] | MXFP8 product | `es_sm100_mxfp8_blockscaled_grouped_mm` |
//!
//! All three run on the CPU. Which GPUs have a kernel is in [`abi::VARIANTS`], and a plan says it in words.
//! Building needs stable Rust and nothing of CUDA; running on a GPU needs the NVIDIA driver, CUDA 12.0 or newer,
//! which is loaded at run time.
//!
//! # The life of a call
//!
//! The same for every [`Operation`]:
//!
//! | step | function | what it may do |
//! | --- | --- | --- |
//! | validate | [`Fp8GroupedMm::validate`], [`Mxfp8GroupedQuant::validate`], [`Mxfp8GroupedMm::validate`] | pure |
//! | plan | [`Fp8GroupedMm::plan`], [`Mxfp8GroupedQuant::plan`], [`Mxfp8GroupedMm::plan`] | pure; [`Plan::explain`] says why |
//! | prepare | [`Device::prepare`] | loads the module; outside of a graph capture |
//! | launch | [`Prepared::launch`] | checks the tensors, launches one kernel: no allocation, no waiting, safe to capture |
//!
//! Which rows belong to which expert stays on the device: the host knows only the number of packed rows and of
//! experts, so a captured graph replays with other routing. The kernel passes every table entry through
//! [`abi::Problem::group`], or with block scales [`abi::ScaledProblem::group`], and reports what it refused as
//! [`GroupStatus`] bits.
//!
//! # On the CPU
//!
//! The same operations on slices, on any machine. The FP8 product:
//!
//! ```
//! use expert_gemm::cpu::{self, HostOutput, HostTensors};
//! use expert_gemm::{ElementType, Fp8GroupedMm};
//! use half::bf16;
//!
//! // Two experts; the first owns rows 0 and 1, the second row 2.
//! let problem = Fp8GroupedMm { rows: 3, experts: 2, n: 128, k: 128, output: ElementType::Bf16 };
//! let one = 0x38; // 1.0 as e4m3
//! let tensors = HostTensors {
//!     a: &vec![one; 3 * 128],
//!     b: &vec![one; 2 * 128 * 128],
//!     scales_a: &[1.0, 1.0, 1.0],
//!     scales_b: &[1.0, 0.5],
//!     problem_sizes: &[[2, 128, 128], [1, 128, 128]],
//!     expert_offsets: &[0, 2],
//! };
//! let mut output = vec![bf16::ZERO; 3 * 128];
//! let status = cpu::fp8_grouped_mm(&problem, &tensors, HostOutput::Bf16(&mut output))?;
//! assert!(status.is_ok());
//! assert_eq!((output[0].to_f32(), output[2 * 128].to_f32()), (128.0, 64.0));
//! # Ok::<(), expert_gemm::Error>(())
//! ```
//!
//! MXFP8: rows are quantised, then multiplied. The scales lie in atoms of 512 bytes, see [`scales`].
//!
//! ```
//! use expert_gemm::cpu::{self, HostInput, HostMxTensors, HostOutput, HostQuantTensors};
//! use expert_gemm::{ElementType, Mxfp8GroupedMm, Mxfp8GroupedQuant, ScaleRule, scales};
//! use half::bf16;
//!
//! // Two experts; the first owns rows 0 and 1, the second row 2. Each takes 128 scale rows.
//! let (rows, experts, n, k) = (3, 2, 128, 128);
//! let scale_rows = Mxfp8GroupedQuant::max_scale_rows(rows, experts);
//! let (problem_sizes, expert_offsets) = (&[[2, 128, 128], [1, 128, 128]], &[0, 2]);
//! let blockscale_offsets = &[0, 128];
//!
//! let quant = Mxfp8GroupedQuant {
//!     rows, experts, k, scale_rows, input: ElementType::Bf16, rule: ScaleRule::Sgl,
//! };
//! let input = HostInput::Bf16(&vec![bf16::from_f32(3.0); 3 * 128]);
//! let tensors = HostQuantTensors { input, problem_sizes, expert_offsets, blockscale_offsets };
//! let (mut codes, mut sfa) = (vec![0; 3 * 128], vec![0; 256 * 4]);
//! let status = cpu::mxfp8_grouped_quant(&quant, &tensors, &mut codes, &mut sfa)?;
//! assert!(status.is_ok());
//! // 3 is 384 * 2^-7: the byte of the scale is 120.
//! assert_eq!((codes[0], sfa[0]), (0x7c, 120));
//!
//! // Weights of 1.0 with scales of one half, brought from rows into atoms.
//! let mut sfb = vec![0; 2 * 128 * 4];
//! scales::swizzle(2 * n, k, &[126; 2 * 128 * 4], &mut sfb)?;
//! let product = Mxfp8GroupedMm { rows, experts, n, k, scale_rows, output: ElementType::Bf16 };
//! let b = &vec![0x38; 2 * 128 * 128];
//! let tensors = HostMxTensors {
//!     a: &codes, b, sfa: &sfa, sfb: &sfb, problem_sizes, expert_offsets, blockscale_offsets,
//! };
//! let mut output = vec![bf16::ZERO; 3 * 128];
//! let status = cpu::mxfp8_grouped_mm(&product, &tensors, HostOutput::Bf16(&mut output))?;
//! assert!(status.is_ok());
//! assert!(output.iter().all(|value| value.to_f32() == 128.0 * 3.0 * 0.5));
//! # Ok::<(), expert_gemm::Error>(())
//! ```
//!
//! # On a GPU
//!
//! The other operations are called in the same way, with [`Mxfp8GroupedQuantTensors`] and
//! [`Mxfp8GroupedMmTensors`].
//!
//! ```no_run
//! use expert_gemm::{Device, ElementType as E, Fp8GroupedMm, Fp8GroupedMmTensors, Stream};
//!
//! let device = Device::open(0)?;
//! let problem = Fp8GroupedMm { rows: 256, experts: 8, n: 4096, k: 7168, output: E::Bf16 };
//! let plan = problem.plan(device.info())?;
//! println!("{}", plan.explain());
//! let prepared = device.prepare(&plan)?;
//!
//! let output = device.alloc(256 * 4096 * 2)?;
//! let a = device.alloc(256 * 7168)?;
//! let b = device.alloc(8 * 4096 * 7168)?;
//! let scales_a = device.upload(&vec![1f32; 256 * 56])?;
//! let scales_b = device.upload(&vec![1f32; 8 * 32 * 56])?;
//! let sizes = device.upload(&[[32, 4096, 7168]; 8])?;
//! let offsets = device.upload(&[0, 32, 64, 96, 128, 160, 192, 224])?;
//! let status = device.upload(&[0u32])?;
//! prepared.launch(Stream::DEFAULT, &Fp8GroupedMmTensors {
//!     output: output.tensor(E::Bf16, &[256, 4096]),
//!     a: a.tensor(E::E4m3, &[256, 7168]),
//!     b: b.tensor(E::E4m3, &[8, 4096, 7168]),
//!     scales_a: scales_a.tensor(E::F32, &[256, 56]),
//!     scales_b: scales_b.tensor(E::F32, &[8, 32, 56]),
//!     problem_sizes: sizes.tensor(E::I32, &[8, 3]),
//!     expert_offsets: offsets.tensor(E::I32, &[8]),
//!     status: Some(status.tensor(E::U32, &[1])),
//! })?;
//! device.synchronize()?;
//! # Ok::<(), expert_gemm::Error>(())
//! ```
//!
//! Memory and streams of cudarc, cust, candle and `DLPack` come in by the adapters of [`interop`], those of any other
//! library by [`DeviceTensor::from_raw`] and [`Stream::from_raw`].
//!
//! # In a service
//!
//! [`Device`], [`Prepared`], and the handles of memory, streams, events and graphs may be shared and moved between
//! threads. A process may open several devices; each has its own modules and its own health. [`doctor()`] reports what
//! each of them can run; [`Device::is_poisoned`] is a health check that costs nothing.
//!
//! # Errors
//!
//! Nothing here panics. Every refusal is an [`Error`] that names the tensor or field, what was given, what is
//! allowed and what to do, and comes before anything is launched; [`Error::kind`] sorts them. After a kernel has faulted,
//! [`Device::is_poisoned`] says so and every call answers [`Error::Poisoned`].
//!
//! # Features
//!
//! All are off by default.
//!
//! - `mock`: [`driver`]`::mock`, a driver without a device that records launches, for tests of your own code.
//! - `tracing`: events of the `tracing` crate under the target `expert_gemm`: the plan of each shape once, each module
//!   with the time that it took to load, and the loss of a device.
//! - `cudarc`, `cust`, `dlpack`, `candle`, `candle-cuda`: the adapters of [`interop`].
//!
//! # Environment
//!
//! - `EXPERT_GEMM_PTX_DIR`: a folder laid out as `host/ptx` whose modules are used instead of the embedded
//!   ones; for kernel authors.

// Everything that a user can name says what it is.
#![deny(missing_docs)]
// Nothing in this crate may panic; see `Error`.
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

pub mod cpu;
pub mod device;
pub mod doctor;
pub mod driver;
mod error;
mod error_kind;
pub mod interop;
#[cfg(test)]
mod made_up;
mod memory;
mod module_error;
mod ops;
pub mod plan;
pub mod ptx;
mod runtime;
pub mod scales;
mod tensor;
mod trace;

pub use cpu::{HostInput, HostMxTensors, HostOutput, HostQuantTensors, HostTensors};
pub use device::{Device, DeviceInfo, EventHandle, GraphHandle, Kernel, StreamHandle, Version};
pub use doctor::doctor;
pub use driver::{Driver, MemoryInfo, Stream};
pub use error::{Error, Result};
pub use error_kind::ErrorKind;
pub use expert_gemm_kernels::abi;
pub use expert_gemm_kernels::abi::{ElementType, GroupStatus, ScaleRule};
/// The crate whose `bf16` and `f16` this one takes.
pub use half;
pub use memory::{DeviceBuffer, Plain};
pub use module_error::ModuleError;
pub use ops::{
    Fp8GroupedMm, Fp8GroupedMmTensors, MAX_EXPERTS, MAX_ROWS, MAX_SCALE_ROWS, MAX_SIDE,
    MAX_WEIGHT_BYTES, Mxfp8GroupedMm, Mxfp8GroupedMmTensors, Mxfp8GroupedQuant,
    Mxfp8GroupedQuantTensors, Operation,
};
pub use plan::Plan;
pub use runtime::{Checks, Prepared};
pub use tensor::{DeviceTensor, Dims, MAX_RANK};
