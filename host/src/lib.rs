//! Mixture-of-experts GEMM kernels for inference, written in Rust and embedded as PTX.
//!
//! One operation so far: [`Fp8GroupedMm`], the FP8 blockwise-scaled grouped product that `SGLang` calls
//! `es_fp8_blockwise_scaled_grouped_mm`, on Hopper (`sm_90a`) and on the CPU. Building needs stable Rust and
//! nothing of CUDA; running on a GPU needs the NVIDIA driver, CUDA 12.0 or newer, which is loaded at run time.
//!
//! # The life of a call
//!
//! | step | function | what it may do |
//! | --- | --- | --- |
//! | validate | [`Fp8GroupedMm::validate`] | pure |
//! | plan | [`Fp8GroupedMm::plan`] | pure; [`Plan::explain`] says why |
//! | prepare | [`Device::prepare`] | loads the module; outside of a graph capture |
//! | launch | [`Prepared::launch`] | checks the tensors, launches one kernel: no allocation, no waiting, safe to capture |
//!
//! Which rows belong to which expert stays on the device: the host knows only the number of packed rows and of
//! experts, so a captured graph replays with other routing. The kernel passes every table entry through
//! [`abi::Problem::group`] and reports what it refused as [`GroupStatus`] bits.
//!
//! # On the CPU
//!
//! The same operation on slices, on any machine:
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
//! # On a GPU
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
//! Memory and streams of another library come in by [`DeviceTensor::from_raw`] and [`Stream::from_raw`].
//!
//! # Errors
//!
//! Nothing here panics. Every refusal is an [`Error`] that names the tensor or field, what was given, what is
//! allowed and what to do, and comes before anything is launched. After a kernel has faulted,
//! [`Device::is_poisoned`] says so and every call answers [`Error::Poisoned`].
//!
//! # Features
//!
//! - `mock`: [`driver`]`::mock`, a driver without a device that records launches, for tests of your own code.
//!
//! # Environment
//!
//! - `EXPERT_GEMM_PTX_DIR`: a folder laid out as `host/ptx` whose modules are used instead of the embedded
//!   ones; for kernel authors.

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
pub mod driver;
mod error;
#[cfg(test)]
mod made_up;
mod memory;
mod ops;
pub mod plan;
pub mod ptx;
mod runtime;
pub mod scales;
mod tensor;

pub use cpu::{HostInput, HostMxTensors, HostOutput, HostQuantTensors, HostTensors};
pub use device::{Device, DeviceInfo, EventHandle, GraphHandle, Kernel, StreamHandle, Version};
pub use driver::{Driver, Stream};
pub use error::{Error, Result};
pub use expert_gemm_kernels::abi;
pub use expert_gemm_kernels::abi::{ElementType, GroupStatus, ScaleRule};
pub use memory::{DeviceBuffer, Plain};
pub use ops::{
    Fp8GroupedMm, Fp8GroupedMmTensors, MAX_EXPERTS, MAX_ROWS, MAX_SCALE_ROWS, MAX_SIDE,
    MAX_WEIGHT_BYTES, Mxfp8GroupedMm, Mxfp8GroupedMmTensors, Mxfp8GroupedQuant,
    Mxfp8GroupedQuantTensors, Operation,
};
pub use plan::Plan;
pub use runtime::{Checks, Prepared};
pub use tensor::{DeviceTensor, Dims, MAX_RANK};
