//! What the tests of the MXFP8 operations share: devices of a family, and the promise that no kernel is left out.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

use super::{Emulated, timings};
use expert_gemm::GroupStatus;
use expert_gemm::abi::{Arch, Op, VARIANTS, Variant};
use expert_gemm_tests::gpu::say;
use expert_gemm_tests::suite::other_seeds;

use ptx_emulator::{Gpu, Options, Report, ReportKind, ScaleCopies, Stats, Timing};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::time::Instant;

/// The kernels that a suite is about.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// Their operation.
    pub op: Op,
    /// Their family.
    pub arch: Arch,
    /// The rows for each expert that they are made for; see [`Variant::more_rows_than`].
    pub more_rows_than: u32,
}

impl Kernels {
    /// Those that serve any number of rows.
    pub const fn any_rows(op: Op, arch: Arch) -> Self {
        Self { op, arch, more_rows_than: 0 }
    }

    /// They themselves.
    pub fn variants(self) -> impl Iterator<Item = &'static Variant> {
        let Self { op, arch, more_rows_than } = self;
        VARIANTS.iter().filter(move |variant| {
            variant.op == op && variant.arch == arch && variant.more_rows_than == more_rows_than
        })
    }

    /// Their names. Says so where there is none yet.
    pub fn names(self) -> BTreeSet<&'static str> {
        let kernels: BTreeSet<_> = self.variants().map(|variant| variant.symbol).collect();
        if kernels.is_empty() {
            let (op, arch) = (self.op.name(), self.arch.name());
            say(&format!("no kernel of {op} for {arch} is shipped: nothing to run"));
        }
        kernels
    }
}

/// An emulated device of a family. Writes of different clusters to the same bytes are reported on demand: hostile
/// tables may overlap by contract. No order is taken for granted that the ISA does not promise.
pub fn device(arch: Arch, timing: Timing, sm_count: u32, check_cross_cluster: bool) -> Emulated {
    let gpu = match arch {
        Arch::Sm90a => Gpu::H200,
        Arch::Sm100f => Gpu::B200,
    };
    let scale_copies = ScaleCopies::MayOvertake;
    let options = Options { gpu, timing, sm_count, ..Options::default() };
    Emulated::new(Options { check_cross_cluster, scale_copies, ..options })
}

/// What was reported of a launch with tables for which the contract asks for this status. Groups that overlap are
/// written twice, in any order: that is no fault of the kernel.
pub fn reports_beyond(emulated: &Emulated, status: GroupStatus) -> Vec<String> {
    let twice = [GroupStatus::OVERLAP, GroupStatus::SCALES_OVERLAP];
    let overlap = twice.into_iter().any(|bit| status.contains(bit));
    let allowed = |report: &Report| {
        overlap
            && report.kind == ReportKind::Race
            && report.message.starts_with("two writes of global")
    };
    let reports = emulated.driver.take_reports();
    reports.iter().filter(|report| !allowed(report)).map(ToString::to_string).collect()
}

/// What one run answers: things compared, and the kernel that ran, if one did.
pub struct Ran {
    /// Things compared.
    pub compared: u64,
    /// The kernel's name; none if the problem launches nothing.
    pub kernel: Option<&'static str>,
}

/// Runs problems under all three timings. Panics if anything is complained of or reported, or if a kernel of the
/// suite did not run, or another one did.
pub fn check_all<P: Sync>(
    name: &str,
    suite: Kernels,
    problems: &[(u64, P)],
    check: impl Fn(&Emulated, &P) -> Result<Ran, String> + Sync,
) {
    let (kernels, arch) = (suite.names(), suite.arch);
    if kernels.is_empty() {
        return;
    }
    let start = Instant::now();
    let runs: Vec<(u64, &P, Timing)> =
        problems.iter().flat_map(|(seed, p)| timings(*seed).map(|t| (*seed, p, t))).collect();
    let results: Vec<Result<(Ran, Stats), String>> = runs
        .par_iter()
        .map(|&(seed, problem, timing)| {
            let sm_count = 2 + (seed % 5) as u32;
            let emulated = device(arch, timing, sm_count, true);
            let ran = check(&emulated, problem);
            let reports = emulated.reports();
            match ran {
                Ok(ran) if reports.is_empty() => Ok((ran, emulated.driver.stats())),
                Ok(_) => Err(reports.join("\n  ")),
                Err(complaint) => Err(format!("{complaint}\n  {}", reports.join("\n  "))),
            }
            .map_err(|complaint| format!("{complaint}\n  {timing:?}, seed {seed}"))
        })
        .collect();
    let complaints: Vec<&String> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    let (mut compared, mut stats, mut ran) = (0, Stats::default(), BTreeSet::new());
    for (run, took) in results.iter().flatten() {
        compared += run.compared;
        stats.add(took);
        ran.extend(run.kernel);
    }
    say(&format!(
        "{name}, {}: {} problems, {} runs, {} failed, {compared} elements compared in every bit, \
         {:.1} M thread instructions, {:.1} M multiply-adds, {:.1} s",
        arch.name(),
        problems.len(),
        runs.len(),
        complaints.len(),
        stats.thread_instructions as f64 / 1e6,
        stats.macs as f64 / 1e6,
        start.elapsed().as_secs_f64(),
    ));
    for complaint in complaints.iter().take(5) {
        say(complaint);
    }
    assert!(complaints.is_empty(), "{} of {} runs failed", complaints.len(), runs.len());
    // One seed runs one kernel.
    assert!(ran == kernels || other_seeds(), "of {kernels:?} only {ran:?} ran");
}
