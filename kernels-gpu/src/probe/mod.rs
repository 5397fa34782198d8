//! Kernels that measure the machine.

#[cfg(gpu_module = "bulk_read_sm90")]
pub(crate) mod bulk_read_sm90;
