//! Where a layer runs.

use super::fallback;
use expert_gemm::{Device, DeviceInfo, GroupStatus, Result};

pub enum Backend {
    Cpu,
    Gpu(Device),
}

impl Backend {
    /// The first GPU if it is `fit`, unless the CPU is asked for; says which. `REQUIRE_GPU=1` makes the lack of a GPU an
    /// error.
    pub fn open(
        cpu: bool,
        fit: impl Fn(&DeviceInfo) -> Result<()>,
    ) -> std::result::Result<Self, String> {
        if cpu {
            println!("on the CPU, as asked");
            return Ok(Self::Cpu);
        }
        match Device::open(0).and_then(|device| fit(device.info()).map(|()| device)) {
            Ok(device) => {
                println!("on {}", device.info());
                Ok(Self::Gpu(device))
            }
            Err(reason) => {
                fallback::to_cpu(&reason)?;
                Ok(Self::Cpu)
            }
        }
    }
}

/// Says so if the group tables broke the contract.
pub fn report(status: GroupStatus) {
    if !status.is_ok() {
        println!("some experts were skipped: status {:#x}", status.0);
    }
}
