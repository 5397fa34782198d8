//! The product that every adapter computes, as candle's tensors on any device.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

use super::common::{BLOCKS, EXPERTS, K, N, Operands, ROWS};
use candle_core::{Device, Tensor, WithDType};
use expert_gemm::interop::candle::Fp8Tensors;
use float8::F8E4M3;

pub struct Tensors {
    pub a: Tensor,
    pub b: Tensor,
    pub scales_a: Tensor,
    pub scales_b: Tensor,
    pub sizes: Tensor,
    pub offsets: Tensor,
}

impl Tensors {
    pub fn on(device: &Device) -> Self {
        let o = Operands::new();
        Self {
            a: tensor(&codes(&o.a), &[ROWS, K], device),
            b: tensor(&codes(&o.b), &[EXPERTS, N, K], device),
            scales_a: tensor(&o.scales_a, &[ROWS, BLOCKS[1]], device),
            scales_b: tensor(&o.scales_b, &[EXPERTS, BLOCKS[0], BLOCKS[1]], device),
            sizes: tensor(&o.sizes.concat(), &[EXPERTS, 3], device),
            offsets: tensor(&o.offsets, &[EXPERTS], device),
        }
    }

    pub fn fp8(&self) -> Fp8Tensors<'_> {
        Fp8Tensors {
            a: &self.a,
            b: &self.b,
            scales_a: &self.scales_a,
            scales_b: &self.scales_b,
            problem_sizes: &self.sizes,
            expert_offsets: &self.offsets,
        }
    }
}

pub fn tensor<T: WithDType>(data: &[T], shape: &[u64], device: &Device) -> Tensor {
    let shape: Vec<usize> = shape.iter().map(|&side| side as usize).collect();
    Tensor::from_slice(data, shape, device).expect("tensor")
}

pub fn codes(bytes: &[u8]) -> Vec<F8E4M3> {
    bytes.iter().map(|&byte| F8E4M3::from_bits(byte)).collect()
}

pub fn values<T: WithDType>(tensor: &Tensor) -> Vec<T> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("values")
}
