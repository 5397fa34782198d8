//! Measures the kernels of this library on this machine's GPU.

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum as _};
use expert_gemm::Device;
use expert_gemm_benches::compare::Comparison;
use expert_gemm_benches::peers::PeerTable;
use expert_gemm_benches::record::Record;
use expert_gemm_benches::session;
use expert_gemm_benches::shapes::Set;
use expert_gemm_benches::standing;
use expert_gemm_benches::suites::Suite;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure the kernels on this machine's GPU
#[derive(Parser)]
struct Args {
    /// Only these operations, separated by commas; by default all that this device can do
    #[arg(long, value_enum, value_delimiter = ',')]
    op: Vec<Suite>,
    /// Which cases
    #[arg(long, value_enum, default_value = "peers")]
    set: Set,
    /// Only cases whose name contains one of these, separated by commas
    #[arg(long, visible_alias = "filter", value_delimiter = ',')]
    cases: Vec<String>,
    /// Where to write the record; by default in benches/record, by GPU and day
    #[arg(long, visible_alias = "json")]
    out: Option<PathBuf>,
    /// Also measure every case back to back for half a second, with SM clock and power
    #[arg(long)]
    sustained: bool,
    /// Only 8 and 4096 rows per expert of 32 and 8 experts of DeepSeek-V3, and write no record
    #[arg(long)]
    quick: bool,
    /// Print the cases with their routings as JSON, by operation, and measure nothing; needs no GPU
    #[arg(long)]
    list: bool,
    /// Compare two records case by case; fail if one became slower. Needs no GPU
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    compare: Option<Vec<PathBuf>>,
    /// How much slower a case may become, in percent
    #[arg(long, default_value_t = 3.0, requires = "compare")]
    tolerance: f64,
    /// Hold a record against an ideal kernel and against other libraries, by band. Needs no GPU
    #[arg(long, value_name = "RECORD")]
    bands: Option<PathBuf>,
    /// Times of other libraries, if not those of the record itself or of benches/peers
    #[arg(long, requires = "bands", value_name = "TABLE")]
    peers: Option<PathBuf>,
}

impl Args {
    /// The cases that would be measured.
    fn list(&self) -> Result<String> {
        let wants = |name: &str| self.wants(name);
        let suites = if self.op.is_empty() { Suite::value_variants() } else { &self.op };
        let listed: BTreeMap<&str, _> =
            suites.iter().map(|suite| (suite.op_name(), suite.list(self.set, &wants))).collect();
        Ok(serde_json::to_string(&listed)?)
    }

    fn wants(&self, name: &str) -> bool {
        let quick = ["dsv3_gateup/E32/M8/balanced", "dsv3_gateup/E8/M4096/balanced"];
        (!self.quick || quick.iter().any(|part| name.contains(part)))
            && (self.cases.is_empty() || self.cases.iter().any(|part| name.contains(&**part)))
    }

    /// The operations that were asked for, or all that this device can do.
    fn suites(&self, device: &Device) -> Vec<Suite> {
        let able = |suite: &Suite| suite.runs_on(device.info().capability);
        if self.op.is_empty() {
            Suite::value_variants().iter().copied().filter(able).collect()
        } else {
            self.op.clone()
        }
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    if args.list {
        println!("{}", args.list()?);
        return Ok(());
    }
    if let Some([old, new]) = args.compare.as_deref() {
        let (old, new) = (Record::read(old)?, Record::read(new)?);
        let comparison = Comparison::new(&old, &new)?;
        print!("{}", comparison.report());
        return comparison.judge(args.tolerance);
    }
    if let Some(path) = &args.bands {
        let record = Record::read(path)?;
        let peers = match &args.peers {
            Some(path) => Some(PeerTable::read(path)?),
            None => PeerTable::for_record(&record)?,
        };
        print!("{}", standing::report(&record, peers.as_ref()));
        return Ok(());
    }
    let device = Device::open(0).context("measuring needs a GPU")?;
    let (timer, meta) = session::begin(&device)?;
    let mut record = Record { meta, cases: Vec::new() };
    for suite in args.suites(&device) {
        let wants = |name: &str| args.wants(name);
        record.cases.extend(suite.measure(&device, &timer, args.set, &wants, args.sustained)?);
    }
    ensure!(!record.cases.is_empty(), "no case has such a name");
    let wrong = record.cases.iter().filter(|case| case.outputs_equal != case.outputs_sampled);
    let wrong: Vec<&str> = wrong.map(|case| &*case.case).collect();
    ensure!(wrong.is_empty(), "outputs differ from the bit model in {}", wrong.join(", "));
    if !args.quick || args.out.is_some() {
        let name = match args.set {
            Set::Peers => record.meta.date.clone(),
            Set::Between => format!("{}-between", record.meta.date),
            Set::Matrix => format!("{}-matrix", record.meta.date),
        };
        let default = || Record::default_path(&device.info().name, &name);
        let path = args.out.unwrap_or_else(default);
        record.write(&path)?;
        println!("written to {}", path.display());
    }
    Ok(())
}
