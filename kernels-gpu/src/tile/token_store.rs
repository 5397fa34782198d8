//! From sums that a warp holds by output column to rows of the output.
//!
//! Where tokens are the N side of the tensor core, a warp holds 32 neighbouring output columns of each token: 64 bytes.
//! They are transposed on their way through shared memory, 32 tokens at a time.

use super::output::Output;
use crate::ptx::{Smem, ldst, stmatrix, warp};

/// Output columns of a warp.
pub(crate) const WARP_COLUMNS: u32 = 32;
/// Bytes between tokens of a warp's staging buffer.
const PITCH: u32 = WARP_COLUMNS * 2;
/// Bytes of a warp's staging buffer.
pub(crate) const STAGING_BYTES: u32 = 32 * PITCH;

/// A warp's staging buffer: 32 tokens of 64 bytes. The four 16-byte chunks of a token are exchanged by the XOR with
/// bits 1-2 of the token, so that neither the stores of 8 tokens nor the loads of 2 meet in a bank.
#[derive(Clone, Copy)]
pub(crate) struct Staging {
    /// Where the lane's row of a matrix goes: matrix `lane / 8` is a chunk, row `lane % 8` a token.
    write: Smem,
    /// What the lane stores: chunk `lane % 4` of token `lane / 4`.
    read: Smem,
}

impl Staging {
    #[inline(always)]
    pub(crate) fn new(buffer: Smem, lane: u32) -> Self {
        let at = |token: u32, chunk: u32| buffer.at(token * PITCH + (chunk ^ (token / 2 % 4)) * 16);
        Self { write: at(lane % 8, lane / 8), read: at(lane / 4, lane % 4) }
    }

    /// Executed by: warp, converged. Writes `8 groups` tokens, from register `first` on; `values` are output columns
    /// 0..16 and 16..32, as fragments of an accumulator.
    #[inline(always)]
    pub(crate) unsafe fn write<O: Output, const R: usize>(
        self,
        values: &[[f32; R]; 2],
        first: usize,
        groups: usize,
    ) {
        let mut group = 0;
        while group < groups {
            let i = first + group * 4;
            let pair = |half: usize, i: usize| O::pack(values[half][i], values[half][i + 1]);
            let matrices = [pair(0, i), pair(0, i + 2), pair(1, i), pair(1, i + 2)];
            let target = self.write.at(group as u32 * 8 * PITCH);
            // SAFETY: the buffer is the warp's own, and what it held is in registers.
            unsafe { stmatrix::store_matrix_x4_transposed(target, matrices) }
            group += 1;
        }
    }
}

/// Where a lane stores its chunk of the next 8 tokens.
pub(crate) struct TokenStore {
    address: u64,
    /// Bytes from a token to the one 8 further on.
    step: u64,
    /// The token, counted from the tile's first, and the number of those to store.
    token: u32,
    rows: u32,
}

impl TokenStore {
    /// A tile that begins at row `row` of an output with `n` columns; `rows` of its tokens are stored, in the 32
    /// columns from `column` on.
    #[inline(always)]
    pub(crate) fn new(output: u64, n: u32, row: u32, rows: u32, column: u32, lane: u32) -> Self {
        let token = lane / 4;
        let first = u64::from(row + token) * u64::from(n);
        let column = column + lane % 4 * 8;
        Self {
            address: output + (first + u64::from(column)) * 2,
            step: u64::from(n) * 8 * 2,
            token,
            rows,
        }
    }

    /// Executed by: warp, converged. Stores `8 GROUPS` tokens of the buffer, those that are the expert's.
    #[inline(always)]
    pub(crate) unsafe fn rows<const GROUPS: usize>(&mut self, staging: Staging) {
        let mut words = [[0; 4]; GROUPS];
        // SAFETY: the warp converges between writing and reading the buffer; the rows are the expert's.
        unsafe {
            warp::sync();
            // All loads before the first store: they wait for shared memory together.
            let mut group = 0;
            while group < GROUPS {
                let below = group as u32 * 8 * PITCH;
                words[group] = ldst::load_shared_u32x4(staging.read.at(below));
                group += 1;
            }
            warp::sync();
            let mut group = 0;
            while group < GROUPS {
                if self.token + 8 * (group as u32) < self.rows {
                    ldst::store_global_u32x4(self.address + group as u64 * self.step, words[group]);
                }
                group += 1;
            }
            warp::sync();
        }
        self.token += 8 * GROUPS as u32;
        self.address += GROUPS as u64 * self.step;
    }
}
