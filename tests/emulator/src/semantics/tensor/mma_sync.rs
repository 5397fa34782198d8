//! `mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32` (PTX ISA 9.7.14.5) on the families without
//! `wgmma` and `tcgen05`.
//!
//! The arithmetic is not in the ISA. Both rules are those of Microsoft's MMA-Sim, checked on hardware by
//! its authors and not here: Ada truncates like Hopper's `wgmma`, but sums 16 products at a time, the first
//! half of K first; the consumer Blackwell parts sum like `tcgen05.mma`.

use super::{K, blackwell, hopper};

/// The families that have the instruction and differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `sm_89`.
    Ada,
    /// `sm_120` and its variants.
    BlackwellRtx,
}

/// Rows and columns of the result.
const SHAPE: (usize, usize) = (16, 8);

/// One output: the accumulator plus 32 products, as the rule says it.
pub fn mma_dot32(family: Family, acc: f32, a: &[u8; K], b: &[u8; K]) -> f32 {
    match family {
        Family::Ada => {
            let half = |first| hopper::hopper_dot32(first, &low_half(a), &low_half(b));
            hopper::hopper_dot32(half(acc), &high_half(a), &high_half(b))
        }
        Family::BlackwellRtx => blackwell::blackwell_dot32(acc, a, b),
    }
}

/// One instruction, in place: `d` is 16 x 8 row-major and holds C before and D after, `a` is 16 x 32 codes
/// row-major, `b` 8 x 32 codes with K side by side (the `.col` layout). Bit for bit [`mma_dot32`].
///
/// # Panics
/// If a slice does not have the size of its matrix.
pub fn mma_e4m3(family: Family, d: &mut [f32], a: &[u8], b: &[u8]) {
    let (m, n) = SHAPE;
    assert!(d.len() == m * n && a.len() == m * K && b.len() == n * K, "m16n8k32");
    match family {
        Family::Ada => {
            hopper::wgmma_e4m3(d, n, &halves(a, low_half), &halves(b, low_half), true);
            hopper::wgmma_e4m3(d, n, &halves(a, high_half), &halves(b, high_half), true);
        }
        Family::BlackwellRtx => blackwell::tcgen05_e4m3(d, n, a, b, true),
    }
}

/// The first half of K; zeros take no part in a sum.
fn low_half(codes: &[u8; K]) -> [u8; K] {
    let mut half = *codes;
    half[K / 2..].fill(0);
    half
}

/// The second half of K.
fn high_half(codes: &[u8; K]) -> [u8; K] {
    let mut half = *codes;
    half[..K / 2].fill(0);
    half
}

fn halves(codes: &[u8], half: fn(&[u8; K]) -> [u8; K]) -> Vec<u8> {
    codes.as_chunks::<K>().0.iter().flat_map(half).collect()
}
