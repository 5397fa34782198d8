//! Where a layer runs.

use expert_gemm::{Device, DeviceInfo, GroupStatus, Result};

pub enum Backend {
    Cpu,
    Gpu(Device),
}

impl Backend {
    /// The first GPU if it is `fit`, unless the CPU is asked for; says which.
    pub fn open(cpu: bool, fit: impl Fn(&DeviceInfo) -> Result<()>) -> Self {
        if cpu {
            println!("on the CPU, as asked");
            return Self::Cpu;
        }
        match Device::open(0).and_then(|device| fit(device.info()).map(|()| device)) {
            Ok(device) => {
                println!("on {}", device.info());
                Self::Gpu(device)
            }
            Err(reason) => {
                println!("on the CPU: {reason}");
                Self::Cpu
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
