//! `es_sm100_mxfp8_blockscaled_grouped_quant`.

use super::{Served, report, slice, slice_mut};
use crate::device::eg_device;
use crate::plan::{Planned, Runner, eg_plan, planned, prepare};
use crate::pointer::given;
use crate::status::{Refusal, Result, answer, eg_status, from_code, value_or};
use crate::tensor::{eg_tensor, element};
use expert_gemm::cpu::{self, HostInput, HostQuantTensors};
use expert_gemm::{ElementType, Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors, ScaleRule};
use std::ffi::c_void;

/// How a scale follows from its 32 elements.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum eg_scale_rule {
    /// What SGLang's operation gives: the smallest power of two with which no element exceeds 448. NaN elements are
    /// left out unless all 32 are NaN.
    Sgl = 0,
    /// The same, but a NaN or Inf anywhere in a block makes its scale and all its codes NaN.
    Strict = 1,
    /// The rule of the OCP MX specification 1.0: large elements saturate. NaN and Inf as above.
    OcpFloor = 2,
}

/// MXFP8 quantiser of grouped rows, known as `es_sm100_mxfp8_blockscaled_grouped_quant`:
///
/// `quant_output[m, k] = e4m3(input[m, k] / 2^(s - 127))` with one scale byte s for each 32 elements of a row.
///
/// Upper bounds only: how the rows are split among the experts is read on the device, at each launch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct eg_mxfp8_grouped_quant {
    /// Rows of the packed input, over all experts: T. 0 is ordinary.
    pub rows: u64,
    /// Number of experts: E. 0 is ordinary.
    pub experts: u64,
    /// Elements of a row: K, a multiple of 128.
    pub k: u64,
    /// Rows of the packed scales: S, a multiple of 128. `eg_mxfp8_max_scale_rows` is always enough.
    pub scale_rows: u64,
    /// Element type of the input: `EG_ELEMENT_BF16` or `EG_ELEMENT_F16`.
    pub input: u32,
    /// An `eg_scale_rule`.
    pub rule: u32,
    /// An `eg_checks`.
    pub checks: u32,
    /// 0.
    pub reserved: u32,
}

/// The tensors of one call, packed row-major, all on the device of the plan. N of the problem sizes is not read, so the
/// table of a product serves its quantiser too.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct eg_mxfp8_grouped_quant_tensors {
    /// `[T, K]` bf16 or f16, packed by expert. 16-byte aligned.
    pub input: eg_tensor,
    /// (M, N, K) of each expert: `[E, 3]` i32.
    pub problem_sizes: eg_tensor,
    /// First packed row of each expert: `[E]` i32.
    pub expert_offsets: eg_tensor,
    /// First scale row of each expert: `[E]` i32, multiples of 128.
    pub blockscale_offsets: eg_tensor,
    /// Codes `[T, K]` e4m3, written. Rows that no expert owns keep their bytes. 16-byte aligned.
    pub quant_output: eg_tensor,
    /// Scales `[S, K / 32]` e8m0 in atoms, written, padding rows as 0. Atoms that no expert owns keep their bytes. 16-byte
    /// aligned.
    pub scale_factor: eg_tensor,
    /// Status word `[1]` u32, into which the call ORs what is wrong in the tables (`eg_group_status_text`); all zeros for none.
    pub status: eg_tensor,
}

/// Scale rows that are enough however `rows` rows are split among the experts.
#[unsafe(no_mangle)]
pub extern "C" fn eg_mxfp8_max_scale_rows(rows: u64, experts: u64) -> u64 {
    value_or(0, || Ok(Mxfp8GroupedQuant::max_scale_rows(rows, experts)))
}

