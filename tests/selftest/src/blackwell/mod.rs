//! Questions to the tensor-memory probe.

pub mod arithmetic;
pub mod layout;
pub mod order;
pub mod pairs;
pub mod scales;

use crate::probe::{M, MAX_N, ROW};
use expert_gemm_tests::e4m3;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::values::Values;

/// The code of one.
pub const ONE: u8 = 0x38;

/// Rows of A and of B whose sums are small whole numbers, exact in any order.
fn whole_numbers(seed: u64) -> [Vec<[u8; ROW]>; 2] {
    let rng = &mut Rng::stream(seed, 1);
    [M, MAX_N].map(|count| drawn(Values::Integers, rng, count))
}

/// Rows of codes.
fn drawn<const K: usize>(values: Values, rng: &mut Rng, count: usize) -> Vec<[u8; K]> {
    let mut rows = vec![[0; K]; count];
    for row in &mut rows {
        values.fill(rng, row);
    }
    rows
}

/// The product of some bytes of two rows.
fn dot(a: &[u8], b: &[u8]) -> f32 {
    a.iter().zip(b).map(|(&a, &b)| e4m3::decode(a) * e4m3::decode(b)).sum()
}

/// The power of two that two scale bytes are together.
fn power(a: u8, b: u8) -> f32 {
    2f32.powi(i32::from(a) + i32::from(b) - 254)
}
