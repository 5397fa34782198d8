//! From real numbers to codes and scales: 1x128 groups for activations, 128x128 blocks for weights.
//!
//! The scale of a block is `amax / 448`, and a code is `encode(x / scale)`.

use crate::e4m3;
use crate::wgmma_model::BLOCK;
use rayon::prelude::*;

/// Below this, a block counts as zero and its scale stays positive.
const SMALLEST_AMAX: f32 = 1e-6;

/// Quantises rows of `k` elements in groups of 128: codes `[rows, k]` and scales `[rows, k / 128]`.
///
/// # Panics
/// If `x` is not made of whole groups.
pub fn groups_1x128(x: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let (groups, rest) = x.as_chunks::<BLOCK>();
    assert!(rest.is_empty(), "{} elements are no whole number of groups", x.len());
    let mut codes = vec![0; x.len()];
    let scales = codes
        .par_chunks_mut(BLOCK)
        .zip(groups)
        .map(|(codes, group)| {
            let scale = scale_of(group);
            for (code, &x) in codes.iter_mut().zip(group) {
                *code = e4m3::encode(x / scale);
            }
            scale
        })
        .collect();
    (codes, scales)
}

/// Quantises `[n, k]` weights in blocks of 128 x 128: codes `[n, k]` and scales `[n / 128, k / 128]`.
///
/// # Panics
/// If `n` or `k` is not a multiple of 128, or `x` has another size.
pub fn blocks_128x128(x: &[f32], k: usize) -> (Vec<u8>, Vec<f32>) {
    assert!(k.is_multiple_of(BLOCK) && x.len().is_multiple_of(BLOCK * k), "blocks must be whole");
    let mut codes = vec![0; x.len()];
    let scales = codes
        .par_chunks_mut(BLOCK * k)
        .zip(x.par_chunks(BLOCK * k))
        .flat_map_iter(|(codes, x)| {
            let scales: Vec<f32> = (0..k / BLOCK)
                .map(|kb| {
                    let columns = kb * BLOCK..(kb + 1) * BLOCK;
                    x.chunks(k).map(|row| amax(&row[columns.clone()])).fold(SMALLEST_AMAX, f32::max)
                        / e4m3::MAX
                })
                .collect();
            for (codes, x) in codes.chunks_mut(k).zip(x.chunks(k)) {
                for (i, (code, &x)) in codes.iter_mut().zip(x).enumerate() {
                    *code = e4m3::encode(x / scales[i / BLOCK]);
                }
            }
            scales
        })
        .collect();
    (codes, scales)
}

fn scale_of(group: &[f32]) -> f32 {
    amax(group).max(SMALLEST_AMAX) / e4m3::MAX
}

fn amax(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn normals(count: usize) -> Vec<f32> {
        let mut rng = Rng::new(3);
        (0..count / 2).flat_map(|_| rng.normals()).collect()
    }

    #[test]
    fn the_largest_of_each_group_becomes_448() {
        let x = normals(512);
        let (codes, scales) = groups_1x128(&x);
        for (group, scale) in codes.chunks(BLOCK).zip(&scales) {
            assert_eq!(group.iter().map(|c| c & 0x7F).max(), Some(e4m3::MAX_CODE));
            assert!(*scale > 0.0);
        }
        for (i, (&code, &x)) in codes.iter().zip(&x).enumerate() {
            let back = e4m3::decode(code) * scales[i / BLOCK];
            assert!((back - x).abs() <= x.abs() / 16.0 + scales[i / BLOCK] / 1024.0, "{back} {x}");
        }
    }

    #[test]
    fn blocks_share_a_scale_and_zero_blocks_stay_zero() {
        let (n, k) = (256, 384);
        let mut x = normals(n * k);
        for row in x.chunks_mut(k).take(BLOCK) {
            row[BLOCK..2 * BLOCK].fill(0.0);
        }
        let (codes, scales) = blocks_128x128(&x, k);
        assert_eq!(scales.len(), 6);
        for (i, (&code, &x)) in codes.iter().zip(&x).enumerate() {
            let scale = scales[i / k / BLOCK * 3 + i % k / BLOCK];
            assert!((e4m3::decode(code) * scale - x).abs() <= x.abs() / 16.0 + scale / 1024.0);
        }
        assert!(scales.iter().all(|&scale| scale > 0.0));
    }
}
