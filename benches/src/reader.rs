//! The read-bandwidth probe: it fills the second-level cache with clean lines before each timed run, and its
//! rate is the ceiling that bandwidth-bound cases are held against.

use expert_gemm::driver::{Function, LaunchSpec};
use expert_gemm::ptx::PtxModule;
use expert_gemm::{Device, DeviceBuffer, Error, ModuleError, Result, Stream};
use expert_gemm_kernels::abi::bulk_read::{BulkReadParams, CHUNK_BYTES};
use expert_gemm_kernels::abi::{Op, VARIANTS, Variant};

/// Device memory, and the kernel that reads it.
pub struct Reader {
    device: Device,
    buffer: DeviceBuffer,
    function: Function,
    variant: &'static Variant,
}

impl Reader {
    /// Allocates `bytes`, rounded down to whole chunks of 16 KiB, and loads the kernel.
    ///
    /// # Errors
    /// If no such kernel runs on the device, or what the driver answers.
    pub fn new(device: &Device, bytes: u64) -> Result<Self> {
        let capability = device.info().capability;
        let fits = |v: &&Variant| v.op == Op::BulkRead && v.arch.runs_on(capability);
        let variant = VARIANTS.iter().find(fits).ok_or_else(|| Error::UnsupportedDevice {
            op: "the read-bandwidth probe",
            needs: "sm_90a (compute capability 9.0)".to_owned(),
            capability,
            name: device.info().name.clone(),
        })?;
        let driver = device.driver();
        let ptx = PtxModule::of(variant)?;
        ptx.check(device.info().driver_version)?;
        let module = driver.load_module(ptx.name, &ptx.text)?;
        let function = driver.function(module, variant.symbol)?.ok_or_else(|| {
            let (module, symbol) = (variant.module.to_owned(), variant.symbol.to_owned());
            ModuleError::KernelMissing { module, symbol }
        })?;
        driver.set_max_dynamic_smem(function, variant.smem_bytes)?;
        let chunk_bytes = u64::from(CHUNK_BYTES);
        let buffer = device.alloc(bytes / chunk_bytes * chunk_bytes)?;
        buffer.fill(0x5A, Stream::DEFAULT)?;
        device.synchronize()?;
        Ok(Self { device: device.clone(), buffer, function, variant })
    }

    /// Bytes that one launch reads.
    pub const fn bytes(&self) -> u64 {
        self.buffer.bytes()
    }

    /// Puts one reading of the whole buffer into a stream.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn launch(&self, stream: Stream) -> Result<()> {
        let chunks = self.bytes() / u64::from(CHUNK_BYTES);
        let words = [self.buffer.address(), chunks];
        let params: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        let spec = LaunchSpec {
            function: self.function,
            grid: [self.device.info().sm_count, 1, 1],
            block: [self.variant.threads, 1, 1],
            cluster: [1, 1, 1],
            smem_bytes: self.variant.smem_bytes,
            stream,
            params: &params,
        };
        // SAFETY: the bytes are the kernel's parameter (two words, asserted below), and the buffer belongs to
        // this value, whose users synchronise before they drop it.
        unsafe { self.device.driver().launch(&spec) }
    }
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<BulkReadParams>() == 16);
    assert!(offset_of!(BulkReadParams, address) == 0 && offset_of!(BulkReadParams, chunks) == 8);
};

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm::driver::mock::MockDriver;

    #[test]
    fn a_launch_covers_the_buffer_with_one_block_per_multiprocessor() {
        let driver = MockDriver::h200().shared();
        let device = Device::with_driver(driver.clone());
        let reader = Reader::new(&device, (1 << 20) + 5).expect("probe");
        reader.launch(Stream::DEFAULT).expect("launch");
        let launch = &driver.launches()[0];
        assert_eq!(
            (reader.bytes(), launch.grid, &*launch.symbol),
            (1 << 20, [132, 1, 1], "bulk_read_sm90")
        );
        assert_eq!(launch.params[8..], 64u64.to_le_bytes());
    }
}
