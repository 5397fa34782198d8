//! [candle](https://docs.rs/candle-core)'s tensors (feature `candle`, version 0.11).
//!
//! [`Grouped`] is one operation for the tensors of one candle device: on the CPU by [`cpu`](crate::cpu), and with the
//! feature `candle-cuda` on a GPU, on candle's stream and without a copy. FP8 tensors are candle's `F8E4M3`; block scales
//! (e8m0) are `U8`, in the layout of [`scales`](crate::scales). Group tables are `I32`. Every tensor must be contiguous;
//! a part of a larger one along its first dimension is. What is written is new memory of candle, zeros where no expert
//! owns a row. As in candle itself, a device that was opened twice is two: the tensors of a call belong to the one that
//! the operation was made for, in the order of its stream.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use expert_gemm::interop::candle::{Fp8Tensors, Grouped};
//! use expert_gemm::{ElementType, Fp8GroupedMm};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::Cpu; // or `Device::new_cuda(0)?`
//! let problem = Fp8GroupedMm { rows: 3, experts: 2, n: 128, k: 128, output: ElementType::Bf16 };
//! let grouped = Grouped::new(problem, &device)?; // loads the kernel, once for each shape
//! let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &device);
//! let output = grouped.forward(&Fp8Tensors {
//!     a: &ones(&[3, 128])?.to_dtype(DType::F8E4M3)?,
//!     b: &ones(&[2, 128, 128])?.to_dtype(DType::F8E4M3)?,
//!     scales_a: &ones(&[3, 1])?,
//!     scales_b: &ones(&[2, 1, 1])?,
//!     problem_sizes: &Tensor::new(&[[2i32, 128, 128], [1, 128, 128]], &device)?,
//!     expert_offsets: &Tensor::new(&[0i32, 2], &device)?,
//! })?;
//! assert_eq!(output.dims(), [3, 128]);
//! assert_eq!(output.to_dtype(DType::F32)?.to_vec2::<f32>()?[2][5], 128.0);
//! # Ok(())
//! # }
//! ```
//!
//! # What a GPU build needs
//!
//! This crate needs no CUDA to build, but candle does: its feature `cuda` (which `candle-cuda` turns on) compiles candle's
//! own kernels with `nvcc` and links the driver, the CUDA runtime, cuBLAS, cuRAND and NVRTC. Whoever builds a candle
//! application for a GPU has these already. It also decides how cudarc reaches the driver: by linking it.

#[cfg(feature = "candle-cuda")]
mod cuda;
mod host;

use super::ForeignError;
use crate::error::{Error, Result};
use crate::ops::{Fp8GroupedMm, Mxfp8GroupedMm, Mxfp8GroupedQuant, Operation};
use candle_core::{DType, Device, StorageRef, Tensor};

/// An operation for the tensors of one candle device.
#[derive(Clone, Debug)]
pub struct Grouped<O> {
    problem: O,
    device: Device,
    on: Backend<O>,
}

#[derive(Clone, Debug)]
enum Backend<O> {
    Cpu(std::marker::PhantomData<O>),
    #[cfg(feature = "candle-cuda")]
    Cuda(crate::runtime::Prepared<O>),
}

impl<O: Operation> Grouped<O> {
    /// Validates the problem and, on a GPU, plans it and loads its kernel.
    ///
    /// # Errors
    ///
    /// What the problem's `validate` and `plan` and [`Device::prepare`](crate::Device::prepare) refuse;
    /// [`ForeignError::Tensor`] for a device without a backend in this build.
    pub fn new(problem: O, device: &Device) -> Result<Self> {
        problem.validate()?;
        let on = match device {
            Device::Cpu => Backend::Cpu(std::marker::PhantomData),
            #[cfg(feature = "candle-cuda")]
            Device::Cuda(device) => Backend::Cuda(cuda::prepare(problem, device)?),
            other => {
                let given = format!("{:?}", other.location());
                let remedy = "use the CPU, or a CUDA device and the feature `candle-cuda`";
                return Err(refused("Device", "kind", given, "one with a backend", remedy));
            }
        };
        Ok(Self { problem, device: device.clone(), on })
    }

    /// The problem.
    pub const fn problem(&self) -> &O {
        &self.problem
    }
}

/// The tensors of [`Fp8GroupedMm`]: T rows, E experts.
#[derive(Clone, Copy, Debug)]
pub struct Fp8Tensors<'a> {
    /// `[T, K]` F8E4M3
    pub a: &'a Tensor,
    /// `[E, N, K]` F8E4M3
    pub b: &'a Tensor,
    /// `[T, K / 128]` F32
    pub scales_a: &'a Tensor,
    /// `[E, N / 128, K / 128]` F32
    pub scales_b: &'a Tensor,
    /// (M, N, K) of each expert: `[E, 3]` I32
    pub problem_sizes: &'a Tensor,
    /// First row of each expert: `[E]` I32
    pub expert_offsets: &'a Tensor,
}

