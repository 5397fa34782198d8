//! Kernels that measure the machine, or question it.

#[cfg(gpu_module = "bulk_read_sm90")]
pub(crate) mod bulk_read_sm90;
#[cfg(gpu_module = "tensor_probe_sm100")]
pub(crate) mod tensor_sm100;
