//! Plans: prepared once, launched often.

use crate::device::{Backend, backend, eg_device};
use crate::ops::Served;
use crate::pointer::{given, hand_out, take_back, write_text};
use crate::status::{Result, answer, eg_status, from_code, value_or};
use expert_gemm::{
    Checks, Fp8GroupedMm, GroupStatus, Mxfp8GroupedMm, Mxfp8GroupedQuant, Prepared, Stream,
};
use std::ffi::{c_char, c_void};

/// What a launch on a GPU checks before it launches.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum eg_checks {
    /// Types, shapes, strides, alignment and overlap, and whether every tensor is memory of the device and long
    /// enough: a question to the driver for each.
    Memory = 0,
    /// All but the memory: for pool allocators whose blocks the driver does not know one by one.
    Shapes = 1,
}

fn checks_of(code: u32) -> Result<Checks> {
    const CODES: [(eg_checks, Checks); 2] =
        [(eg_checks::Memory, Checks::Memory), (eg_checks::Shapes, Checks::Shapes)];
    from_code("checks", "eg_checks", code, CODES.map(|(code, checks)| (code as u32, checks)))
}

/// An operation with its shapes, ready to be launched on one device. Launches may come from any thread. Made by the
/// `eg_*_prepare` of an operation, and ended by `eg_plan_free`.
pub struct eg_plan {
    pub(crate) operation: Planned,
}

/// The operation of a plan.
pub(crate) enum Planned {
    Fp8GroupedMm(Runner<Fp8GroupedMm>),
    Mxfp8GroupedMm(Runner<Mxfp8GroupedMm>),
    Mxfp8GroupedQuant(Runner<Mxfp8GroupedQuant>),
}

impl Planned {
    /// The operation's name in the header.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Fp8GroupedMm(_) => "eg_fp8_grouped_mm",
            Self::Mxfp8GroupedMm(_) => "eg_mxfp8_grouped_mm",
            Self::Mxfp8GroupedQuant(_) => "eg_mxfp8_grouped_quant",
        }
    }
}

/// What runs the operation.
pub(crate) enum Runner<O> {
    Gpu(Prepared<O>),
    Cpu(O),
}

/// Prepares a plan, for all rows or for those that are expected.
///
/// # Safety
///
/// `device` and `plan` as in the interface; `stream` is NULL or a stream of the device.
pub(crate) unsafe fn prepare<O: Served>(
    device: *const eg_device,
    problem: impl FnOnce() -> Result<(O, u32)>,
    expected_rows: Option<u64>,
    stream: *mut c_void,
    plan: *mut *mut eg_plan,
) -> eg_status {
    answer(|| {
        let make = || {
            let (problem, checks) = problem()?;
            let checks = checks_of(checks)?;
            // SAFETY: by the caller's promise.
            let runner = match unsafe { backend(device) }? {
                Backend::Gpu(gpu) => {
                    // SAFETY: by the caller's promise.
                    let stream = unsafe { stream_of(stream) };
                    let plan = problem.plan_for(expected_rows, gpu.info())?;
                    let prepared = gpu.prepare_on(&plan, stream)?;
                    Runner::Gpu(prepared.with_checks(checks))
                }
                Backend::Cpu => {
                    problem.validate_expecting(expected_rows)?;
                    Runner::Cpu(problem)
                }
            };
            Ok(eg_plan { operation: O::planned(runner) })
        };
        // SAFETY: by the caller's promise.
        unsafe { hand_out(plan, "plan", make) }
    })
}

impl<O: Served> Runner<O> {
    /// Launches on a GPU, computes on the CPU.
    ///
    /// # Safety
    ///
    /// `stream` is NULL or a stream of the device, and the tensors are what they say.
    pub(crate) unsafe fn launch(
        &self,
        stream: *mut c_void,
        tensors: &O::Tensors<'_>,
    ) -> Result<()> {
        match self {
            // SAFETY: by the caller's promise.
            Self::Gpu(prepared) => Ok(prepared.launch(unsafe { stream_of(stream) }, tensors)?),
            // SAFETY: by the caller's promise.
            Self::Cpu(problem) => unsafe { problem.run_on_cpu(tensors) },
        }
    }

