//! wgmma of every shape that the kernels use.

use super::inputs::Codes;
use super::{Case, Map};
use expert_gemm::driver::{L2Promotion, OutOfBounds, Swizzle, TensorMapSpec};
use expert_gemm::{Dims, ElementType};

const MODULE: &str = include_str!("../../captures/wgmma.ptx");

/// Columns, tiles of a case (larger ones would only swell the corpus), and the programs of 1 and 4 steps.
const SHAPES: [(u32, u32, [&str; 2]); 5] = [
    (8, 6, ["wgmma_n8_s1", "wgmma_n8_s4"]),
    (16, 4, ["wgmma_n16_s1", "wgmma_n16_s4"]),
    (32, 3, ["wgmma_n32_s1", "wgmma_n32_s4"]),
    (64, 2, ["wgmma_n64_s1", "wgmma_n64_s4"]),
    (128, 1, ["wgmma_n128_s1", "wgmma_n128_s4"]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, tiles, symbols) in SHAPES {
        for symbol in symbols {
            for (loader, name) in ["tma", "stores"].into_iter().enumerate() {
                for (kind, codes) in Codes::ALL.into_iter().enumerate() {
                    let seed = 1000 + cases.len() as u64 * 2;
                    // Every other case mixes kinds, as activations and weights do.
                    let other = Codes::ALL[(kind + loader) % Codes::ALL.len()];
                    let inputs = vec![
                        codes.fill(seed, (tiles * 64 * 128) as usize),
                        other.fill(seed + 1, (tiles * n * 128) as usize),
                    ];
                    cases.push(Case {
                        name: format!("{symbol}/{name}/{}-{}", codes.name(), other.name()),
                        module: MODULE,
                        symbol,
                        blocks: tiles,
                        cluster: 1,
                        threads: 128,
                        smem_bytes: 32 << 10,
                        maps: vec![map(0, tiles, 64), map(1, tiles, n)],
                        inputs,
                        words: vec![loader as u32, cases.len() as u32 * 5],
                        output_bytes: (tiles * 64 * n * 4) as usize,
                        tiles,
                    });
                }
            }
        }
    }
    cases
}

fn map(input: usize, tiles: u32, rows: u32) -> Map {
    let spec = TensorMapSpec {
        element: ElementType::U8,
        address: 0,
        dims: Dims::new(&[128, u64::from(tiles * rows)]),
        strides_bytes: Dims::new(&[128]),
        box_dims: Dims::new(&[128, u64::from(rows)]),
        swizzle: Swizzle::Bytes128,
        l2_promotion: L2Promotion::Bytes256,
        out_of_bounds: OutOfBounds::Zero,
    };
    Map { input, spec }
}
