//! The suites that mutants run against: few problems, which between them reach every path of a kernel.

mod fp8_block;
mod hostile;
mod mxfp8_gemm;
mod mxfp8_quant;

use expert_gemm::Device;
use expert_gemm::abi::{Arch, Op, VARIANTS, Variant};
use ptx_emulator::{EmulatorDriver, Gpu, Options, Report, ReportKind, ScaleCopies, Timing};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;

/// Exit status: every problem passed.
pub(crate) const PASSED: i32 = 0;
/// Exit status: something was seen, and printed.
pub(crate) const SEEN: i32 = 10;

/// The kernels that have a suite: all but the probes.
pub(crate) fn kernels() -> impl Iterator<Item = &'static Variant> {
    VARIANTS.iter().filter(|variant| !matches!(variant.op, Op::BulkRead | Op::TensorProbe))
}

/// Runs the suite of a kernel on the module that the environment names.
pub(crate) fn run(symbol: &str) -> ExitCode {
    let Some(kernel) = kernels().find(|kernel| kernel.symbol == symbol) else {
        eprintln!("error: no kernel {symbol} has a suite");
        return ExitCode::FAILURE;
    };
    let complaint = match kernel.op {
        Op::Fp8BlockwiseGroupedMm => fp8_block::complaint(kernel),
        Op::Mxfp8GroupedMm => mxfp8_gemm::complaint(kernel),
        _ => mxfp8_quant::complaint(kernel),
    };
    match complaint {
        None => ExitCode::from(PASSED as u8),
        Some(complaint) => {
            println!("{complaint}");
            ExitCode::from(SEEN as u8)
        }
    }
}

/// One launch, and what it is launched on.
struct Launch<P, T> {
    problem: P,
    tables: T,
    sm_count: u32,
    /// Whether groups may overlap: what they share is written twice, and either writer may win.
    overlap: bool,
}

/// The first complaint about any launch, under any timing.
fn first_complaint<P: Display, T>(
    kernel: &Variant,
    launches: impl Iterator<Item = Launch<P, T>>,
    check: impl Fn(&Device, &Launch<P, T>) -> Result<(), String>,
) -> Option<String> {
    let mut machines = Machines::default();
    for launch in launches {
        for timing in [Timing::Early, Timing::Late, Timing::Random(0x5EED)] {
            let (device, driver) = machines.machine(kernel.arch, timing, &launch);
            let checked = check(device, &launch);
            let reports = driver.take_reports();
            let complaint = match reports.iter().find(|report| !launch.allows(report)) {
                Some(report) => report.to_string(),
                None => match checked {
                    Ok(()) => continue,
                    Err(complaint) => complaint,
                },
            };
            let first = complaint.lines().next().unwrap_or_default();
            return Some(format!("{timing:?} {}: {first}", launch.problem));
        }
    }
    None
}

impl<P, T> Launch<P, T> {
    fn allows(&self, report: &Report) -> bool {
        self.overlap
            && report.kind == ReportKind::Race
            && report.message.starts_with("two writes of global")
    }
}

/// Emulated devices. A module is decoded once for each, which takes as long as a small launch.
#[derive(Default)]
struct Machines(BTreeMap<u32, (Device, Arc<EmulatorDriver>)>);

impl Machines {
    fn machine<P, T>(
        &mut self,
        arch: Arch,
        timing: Timing,
        launch: &Launch<P, T>,
    ) -> (&Device, &EmulatorDriver) {
        let &Launch { sm_count, overlap, .. } = launch;
        let gpu = match arch {
            Arch::Sm90a => Gpu::H200,
            Arch::Sm100f => Gpu::B200,
        };
        let options = Options {
            timing,
            gpu,
            sm_count,
            check_cross_cluster: !overlap,
            scale_copies: ScaleCopies::MayOvertake,
            // Where some are allowed the first may be one of them.
            max_reports: if overlap { 20 } else { 1 },
            max_instructions: 5_000_000,
            ..Options::default()
        };
        let (device, driver) = self.0.entry(sm_count).or_insert_with(|| {
            let driver = Arc::new(EmulatorDriver::new(options.clone()));
            (Device::with_driver(driver.clone()), driver)
        });
        driver.set_options(options);
        (device, driver)
    }
}
