//! Lesson 1: one thread for each element of the output.
//!
//! ```text
//! CTA: 1 row x 128 columns, a thread each
//! for each kb: block = 0; for each k in kb: block += a[m, k] * b[n, k]
//!              sum = fma(block, sa * sb, sum)
//! ```

use super::Args;
use super::tile::{Tile, store_with_neighbour};
use crate::abi::lesson::TILE;
use crate::ptx::{cvt, ldst, sreg};
use crate::tile::promote::fma;

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(args: &Args) {
    // SAFETY: addresses are inside the tensors: the row is the expert's, and there is a thread for each column.
    unsafe {
        let Some(tile) = Tile::of_cta::<1>(args) else { return };
        let (column, k) = (sreg::thread(), u64::from(args.k));
        let mut a = args.a + u64::from(tile.row) * k;
        let mut b = args.b + (tile.weight_row(args) + u64::from(column)) * k;
        let mut sum = 0.0;
        for kb in 0..args.k_blocks {
            let mut block = 0.0;
            for _ in 0..TILE / 4 {
                let (x, y) = (load_4_codes(a), load_4_codes(b));
                block = fma(x[0], y[0], block);
                block = fma(x[1], y[1], block);
                block = fma(x[2], y[2], block);
                block = fma(x[3], y[3], block);
                a += 4;
                b += 4;
            }
            sum = fma(block, tile.scale(args, 0, kb), sum);
        }
        let element = u64::from(tile.row) * u64::from(args.n) + u64::from(tile.column() + column);
        store_with_neighbour(args, element, sum, [column, 1], true);
    }
}

/// Executed by: any thread. Four neighbouring codes as floats.
#[inline(always)]
unsafe fn load_4_codes(address: u64) -> [f32; 4] {
    // SAFETY: `address` is 4-aligned and readable, by contract.
    let codes = unsafe { ldst::load_global_i32(address) } as u32;
    let [low, high] = cvt::f16x2_from_e4m3x4(codes).map(cvt::f32_from_f16x2);
    [low[0], low[1], high[0], high[1]]
}
