//! `es_fp8_blockwise_scaled_grouped_mm`.

use super::{Served, output, report, slice};
use crate::device::eg_device;
use crate::plan::{Planned, Runner, eg_plan, planned, prepare};
use crate::pointer::given;
use crate::status::{Refusal, Result, answer, eg_status};
use crate::tensor::{eg_tensor, element};
use expert_gemm::cpu::{self, HostTensors};
use expert_gemm::{Fp8GroupedMm, Fp8GroupedMmTensors};
use std::ffi::c_void;

/// FP8 grouped product with f32 scales of blocks of 128, known as `es_fp8_blockwise_scaled_grouped_mm`:
///
/// `output[m, n] = sum over kb of scales_a[m, kb] * scales_b[e, n / 128, kb] * (sum over k in block kb of a[m, k] * b[e, n, k])`
///
/// for every row m of expert e. Upper bounds only: how the rows are split is read on the device, at each launch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct eg_fp8_grouped_mm {
    /// Rows of the packed activations and of the output, over all experts: T. 0 is ordinary.
    pub rows: u64,
    /// Number of experts: E. 0 is ordinary.
    pub experts: u64,
    /// Columns of the output: N, a multiple of 128.
    pub n: u64,
    /// Elements of the reduction: K, a multiple of 128.
    pub k: u64,
    /// Element type of the output: `EG_ELEMENT_BF16` or `EG_ELEMENT_F16`.
    pub output: u32,
    /// An `eg_checks`.
    pub checks: u32,
}

/// The tensors of one call, packed row-major, all on the device of the plan.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct eg_fp8_grouped_mm_tensors {
    /// `[T, N]` bf16 or f16, written. Rows that no expert owns keep their bytes. 16-byte aligned.
    pub output: eg_tensor,
    /// Activations `[T, K]` e4m3, packed by expert. 16-byte aligned.
    pub a: eg_tensor,
    /// Weights `[E, N, K]` e4m3. 16-byte aligned.
    pub b: eg_tensor,
    /// Activation scales `[T, K / 128]` f32.
    pub scales_a: eg_tensor,
    /// Weight scales `[E, N / 128, K / 128]` f32.
    pub scales_b: eg_tensor,
    /// (M, N, K) of each expert: `[E, 3]` i32.
    pub problem_sizes: eg_tensor,
    /// First packed row of each expert: `[E]` i32.
    pub expert_offsets: eg_tensor,
    /// Status word `[1]` u32, into which the call ORs what is wrong in the tables (`eg_group_status_text`); all zeros for none.
    pub status: eg_tensor,
}

/// Checks the shapes, chooses a kernel and loads it. Call it outside of any graph capture: if `stream`, where the plan
/// will be launched, is being captured and the kernel is not loaded yet, the answer is `EG_STATUS_WRONG_ORDER`. After a
/// refusal `*plan` is NULL.
///
/// # Safety
///
/// `device` and `problem` are NULL or live, `stream` is NULL or a stream of the device, `plan` is NULL or to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_fp8_grouped_mm_prepare(
    device: *const eg_device,
    problem: *const eg_fp8_grouped_mm,
    stream: *mut c_void,
    plan: *mut *mut eg_plan,
) -> eg_status {
    // SAFETY: by the caller's promise.
    unsafe { prepare(device, || problem_of(problem), None, stream, plan) }
}

/// As `eg_fp8_grouped_mm_prepare`, for calls that use about `expected_rows` of the rows, all experts together: where there is
/// room for more, as in a graph that is captured for the largest batch. It decides speed alone: whatever the tables say,
/// up to all rows, results are right.
///
/// # Safety
///
/// As `eg_fp8_grouped_mm_prepare`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_fp8_grouped_mm_prepare_expecting(
    device: *const eg_device,
    problem: *const eg_fp8_grouped_mm,
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
unsafe fn problem_of(problem: *const eg_fp8_grouped_mm) -> Result<(Fp8GroupedMm, u32)> {
    // SAFETY: by the caller's promise.
    let problem = unsafe { given(problem, "problem", "an eg_fp8_grouped_mm") }?;
    let eg_fp8_grouped_mm { rows, experts, n, k, output, checks } = *problem;
    let output = element("output", output)?;
    Ok((Fp8GroupedMm { rows, experts, n, k, output }, checks))
}

/// Checks the tensors and puts one kernel into `stream` (a `CUstream` or `cudaStream_t`; NULL for the default stream). It
/// allocates nothing, waits for nothing, and may be captured into a graph. The CPU ignores the stream and returns when
/// it is done.
///
/// # Safety
///
/// `plan` and `tensors` are NULL or live; `stream` is NULL or a stream of the plan's device; the tensors are memory of that device, of their
/// shapes, and until the work is done they stay allocated, nothing writes them, and nothing reads `output` and `status`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_fp8_grouped_mm_launch(
    plan: *const eg_plan,
    stream: *mut c_void,
    tensors: *const eg_fp8_grouped_mm_tensors,
) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise.
        let planned = unsafe { planned(plan) }?;
        let Planned::Fp8GroupedMm(runner) = planned else {
            let (planned, called) = (planned.name(), "eg_fp8_grouped_mm");
            return Err(Refusal::AnotherOperation { planned, called });
        };
        // SAFETY: by the caller's promise.
        let from = unsafe { given(tensors, "tensors", "an eg_fp8_grouped_mm_tensors") }?;
        // SAFETY: by the caller's promise.
        let tensors = unsafe {
            Fp8GroupedMmTensors {
                output: from.output.view("output")?,
                a: from.a.view("a")?,
                b: from.b.view("b")?,
                scales_a: from.scales_a.view("scales_a")?,
                scales_b: from.scales_b.view("scales_b")?,
                problem_sizes: from.problem_sizes.view("problem_sizes")?,
                expert_offsets: from.expert_offsets.view("expert_offsets")?,
                status: from.status.optional_view("status")?,
            }
        };
        // SAFETY: by the caller's promise.
        unsafe { runner.launch(stream, &tensors) }
    })
}

impl Served for Fp8GroupedMm {
    fn planned(runner: Runner<Self>) -> Planned {
        Planned::Fp8GroupedMm(runner)
    }

    unsafe fn run_on_cpu(&self, tensors: &Fp8GroupedMmTensors<'_>) -> Result<()> {
        tensors.validate(self)?;
        // SAFETY: the tensors have passed their rules; the rest is the caller's promise.
        let status = unsafe {
            let host = HostTensors {
                a: slice(&tensors.a),
                b: slice(&tensors.b),
                scales_a: slice(&tensors.scales_a),
                scales_b: slice(&tensors.scales_b),
                problem_sizes: slice(&tensors.problem_sizes),
                expert_offsets: slice(&tensors.expert_offsets),
            };
            cpu::fp8_grouped_mm(self, &host, output(&tensors.output))
        }?;
        // SAFETY: by the caller's promise.
        unsafe { report(status, tensors.status.as_ref()) };
        Ok(())
    }
}
