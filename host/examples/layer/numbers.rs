//! Elementwise steps, test data, and how far results are apart.

use half::bf16;

/// Rows of `[gate, up]`, `intermediate` elements each, to rows of `silu(gate) * up`.
pub fn activated(gate_up: &[f64], intermediate: usize) -> Vec<f64> {
    let rows = gate_up.chunks(2 * intermediate).map(|row| row.split_at(intermediate));
    rows.flat_map(|(gate, up)| gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u))
        .collect()
}

/// One minus the cosine-like similarity that FP8 kernels are usually judged by: `1 - 2xy / (xx + yy)`.
pub fn difference(x: &[f64], y: &[f64]) -> f64 {
    let sum = |f: fn(f64, f64) -> f64| x.iter().zip(y).map(|(&x, &y)| f(x, y)).sum::<f64>();
    1.0 - 2.0 * sum(|x, y| x * y) / sum(|x, y| x * x + y * y)
}

pub fn as_f64(x: &[bf16]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}

pub fn as_bf16(x: &[f64]) -> Vec<bf16> {
    x.iter().map(|&x| bf16::from_f64(x)).collect()
}

/// Nearly normal numbers: sums of 12 uniform ones.
pub fn normal(seed: u64, count: usize, deviation: f64) -> Vec<bf16> {
    let mut state = seed;
    let mut uniform = || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    };
    let mut draw = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    (0..count).map(|_| bf16::from_f64(draw() * deviation)).collect()
}