/// The tensors of [`Mxfp8GroupedMm`]: T rows, S scale rows, E experts.
#[derive(Clone, Copy, Debug)]
pub struct Mxfp8Tensors<'a> {
    /// `[T, K]` F8E4M3
    pub a: &'a Tensor,
    /// `[E, N, K]` F8E4M3
    pub b: &'a Tensor,
    /// `[S, K / 32]` U8 in atoms
    pub sfa: &'a Tensor,
    /// `[E, N, K / 32]` U8 in atoms
    pub sfb: &'a Tensor,
    /// (M, N, K) of each expert: `[E, 3]` I32
    pub problem_sizes: &'a Tensor,
    /// First row of each expert: `[E]` I32
    pub expert_offsets: &'a Tensor,
    /// First scale row of each expert: `[E]` I32
    pub blockscale_offsets: &'a Tensor,
}

/// The tensors that [`Mxfp8GroupedQuant`] reads: T rows, E experts.
#[derive(Clone, Copy, Debug)]
pub struct QuantTensors<'a> {
    /// `[T, K]` BF16 or F16, as the problem says
    pub input: &'a Tensor,
    /// (M, N, K) of each expert: `[E, 3]` I32
    pub problem_sizes: &'a Tensor,
    /// First row of each expert: `[E]` I32
    pub expert_offsets: &'a Tensor,
    /// First scale row of each expert: `[E]` I32
    pub blockscale_offsets: &'a Tensor,
}

/// What [`Mxfp8GroupedQuant`] writes.
#[derive(Clone, Debug)]
pub struct Quantised {
    /// `[T, K]` F8E4M3
    pub codes: Tensor,
    /// `[S, K / 32]` U8 in atoms
    pub scales: Tensor,
}

impl Grouped<Fp8GroupedMm> {
    /// The product `[T, N]`, in the problem's output type. Experts whose group tables break the contract are skipped.
    ///
    /// # Errors
    ///
    /// [`Error::WrongRank`], [`Error::WrongShape`] or [`ForeignError::Tensor`] for a tensor of another shape, type, layout
    /// or device; on a GPU what [`Prepared::launch`](crate::Prepared::launch) refuses.
    pub fn forward(&self, tensors: &Fp8Tensors<'_>) -> Result<Tensor> {
        let Fp8GroupedMm { rows, experts, n, k, .. } = self.problem;
        let check = Check { device: &self.device };
        check.tensor("a", tensors.a, DType::F8E4M3, &[rows, k], "[T, K]")?;
        check.tensor("b", tensors.b, DType::F8E4M3, &[experts, n, k], "[E, N, K]")?;
        check.tensor("scales_a", tensors.scales_a, DType::F32, &[rows, k / 128], "[T, K / 128]")?;
        let (shape, layout) = ([experts, n / 128, k / 128], "[E, N / 128, K / 128]");
        check.tensor("scales_b", tensors.scales_b, DType::F32, &shape, layout)?;
        check.tables(experts, tensors.problem_sizes, tensors.expert_offsets, None)?;
        match &self.on {
            Backend::Cpu(_) => host::fp8(&self.problem, tensors),
            #[cfg(feature = "candle-cuda")]
            Backend::Cuda(prepared) => cuda::fp8(prepared, tensors),
        }
    }
}

impl Grouped<Mxfp8GroupedMm> {
    /// The product `[T, N]`, in the problem's output type. Experts whose group tables break the contract are skipped.
    ///
    /// # Errors
    ///
    /// As for [`Fp8GroupedMm`].
    pub fn forward(&self, tensors: &Mxfp8Tensors<'_>) -> Result<Tensor> {
        let Mxfp8GroupedMm { rows, experts, n, k, scale_rows, .. } = self.problem;
        let check = Check { device: &self.device };
        check.tensor("a", tensors.a, DType::F8E4M3, &[rows, k], "[T, K]")?;
        check.tensor("b", tensors.b, DType::F8E4M3, &[experts, n, k], "[E, N, K]")?;
        check.tensor("sfa", tensors.sfa, DType::U8, &[scale_rows, k / 32], "[S, K / 32]")?;
        check.tensor("sfb", tensors.sfb, DType::U8, &[experts, n, k / 32], "[E, N, K / 32]")?;
        let scale_offsets = Some(tensors.blockscale_offsets);
        check.tables(experts, tensors.problem_sizes, tensors.expert_offsets, scale_offsets)?;
        match &self.on {
            Backend::Cpu(_) => host::mxfp8(&self.problem, tensors),
            #[cfg(feature = "candle-cuda")]
            Backend::Cuda(prepared) => cuda::mxfp8(prepared, tensors),
        }
    }
}

