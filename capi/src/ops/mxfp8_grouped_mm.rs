//! `es_sm100_mxfp8_blockscaled_grouped_mm`.

use super::{Served, output, report, slice};
use crate::device::eg_device;
use crate::plan::{Planned, Runner, eg_plan, planned, prepare};
use crate::pointer::given;
use crate::status::{Refusal, Result, answer, eg_status};
use crate::tensor::{eg_tensor, element};
use expert_gemm::cpu::{self, HostMxTensors};
use expert_gemm::{Mxfp8GroupedMm, Mxfp8GroupedMmTensors};
use std::ffi::c_void;

/// MXFP8 grouped product, known as `es_sm100_mxfp8_blockscaled_grouped_mm`:
///
/// `output[m, n] = sum over k of a[m, k] * 2^(sfa[m, k / 32] - 127) * b[e, n, k] * 2^(sfb[e, n, k / 32] - 127)`
///
/// for every row m of expert e. Upper bounds only: how the rows are split is read on the device, at each launch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct eg_mxfp8_grouped_mm {
    /// Rows of the packed activations and of the output, over all experts: T. 0 is ordinary.
    pub rows: u64,
    /// Number of experts: E. 0 is ordinary.
    pub experts: u64,
    /// Columns of the output: N, a multiple of 128.
    pub n: u64,
    /// Elements of the reduction: K, a multiple of 128.
    pub k: u64,
    /// Rows of the packed activation scales: S, a multiple of 128. `eg_mxfp8_max_scale_rows` is always enough.
    pub scale_rows: u64,
    /// Element type of the output: `EG_ELEMENT_BF16` or `EG_ELEMENT_F16`.
    pub output: u32,
    /// An `eg_checks`.
    pub checks: u32,
}

/// The tensors of one call, packed row-major, all on the device of the plan. Scales are e8m0 in atoms of 512 bytes: 128
/// rows x 4 columns each.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct eg_mxfp8_grouped_mm_tensors {
    /// `[T, N]` bf16 or f16, written. Rows that no expert owns keep their bytes. 16-byte aligned.
    pub output: eg_tensor,
    /// Activations `[T, K]` e4m3, packed by expert. 16-byte aligned.
    pub a: eg_tensor,
    /// Weights `[E, N, K]` e4m3. 16-byte aligned.
    pub b: eg_tensor,
    /// Activation scales `[S, K / 32]` e8m0 in atoms. 16-byte aligned.
    pub sfa: eg_tensor,
    /// Weight scales `[E, N, K / 32]` e8m0 in atoms. 16-byte aligned.
    pub sfb: eg_tensor,
    /// (M, N, K) of each expert: `[E, 3]` i32.
    pub problem_sizes: eg_tensor,
    /// First packed row of each expert: `[E]` i32.
    pub expert_offsets: eg_tensor,
    /// First scale row of each expert: `[E]` i32, multiples of 128.
    pub blockscale_offsets: eg_tensor,
    /// Status word `[1]` u32, into which the call ORs what is wrong in the tables (`eg_group_status_text`); all zeros for none.
    pub status: eg_tensor,
}

/// As `eg_fp8_grouped_mm_prepare`.
///
/// # Safety
///
/// `device` and `problem` are NULL or live, `stream` is NULL or a stream of the device, `plan` is NULL or to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_mxfp8_grouped_mm_prepare(
    device: *const eg_device,
    problem: *const eg_mxfp8_grouped_mm,
    stream: *mut c_void,
    plan: *mut *mut eg_plan,
) -> eg_status {
    // SAFETY: by the caller's promise.
    unsafe { prepare(device, || problem_of(problem), None, stream, plan) }
}

/// As `eg_fp8_grouped_mm_prepare_expecting`.
///
/// # Safety
///
/// As `eg_mxfp8_grouped_mm_prepare`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_mxfp8_grouped_mm_prepare_expecting(
    device: *const eg_device,
    problem: *const eg_mxfp8_grouped_mm,
    expected_rows: u64,
    stream: *mut c_void,
    plan: *mut *mut eg_plan,
) -> eg_status {
    // SAFETY: by the caller's promise.
    unsafe { prepare(device, || problem_of(problem), Some(expected_rows), stream, plan) }
}

/// The problem and its checks.
///
/// # Safety
///
/// `problem` is NULL or live.
unsafe fn problem_of(problem: *const eg_mxfp8_grouped_mm) -> Result<(Mxfp8GroupedMm, u32)> {
    // SAFETY: by the caller's promise.
    let problem = unsafe { given(problem, "problem", "an eg_mxfp8_grouped_mm") }?;
    let eg_mxfp8_grouped_mm { rows, experts, n, k, scale_rows, output, checks } = *problem;
    let output = element("output", output)?;
    Ok((Mxfp8GroupedMm { rows, experts, n, k, scale_rows, output }, checks))
}

/// As `eg_fp8_grouped_mm_launch`.
///
/// # Safety
///
/// As `eg_fp8_grouped_mm_launch`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_mxfp8_grouped_mm_launch(
    plan: *const eg_plan,
    stream: *mut c_void,
    tensors: *const eg_mxfp8_grouped_mm_tensors,
) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise.
        let planned = unsafe { planned(plan) }?;
        let Planned::Mxfp8GroupedMm(runner) = planned else {
            let (planned, called) = (planned.name(), "eg_mxfp8_grouped_mm");
            return Err(Refusal::AnotherOperation { planned, called });
        };
        // SAFETY: by the caller's promise.
        let from = unsafe { given(tensors, "tensors", "an eg_mxfp8_grouped_mm_tensors") }?;
        // SAFETY: by the caller's promise.
        let tensors = unsafe {
            Mxfp8GroupedMmTensors {
                output: from.output.view("output")?,
                a: from.a.view("a")?,
                b: from.b.view("b")?,
                sfa: from.sfa.view("sfa")?,
                sfb: from.sfb.view("sfb")?,
                problem_sizes: from.problem_sizes.view("problem_sizes")?,
                expert_offsets: from.expert_offsets.view("expert_offsets")?,
                blockscale_offsets: from.blockscale_offsets.view("blockscale_offsets")?,
                status: from.status.optional_view("status")?,
            }
        };
        // SAFETY: by the caller's promise.
        unsafe { runner.launch(stream, &tensors) }
    })
}

impl Served for Mxfp8GroupedMm {
    fn planned(runner: Runner<Self>) -> Planned {
        Planned::Mxfp8GroupedMm(runner)
    }

    unsafe fn run_on_cpu(&self, tensors: &Mxfp8GroupedMmTensors<'_>) -> Result<()> {
        tensors.validate(self)?;
        // SAFETY: the tensors have passed their rules; the rest is the caller's promise.
        let status = unsafe {
            let host = HostMxTensors {
                a: slice(&tensors.a),
                b: slice(&tensors.b),
                sfa: slice(&tensors.sfa),
                sfb: slice(&tensors.sfb),
                problem_sizes: slice(&tensors.problem_sizes),
                expert_offsets: slice(&tensors.expert_offsets),
                blockscale_offsets: slice(&tensors.blockscale_offsets),
            };
            cpu::mxfp8_grouped_mm(self, &host, output(&tensors.output))
        }?;
        // SAFETY: by the caller's promise.
        unsafe { report(status, tensors.status.as_ref()) };
        Ok(())
    }
}
