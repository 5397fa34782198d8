//! Lesson 3: the tensor core (wgmma), on tiles that threads copy into the swizzle it reads.
//!
//! ```text
//! CTA: one warpgroup, 64 rows x 128 columns
//! for each kb: all threads: 16-byte copies of a and b -> swizzled tiles; wait; fence; barrier
//!              block = 4 wgmma m64n128k32; wait;                                      barrier
//!              sum = fma(block, sa * sb, sum)
//! ```

use super::Args;
use super::tile::Tile;
use crate::abi::lesson::{HALF_TILE, TILE};
use crate::ptx::wgmma::{self, M64N128, Mma};
use crate::ptx::{Smem, cp_async, ldst, sreg, sync, warp};
use crate::tile::promote::promote_rows;
use crate::tile::{descriptor, fragment};

const THREADS: u32 = 128;

/// Executed by: every thread of the CTA.
#[inline(always)]
pub(crate) unsafe fn kernel(args: &Args) {
    let smem = ldst::dynamic_smem();
    let (a, b) = (smem, smem.at(HALF_TILE * TILE));
    let thread = sreg::thread();
    let (mut sum, mut block) = ([0.0; 64], [0.0; 64]);
    // SAFETY: the tile is the same for all threads, so the warpgroup is converged and meets at every barrier.
    unsafe {
        let first_row = warp::broadcast(thread / 32, 0) * fragment::WARP_ROWS;
        let lane = thread % 32;
        let Some(tile) = Tile::of_cta::<HALF_TILE>(args) else { return };
        let k = u64::from(args.k);
        let mut tokens = args.a + u64::from(tile.row) * k;
        let mut weights = args.b + tile.weight_row(args) * k;
        for kb in 0..args.k_blocks {
            copy_swizzled::<HALF_TILE>(a, tokens, k, tile.rows);
            copy_swizzled::<TILE>(b, weights, k, TILE);
            cp_async::wait_all();
            // The tensor core reads through the async proxy, which does not see these writes by itself.
            sync::fence_proxy_async_shared();
            sync::cta_sync();
            wgmma::fence();
            M64N128::start(
                &mut block,
                descriptor::k_major_128b(a.0),
                descriptor::k_major_128b(b.0),
            );
            wgmma::commit();
            let row = first_row + fragment::row(lane);
            let scales = [tile.scale(args, row, kb), tile.scale(args, row + 8, kb)];
            wgmma::wait::<0>();
            M64N128::landed(&mut block);
            sync::cta_sync();
            promote_rows(&mut sum, &block, scales);
            tokens += u64::from(TILE);
            weights += u64::from(TILE);
        }
        tile.store(args, first_row, lane, &sum);
    }
}

/// Executed by: every thread of the CTA. Starts copies of a K block of `ROWS` rows, the first `rows` of them from global memory,
/// zeros else. Chunk `c` of row `r` goes where the 128-byte swizzle wants it: to chunk `c ^ (r % 8)`.
#[inline(always)]
unsafe fn copy_swizzled<const ROWS: u32>(to: Smem, from: u64, k: u64, rows: u32) {
    let mut piece = sreg::thread();
    while piece < ROWS * (TILE / 16) {
        let (row, chunk) = (piece / 8, piece % 8);
        let target = to.at(row * TILE + (chunk ^ (row % 8)) * 16);
        let source = from + u64::from(row) * k + u64::from(chunk * 16);
        // SAFETY: the row is inside the tensor if it is below `rows`; the tile is this CTA's.
        unsafe { cp_async::copy_16_bytes_or_zero(target, source, row < rows) }
        piece += THREADS;
    }
}
