//! Quantisers: one file per kernel.

#[cfg(any(gpu_module = "mxfp8_quant_sm90", gpu_module = "mxfp8_quant_sm100"))]
pub(crate) mod mxfp8;
