//! Matrix multiplications, one file per kernel.

#[cfg(any(
    gpu_module = "fp8_block_sm90",
    gpu_module = "fp8_block_sm90_few",
    gpu_module = "fp8_block_sm90_tall",
    gpu_module = "fp8_block_sm90_wide"
))]
pub(crate) mod fp8_block_sm90;
#[cfg(gpu_module = "mxfp8_gemm_sm100")]
pub(crate) mod mxfp8_gemm_sm100;
#[cfg(gpu_module = "mxfp8_gemm_sm100_pair")]
pub(crate) mod mxfp8_gemm_sm100_pair;
#[cfg(any(gpu_module = "mxfp8_gemm_sm90", gpu_module = "mxfp8_gemm_sm90_few"))]
pub(crate) mod mxfp8_gemm_sm90;
#[cfg(any(gpu_module = "mxfp8_gemm_sm100", gpu_module = "mxfp8_gemm_sm100_pair"))]
mod mxfp8_sm100;