impl Grouped<Mxfp8GroupedQuant> {
    /// The codes and the scales of the rows. Experts whose group tables break the contract are skipped.
    ///
    /// # Errors
    ///
    /// As for [`Fp8GroupedMm`].
    pub fn forward(&self, tensors: &QuantTensors<'_>) -> Result<Quantised> {
        let Mxfp8GroupedQuant { rows, experts, k, input, .. } = self.problem;
        let check = Check { device: &self.device };
        let dtype = if input == crate::ElementType::F16 { DType::F16 } else { DType::BF16 };
        check.tensor("input", tensors.input, dtype, &[rows, k], "[T, K]")?;
        let scale_offsets = Some(tensors.blockscale_offsets);
        check.tables(experts, tensors.problem_sizes, tensors.expert_offsets, scale_offsets)?;
        match &self.on {
            Backend::Cpu(_) => host::quant(&self.problem, tensors),
            #[cfg(feature = "candle-cuda")]
            Backend::Cuda(prepared) => cuda::quant(prepared, tensors),
        }
    }
}

/// What every tensor of a call must be: contiguous, and on the device that the operation was made for.
struct Check<'a> {
    device: &'a Device,
}

impl Check<'_> {
    fn tensor(
        &self,
        name: &'static str,
        tensor: &Tensor,
        dtype: DType,
        shape: &[u64],
        layout: &'static str,
    ) -> Result<()> {
        if tensor.dtype() != dtype {
            let (given, remedy) = (format!("{:?}", tensor.dtype()), "convert it with `to_dtype`");
            return Err(refused(name, "dtype", given, name_of(dtype), remedy));
        }
        let (given, expected) = (tensor.rank(), shape.len());
        if given != expected {
            return Err(Error::WrongRank { tensor: name, given, expected, layout });
        }
        for (dim, (&given, &expected)) in tensor.dims().iter().zip(shape).enumerate() {
            let given = given as u64;
            if given != expected {
                return Err(Error::WrongShape { tensor: name, dim, given, expected, layout });
            }
        }
        if !tensor.is_contiguous() {
            let given = format!("{:?} apart", tensor.stride());
            return Err(refused(name, "strides", given, "contiguous", "call `contiguous()` on it"));
        }
        // As candle does: another of its devices may be the same GPU, but it has a stream of its own that ours would not
        // wait for.
        if !tensor.device().same_device(self.device) {
            let given = format!("another one on {:?}", tensor.device().location());
            let remedy = "move it with `to_device`";
            return Err(refused(name, "device", given, "that of `Grouped`", remedy));
        }
        Ok(())
    }

    fn tables(
        &self,
        experts: u64,
        sizes: &Tensor,
        offsets: &Tensor,
        scale_offsets: Option<&Tensor>,
    ) -> Result<()> {
        self.tensor("problem_sizes", sizes, DType::I32, &[experts, 3], "[E, 3]")?;
        self.tensor("expert_offsets", offsets, DType::I32, &[experts], "[E]")?;
        scale_offsets.map_or(Ok(()), |offsets| {
            self.tensor("blockscale_offsets", offsets, DType::I32, &[experts], "[E]")
        })
    }
}

/// A tensor whose storage is held for reading; each back end has its own view of it.
struct Held<'a> {
    storage: StorageRef<'a>,
    /// The elements of the tensor within its storage, if they are contiguous.
    range: Option<(usize, usize)>,
}

impl<'a> Held<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage, range: layout.contiguous_offsets() }
    }
}

const fn name_of(dtype: DType) -> &'static str {
    match dtype {
        DType::F8E4M3 => "F8E4M3",
        DType::U8 => "U8",
        DType::I32 => "I32",
        DType::F32 => "F32",
        DType::F16 => "F16",
        _ => "BF16",
    }
}

fn refused(
    owner: &'static str,
    field: &'static str,
    given: String,
    allowed: &'static str,
    remedy: &'static str,
) -> Error {
    ForeignError::Tensor { owner, field, given, allowed, remedy }.into()
}

/// An error of candle.
fn answered(error: impl std::fmt::Display) -> Error {
    ForeignError::Library { library: "candle", message: error.to_string() }.into()
}
