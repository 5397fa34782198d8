//! Matrix multiplications, one file per kernel.

#[cfg(gpu_module = "fp8_block_sm90")]
pub(crate) mod fp8_block_sm90;