/// As `eg_fp8_grouped_mm_prepare`.
///
/// # Safety
///
/// `device` and `problem` are NULL or live, `stream` is NULL or a stream of the device, `plan` is NULL or to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_mxfp8_grouped_quant_prepare(
    device: *const eg_device,
    problem: *const eg_mxfp8_grouped_quant,
    stream: *mut c_void,
    plan: *mut *mut eg_plan,
) -> eg_status {
    let problem = || {
        // SAFETY: by the caller's promise.
        let problem = unsafe { given(problem, "problem", "an eg_mxfp8_grouped_quant") }?;
        let eg_mxfp8_grouped_quant { rows, experts, k, scale_rows, input, rule, checks, reserved } =
            *problem;
        if reserved != 0 {
            let (field, family) = ("reserved", "0");
            return Err(Refusal::UnknownCode { field, given: reserved, family });
        }
        let (input, rule) = (element("input", input)?, scale_rule(rule)?);
        Ok((Mxfp8GroupedQuant { rows, experts, k, scale_rows, input, rule }, checks))
    };
    // SAFETY: by the caller's promise.
    unsafe { prepare(device, problem, None, stream, plan) }
}

fn scale_rule(code: u32) -> Result<ScaleRule> {
    const CODES: [(eg_scale_rule, ScaleRule); 3] = [
        (eg_scale_rule::Sgl, ScaleRule::Sgl),
        (eg_scale_rule::Strict, ScaleRule::Strict),
        (eg_scale_rule::OcpFloor, ScaleRule::OcpFloor),
    ];
    from_code("rule", "eg_scale_rule", code, CODES.map(|(code, rule)| (code as u32, rule)))
}

/// As `eg_fp8_grouped_mm_launch`.
///
/// # Safety
///
/// As `eg_fp8_grouped_mm_launch`, where `quant_output` and `scale_factor` are written too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_mxfp8_grouped_quant_launch(
    plan: *const eg_plan,
    stream: *mut c_void,
    tensors: *const eg_mxfp8_grouped_quant_tensors,
) -> eg_status {
    answer(|| {
        // SAFETY: by the caller's promise.
        let planned = unsafe { planned(plan) }?;
        let Planned::Mxfp8GroupedQuant(runner) = planned else {
            let (planned, called) = (planned.name(), "eg_mxfp8_grouped_quant");
            return Err(Refusal::AnotherOperation { planned, called });
        };
        // SAFETY: by the caller's promise.
        let from = unsafe { given(tensors, "tensors", "an eg_mxfp8_grouped_quant_tensors") }?;
        // SAFETY: by the caller's promise.
        let tensors = unsafe {
            Mxfp8GroupedQuantTensors {
                input: from.input.view("input")?,
                problem_sizes: from.problem_sizes.view("problem_sizes")?,
                expert_offsets: from.expert_offsets.view("expert_offsets")?,
                blockscale_offsets: from.blockscale_offsets.view("blockscale_offsets")?,
                quant_output: from.quant_output.view("quant_output")?,
                scale_factor: from.scale_factor.view("scale_factor")?,
                status: from.status.optional_view("status")?,
            }
        };
        // SAFETY: by the caller's promise.
        unsafe { runner.launch(stream, &tensors) }
    })
}

impl Served for Mxfp8GroupedQuant {
    fn planned(runner: Runner<Self>) -> Planned {
        Planned::Mxfp8GroupedQuant(runner)
    }

    unsafe fn run_on_cpu(&self, tensors: &Mxfp8GroupedQuantTensors<'_>) -> Result<()> {
        tensors.validate(self)?;
        // SAFETY: the tensors have passed their rules; the rest is the caller's promise.
        let status = unsafe {
            let input = match tensors.input.element() {
                ElementType::F16 => HostInput::F16(slice(&tensors.input)),
                _ => HostInput::Bf16(slice(&tensors.input)),
            };
            let host = HostQuantTensors {
                input,
                problem_sizes: slice(&tensors.problem_sizes),
                expert_offsets: slice(&tensors.expert_offsets),
                blockscale_offsets: slice(&tensors.blockscale_offsets),
            };
            let codes = slice_mut(&tensors.quant_output);
            cpu::mxfp8_grouped_quant(self, &host, codes, slice_mut(&tensors.scale_factor))
        }?;
        // SAFETY: by the caller's promise.
        unsafe { report(status, tensors.status.as_ref()) };
        Ok(())
    }
}
