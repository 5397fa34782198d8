//! What this process can run, as a report for the log of a service.

use crate::abi::{ABI_VERSION, VARIANTS, Variant};
use crate::device::{Device, DeviceInfo};
use crate::driver::FunctionAttributes;
use crate::driver::cuda::Cuda;
use crate::driver::fault::{Poison, code_name};
use crate::error::{Error, Result};
use crate::ptx::PTX_DIR_VARIABLE;
use std::fmt;
use std::time::{Duration, Instant};

/// The driver, the devices, and what each of them can run.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Every device, or why there is none.
    pub devices: Result<Vec<Result<DeviceReport>>>,
}

/// What one device can run.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceReport {
    /// What it is, the driver's version included.
    pub info: DeviceInfo,
    /// Why it is lost to this process, if it is.
    pub poison: Option<Poison>,
    /// Every kernel of this crate, in the order of the variant table.
    pub kernels: Vec<KernelReport>,
}

/// Whether a device can run a kernel.
#[derive(Clone, PartialEq, Debug)]
pub struct KernelReport {
    /// The kernel.
    pub variant: &'static Variant,
    /// Whether it can.
    pub state: KernelState,
}

/// Whether a device can run a kernel.
#[derive(Clone, PartialEq, Debug)]
pub enum KernelState {
    /// It can: the kernel is loaded now.
    Loaded {
        /// How long that took. The first kernel of a module pays for the driver's compiler, unless it has the module in
        /// its cache on disk; one that this process has loaded before takes nothing.
        took: Duration,
        /// What the driver's compiler made of it.
        attributes: FunctionAttributes,
    },
    /// It is built for another GPU family.
    OtherArch,
    /// It should, but cannot be loaded.
    Failed(Error),
}

/// Looks at every device of this process and loads every kernel that it can run: for start-up, when a plan's first
/// preparation may as well find its module loaded, and for bug reports. Takes as long as the driver's compiler does,
/// some seconds where nothing is in its cache.
///
/// Nothing fails: what is missing is in the report. The devices are closed again, unless somebody else has them open.
///
/// ```
/// let report = expert_gemm::doctor();
/// println!("{report}"); // one line for each device and kernel
/// let usable = report.devices.iter().flatten().flatten().any(|device| device.poison.is_none());
/// # let _ = usable;
/// ```
pub fn doctor() -> Report {
    let examine = |ordinal| Device::open(ordinal).map(|device| device.examine());
    Report { devices: Cuda::count().map(|count| (0..count).map(examine).collect()) }
}

impl Device {
    /// What this device can run: as [`doctor`], for one device and whatever its driver.
    pub fn examine(&self) -> DeviceReport {
        let state = |variant: &'static Variant| {
            if !variant.arch.runs_on(self.info().capability) {
                return KernelState::OtherArch;
            }
            let start = Instant::now();
            match self.load(variant) {
                Ok(kernel) => {
                    let (took, attributes) = (start.elapsed(), kernel.attributes);
                    KernelState::Loaded { took, attributes }
                }
                Err(error) => KernelState::Failed(error),
            }
        };
        let kernels =
            VARIANTS.iter().map(|variant| KernelReport { variant, state: state(variant) });
        let kernels = kernels.collect();
        DeviceReport { info: self.info().clone(), poison: self.driver().poison(), kernels }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expert-gemm {}, contract {ABI_VERSION}", env!("CARGO_PKG_VERSION"))?;
        if let Some(folder) = std::env::var_os(PTX_DIR_VARIABLE).filter(|folder| !folder.is_empty())
        {
            write!(f, "\n{PTX_DIR_VARIABLE} is {}", folder.display())?;
        }
        match &self.devices {
            Ok(devices) => devices.iter().try_for_each(|device| match device {
                Ok(device) => write!(f, "\n{device}"),
                Err(error) => write!(f, "\na device cannot be opened: {error}"),
            }),
            Err(error) => write!(f, "\nno device: {error}"),
        }
    }
}

impl fmt::Display for DeviceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { info, poison, kernels } = self;
        let (ordinal, driver, gib) = (info.ordinal, info.driver_version, info.memory_bytes >> 30);
        write!(f, "device {ordinal}: {info}, {gib} GiB, driver for CUDA {driver}")?;
        if let Some(Poison { since, code }) = poison {
            write!(f, "\n  lost since `{since}` reported {} (code {code})", code_name(*code))?;
        }
        for KernelReport { variant, state } in kernels {
            let symbol = variant.symbol;
            match state {
                KernelState::Loaded { took, attributes } => {
                    let (ms, registers) = (took.as_secs_f64() * 1e3, attributes.registers);
                    write!(f, "\n  {symbol:<28} loaded in {ms:.1} ms, {registers} registers")?;
                    if attributes.local_bytes != 0 {
                        write!(f, ", {} bytes of local memory", attributes.local_bytes)?;
                    }
                }
                KernelState::OtherArch => {
                    write!(f, "\n  {symbol:<28} is for {}", variant.arch.name())?;
                }
                KernelState::Failed(error) => write!(f, "\n  {symbol:<28} FAILED: {error}")?,
            }
        }
        Ok(())
    }
}
