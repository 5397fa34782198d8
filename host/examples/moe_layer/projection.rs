//! One of the layer's two grouped products, in either format: activations are quantised, then multiplied.

use crate::layer::backend::Backend;
use crate::layer::fp8::{self, Fp8};
use crate::layer::groups::Groups;
use crate::layer::mxfp8::{self, Mx};
use expert_gemm::{DeviceInfo, Result};
use half::bf16;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Fp8,
    Mxfp8,
}

impl Format {
    /// Whether a GPU has the kernels.
    pub fn fit(self, info: &DeviceInfo) -> Result<()> {
        match self {
            Self::Fp8 => fp8::fit(info),
            Self::Mxfp8 => mxfp8::fit(info),
        }
    }
}

/// Weights `[E, N, K]`.
pub struct Projection {
    shape: [usize; 2],
    weights: Weights,
}

enum Weights {
    Fp8(Fp8),
    Mxfp8(Mx),
}

impl Projection {
    /// Takes FP8 weights as they are, and quantises them anew for MXFP8.
    pub fn load(
        format: Format,
        backend: &Backend,
        weights: Fp8,
        shape: [usize; 2],
        experts: usize,
    ) -> Result<Self> {
        let [n, k] = shape;
        let weights = match format {
            Format::Fp8 => Weights::Fp8(weights),
            Format::Mxfp8 => {
                let rows = Groups::new(&vec![n as u64; experts]);
                let wide = fp8::dequantise_blocks(&weights, k);
                Weights::Mxfp8(mxfp8::quantise(backend, &wide, k, &rows)?)
            }
        };
        Ok(Self { shape, weights })
    }

    /// Packed rows `[rows, K]` to `[rows, N]`.
    pub fn apply(&self, backend: &Backend, x: &[bf16], groups: &Groups) -> Result<Vec<bf16>> {
        let [_, k] = self.shape;
        match &self.weights {
            Weights::Fp8(b) => {
                fp8::multiply(backend, &fp8::quantise_rows(x, k), b, self.shape, groups)
            }
            Weights::Mxfp8(b) => {
                let a = mxfp8::quantise(backend, x, k, groups)?;
                mxfp8::multiply(backend, &a, b, self.shape, groups)
            }
        }
    }
}
