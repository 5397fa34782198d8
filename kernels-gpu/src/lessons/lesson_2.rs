//! Lesson 2: a tile in shared memory, so that each code is loaded and converted once for many products.
//!
//! ```text
//! CTA: 64 rows x 128 columns; thread: 4 rows x 8 columns
//! for each kb: all threads: codes of a and b -> floats in shared memory; barrier
//!              block[4][8] = products of the floats;                     barrier
//!              sum = fma(block, sa * sb, sum)
//! ```

use super::Args;
use super::tile::{Tile, store_with_neighbour};
use crate::abi::lesson::{FLOAT_PITCH, HALF_TILE, TILE};
use crate::ptx::{Smem, cvt, ldst, sreg, sync};
use crate::tile::promote::fma;

const THREADS: u32 = 256;
/// Threads that share the columns of the tile: a thread has every 16th column, and every 16th row.
const SIDE: u32 = 16;
/// Rows and columns of a thread.
const ROWS: usize = (HALF_TILE / SIDE) as usize;
const COLUMNS: usize = (TILE / SIDE) as usize;
/// Bytes between rows of a shared tile.
const PITCH: u32 = FLOAT_PITCH * 4;

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(args: &Args) {
    let smem = ldst::dynamic_smem();
    let (a, b) = (smem, smem.at(HALF_TILE * PITCH));
    let (x, y) = (sreg::thread() % SIDE, sreg::thread() / SIDE);
    let mut sum = [[0.0; COLUMNS]; ROWS];
    // SAFETY: the tile is the same for all threads, so they meet at every barrier; rows past the expert's are zeros.
    unsafe {
        let Some(tile) = Tile::of_cta::<HALF_TILE>(args) else { return };
        let k = u64::from(args.k);
        let mut tokens = args.a + u64::from(tile.row) * k;
        let mut weights = args.b + tile.weight_row(args) * k;
        for kb in 0..args.k_blocks {
            stage::<HALF_TILE>(a, tokens, k, tile.rows);
            stage::<TILE>(b, weights, k, TILE);
            sync::cta_sync();
            let block = multiply(a.at(y * PITCH), b.at(x * PITCH));
            sync::cta_sync();
            for i in 0..ROWS {
                let scale = tile.scale(args, y + i as u32 * SIDE, kb);
                for j in 0..COLUMNS {
                    sum[i][j] = fma(block[i][j], scale, sum[i][j]);
                }
            }
            tokens += u64::from(TILE);
            weights += u64::from(TILE);
        }
        for i in 0..ROWS {
            let row = y + i as u32 * SIDE;
            let first = u64::from(tile.row + row) * u64::from(args.n);
            for j in 0..COLUMNS {
                let element = first + u64::from(tile.column() + x + j as u32 * SIDE);
                store_with_neighbour(args, element, sum[i][j], [x, 1], row < tile.rows);
            }
        }
    }
}

/// Executed by: every thread of the CTA. Copies a K block of `ROWS` rows to shared memory as floats, the first `rows` of them
/// from global memory, zeros else. 16 codes at a time.
#[inline(always)]
unsafe fn stage<const ROWS: u32>(to: Smem, from: u64, k: u64, rows: u32) {
    let mut piece = sreg::thread();
    while piece < ROWS * (TILE / 16) {
        let (row, codes) = (piece / 8, piece % 8 * 16);
        let mut words = [0; 4];
        // SAFETY: the row is inside the tensor if it is below `rows`; the tile is this CTA's.
        unsafe {
            let source = from + u64::from(row) * k + u64::from(codes);
            ldst::load_global_u32x4_if(&mut words, source, row < rows);
            for i in 0..4 {
                let halves = cvt::f16x2_from_e4m3x4(words[i]);
                let [low, high] = halves.map(|pair| cvt::f32_from_f16x2(pair).map(f32::to_bits));
                let target = to.at(row * PITCH + (codes + i as u32 * 4) * 4);
                ldst::store_shared_u32x4(target, [low[0], low[1], high[0], high[1]]);
            }
        }
        piece += THREADS;
    }
}

/// Executed by: any thread. The sums of a K block for its rows of `a` and `b`.
#[inline(always)]
unsafe fn multiply(mut a: Smem, mut b: Smem) -> [[f32; COLUMNS]; ROWS] {
    let mut block = [[0.0; COLUMNS]; ROWS];
    // Opaque, or the compiler writes all 32 steps out and the loop no longer fits the cache of instructions.
    for _ in 0..sreg::opaque(u64::from(TILE / 4)) {
        let mut p = [[0.0; 4]; ROWS];
        for i in 0..ROWS {
            // SAFETY: the tile is complete.
            p[i] = unsafe { ldst::load_shared_f32x4(a.at(i as u32 * SIDE * PITCH)) };
        }
        for j in 0..COLUMNS {
            // SAFETY: the tile is complete.
            let q = unsafe { ldst::load_shared_f32x4(b.at(j as u32 * SIDE * PITCH)) };
            for k in 0..4 {
                for i in 0..ROWS {
                    block[i][j] = fma(p[i][k], q[k], block[i][j]);
                }
            }
        }
        (a, b) = (a.at(16), b.at(16));
    }
    block
}
