//! The device that is asked.

use crate::fact::{Fact, Verdict};
use anyhow::Context as _;
use expert_gemm::{Device, DeviceInfo};
use ptx_emulator::{EmulatorDriver, Gpu, Options, Timing};
use std::sync::Arc;

/// Multiprocessors of an emulated GPU: enough for two clusters.
const EMULATED_SMS: u32 = 4;

/// Which device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The first GPU.
    Real,
    /// An emulated one.
    Emulated(Gpu),
}

impl Which {
    /// An emulated GPU by the name of its family.
    ///
    /// # Errors
    /// If there is none.
    pub fn emulated(name: &str) -> Result<Self, String> {
        match name {
            "sm_90" => Ok(Self::Emulated(Gpu::H200)),
            "sm_100" => Ok(Self::Emulated(Gpu::B200)),
            "sm_103" => Ok(Self::Emulated(Gpu::B300)),
            _ => Err("sm_90, sm_100 and sm_103 can be emulated".to_owned()),
        }
    }
}

/// A device that is open.
pub struct Bench {
    /// The device.
    pub device: Device,
    emulator: Option<Arc<EmulatorDriver>>,
}

impl Bench {
    /// Opens a device.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn open(which: Which) -> anyhow::Result<Self> {
        match which {
            Which::Real => {
                let device = Device::open(0).context("no GPU can be asked")?;
                Ok(Self { device, emulator: None })
            }
            // In random order: whatever a fact relies on is relied on by the letter.
            Which::Emulated(gpu) => Ok(Self::emulated(gpu, Timing::Random(1))),
        }
    }

    /// An emulated device.
    pub fn emulated(gpu: Gpu, timing: Timing) -> Self {
        let options = Options { gpu, timing, sm_count: EMULATED_SMS, ..Options::default() };
        let driver = Arc::new(EmulatorDriver::new(options));
        Self { device: Device::with_driver(driver.clone()), emulator: Some(driver) }
    }

    /// What the device is.
    pub fn info(&self) -> &DeviceInfo {
        self.device.info()
    }

    /// Whether the device can be asked about a fact.
    pub fn can_ask(&self, fact: &Fact) -> bool {
        fact.families.iter().any(|family| family.runs_on(self.info().capability))
    }

    /// The verdict on a fact.
    pub fn ask(&self, fact: &Fact) -> Verdict {
        if !self.can_ask(fact) {
            let families: Vec<&str> = fact.families.iter().map(|family| family.name()).collect();
            let (major, minor) = self.info().capability;
            let why = format!("needs {}; this is sm_{major}{minor}", families.join(" or "));
            return Verdict::NotRun { why };
        }
        let verdict = match (fact.ask)(self) {
            Ok(evidence) => evidence.judge(),
            Err(error) => Verdict::of_error(&error),
        };
        // The emulator also says what a GPU would not notice.
        match self.emulator.as_ref().map(|driver| driver.take_reports()).as_deref() {
            Some([report, ..]) if verdict.is_confirmed() => Verdict::broken(report.to_string()),
            _ => verdict,
        }
    }
}
