//! One case on the device: timed, verified, and written down.

use crate::count::Cost;
use crate::record::CaseRecord;
use crate::timer::{Sustained, Timer};
use crate::verify::Verified;
use anyhow::{Result, ensure};
use expert_gemm::{GroupStatus, Stream};
use expert_gemm_kernels::abi::Variant;
use std::collections::BTreeMap;

/// Something on a device that can be launched again and again.
pub trait Subject {
    /// The kernel that runs.
    fn variant(&self) -> &'static Variant;

    /// Puts one launch into a stream.
    ///
    /// # Errors
    /// What the host crate refuses.
    fn launch(&self, stream: Stream) -> expert_gemm::Result<()>;

    /// The status word, and how right the outputs of some rows are.
    ///
    /// # Errors
    /// What the driver answers.
    fn verify(&self) -> Result<(GroupStatus, Verified)>;
}

/// Times a subject, prints its row, and checks it.
///
/// # Errors
/// What the driver answers, or if the kernel reported bad tables.
pub fn measure(
    timer: &Timer,
    case: String,
    cost: Cost,
    subject: &impl Subject,
    sustained: bool,
) -> Result<CaseRecord> {
    let graph = timer.capture(|stream| subject.launch(stream))?;
    // SAFETY: `subject` owns or borrows the memory, and is alive.
    let burst = unsafe { timer.burst(&graph) }?;
    let sustained: Option<Sustained> = if sustained {
        // SAFETY: as above.
        Some(unsafe { timer.sustained(&graph, burst.us) }?)
    } else {
        None
    };
    let (status, verified) = subject.verify()?;
    ensure!(status.is_ok(), "the status word says {:#x}", status.0);
    let reading = sustained.and_then(|sustained| sustained.reading);
    let record = CaseRecord {
        op: subject.variant().op.name().to_owned(),
        case,
        kernel: subject.variant().symbol.to_owned(),
        us: burst.us,
        us_min: burst.fastest_us,
        us_max: burst.slowest_us,
        replays: burst.replays,
        us_sustained: sustained.map(|sustained| sustained.us),
        sm_mhz_sustained: reading.map(|reading| reading.sm_mhz),
        watts_sustained: reading.map(|reading| reading.watts),
        tflops: cost.tflops(burst.us),
        gbps: cost.gbps(burst.us),
        ideal_us: cost.ideal_us(),
        outputs_equal: verified.equal,
        outputs_sampled: verified.sampled,
        peers: BTreeMap::new(),
    };
    print_row(&record);
    Ok(record)
}

/// Prints what the columns of [`measure`]'s rows are.
pub fn print_header() {
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>7} {:>7} {:>9}  outputs as modelled",
        "case", "us", "sustained", "ideal us", "TFLOP/s", "GB/s", "MHz / W"
    );
}

fn print_row(record: &CaseRecord) {
    let optional = |number: Option<f64>| number.map_or("-".to_owned(), |x| format!("{x:.1}"));
    let reading = match (record.sm_mhz_sustained, record.watts_sustained) {
        (Some(mhz), Some(watts)) => format!("{mhz:.0} / {watts:.0}"),
        _ => "-".to_owned(),
    };
    println!(
        "{:<44} {:>9.1} {:>9} {:>9.1} {:>7.0} {:>7.0} {:>9}  {} of {}",
        record.case,
        record.us,
        optional(record.us_sustained),
        record.ideal_us,
        record.tflops,
        record.gbps,
        reading,
        record.outputs_equal,
        record.outputs_sampled,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Work;
    use crate::suites::Quantiser;
    use expert_gemm::Device;
    use expert_gemm::driver::mock::MockDriver;
    use expert_gemm_tests::mx::quant_problem::QuantSpec;

    #[test]
    fn a_driver_that_runs_nothing_is_timed_and_found_wrong() {
        let device = Device::with_driver(MockDriver::h200().shared());
        let timer = Timer::new(&device).expect("timer");
        let problem = QuantSpec { total_rows: 12, ..QuantSpec::PLAIN }.build();
        let subject = Quantiser::new(&device, problem).expect("upload");
        let work = Work { rows: 12, live_experts: 4, n: 0, k: 256 };
        let record = measure(&timer, "case".to_owned(), work.mxfp8_quant(), &subject, false);
        let record = record.expect("timed");
        assert_eq!(record.op, "es_sm100_mxfp8_blockscaled_grouped_quant");
        assert_eq!(record.outputs_sampled, 4 * (256 + 8));
        assert_eq!(record.outputs_equal, 0);
    }
}