    fn explain(&self) -> String {
        match self {
            Self::Gpu(prepared) => prepared.plan().explain(),
            Self::Cpu(problem) => {
                let name = O::NAME;
                format!(
                    "{name}\n  problem   {problem:?}\n  device    CPU, on all threads of the process's pool"
                )
            }
        }
    }
}

/// A stream from C; NULL is the default stream.
///
/// # Safety
///
/// `stream` is NULL or a live stream.
pub(crate) unsafe fn stream_of(stream: *mut c_void) -> Stream {
    // SAFETY: by the caller's promise.
    unsafe { Stream::from_raw(stream.addr() as u64) }
}

/// The operation of a plan.
///
/// # Safety
///
/// As [`given`].
pub(crate) unsafe fn planned<'a>(plan: *const eg_plan) -> Result<&'a Planned> {
    // SAFETY: by the caller's promise.
    unsafe { given(plan, "plan", "an eg_plan, from eg_*_prepare") }.map(|plan| &plan.operation)
}

/// Writes why this kernel was chosen, with its tile and grid, as `snprintf` does: at most `capacity` bytes, the last one 0.
/// Returns the length of the whole text without the 0, or 0 after a refusal.
///
/// # Safety
///
/// `plan` is NULL or live; `buffer` is NULL, or to `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_plan_explain(
    plan: *const eg_plan,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    value_or(0, || {
        // SAFETY: by the caller's promise.
        let text = match unsafe { planned(plan) }? {
            Planned::Fp8GroupedMm(runner) => runner.explain(),
            Planned::Mxfp8GroupedMm(runner) => runner.explain(),
            Planned::Mxfp8GroupedQuant(runner) => runner.explain(),
        };
        // SAFETY: by the caller's promise.
        Ok(unsafe { write_text(&text, buffer, capacity) })
    })
}

/// Ends a plan. Launches that are under way go on. NULL is ordinary.
///
/// # Safety
///
/// `plan` is NULL, or came from this library and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_plan_free(plan: *mut eg_plan) {
    value_or((), || {
        // SAFETY: by the caller's promise.
        unsafe { take_back(plan) };
        Ok(())
    });
}

/// Every bit of a status word, and what it says.
const GROUP_FAULTS: [(GroupStatus, &str); 8] = [
    (GroupStatus::NEGATIVE_ROWS, "a group has a negative number of rows, and was skipped"),
    (GroupStatus::NEGATIVE_OFFSET, "a group begins at a negative row, and was skipped"),
    (GroupStatus::PAST_THE_END, "a group reaches past the last packed row, and was skipped"),
    (GroupStatus::WRONG_SHAPE, "a group names another N or K than the plan, and was skipped"),
    (GroupStatus::OVERLAP, "two groups share rows, which hold either result"),
    (
        GroupStatus::SCALE_OFFSET,
        "the scales of a group begin at a row that is negative or not a multiple of 128, and it was skipped",
    ),
    (
        GroupStatus::SCALES_PAST_THE_END,
        "the scales of a group, its last 128 rows completed, reach past the last scale row, and it was skipped",
    ),
    (GroupStatus::SCALES_OVERLAP, "two groups share scale rows, which hold either result"),
];

/// Writes what the bits of a status word say about the group tables, separated by `; `, as `snprintf` does: at most `capacity`
/// bytes, the last one 0. Returns the length of the whole text without the 0; it is 0 for a word of 0.
///
/// # Safety
///
/// `buffer` is NULL, or to `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_group_status_text(
    status: u32,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    value_or(0, || {
        let known = GROUP_FAULTS.iter().fold(0, |known, (bit, _)| known | bit.0);
        let faults = GROUP_FAULTS.iter().filter(|(bit, _)| GroupStatus(status).contains(*bit));
        let mut words: Vec<_> = faults.map(|(_, words)| *words).collect();
        if status & !known != 0 {
            words.push("a bit is set that this version does not know");
        }
        // SAFETY: by the caller's promise.
        Ok(unsafe { write_text(&words.join("; "), buffer, capacity) })
    })
}
