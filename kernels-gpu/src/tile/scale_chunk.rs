//! Scales travel in chunks: those of 4 K blocks of a row, 16 bytes, in one copy. In shared memory a chunk holds them row by
//! row.

use super::fragment;
use crate::abi::fp8_block::SCALE_CHUNK;
use crate::ptx::{Smem, cp_async, ldst};

/// Bytes of one row of a chunk.
pub(crate) const ROW_BYTES: u32 = SCALE_CHUNK * 4;

/// How the rows of two tensors of scales, `[rows, k / 128]` f32, are copied.
#[derive(Clone, Copy)]
pub(crate) struct ScaleCopy {
    /// Bytes between rows.
    pub(crate) row_bytes: u64,
    /// Rows begin on 16 bytes or not, all alike.
    aligned: bool,
}

impl ScaleCopy {
    #[inline(always)]
    pub(crate) const fn new(scales_a: u64, scales_b: u64, k_blocks: u32) -> Self {
        let row_bytes = k_blocks as u64 * 4;
        Self { row_bytes, aligned: (scales_a | scales_b | row_bytes).is_multiple_of(16) }
    }

    /// Executed by: warp. Lane `l` copies rows `l`, `l + 32`, ... below `span`: the first `words` of each, and zeros from the
    /// row `rows` on. `source` is the lane's first row.
    #[inline(always)]
    pub(crate) unsafe fn rows(
        self,
        chunk: Smem,
        mut source: u64,
        lane: u32,
        [rows, span]: [u32; 2],
        words: u32,
    ) {
        let mut row = lane;
        while row < span {
            let words = if row < rows { words } else { 0 };
            // SAFETY: the caller owns the chunk; rows past the last are zeroed instead of read.
            unsafe { self.row(chunk.at(row * ROW_BYTES), source, words) }
            row += 32;
            source += 32 * self.row_bytes;
        }
    }

    /// Executed by: any thread. Copies the first `words` of a row of scales, at most a chunk, and zeroes the
    /// rest of the chunk. An `aligned` row is a whole number of chunks long.
    #[inline(always)]
    pub(crate) unsafe fn row(self, target: Smem, source: u64, words: u32) {
        // SAFETY: the caller owns the chunk, and `source` has `words` words.
        unsafe {
            if self.aligned {
                cp_async::copy_16_bytes_or_zero(target, source, words > 0);
            } else {
                for word in 0..SCALE_CHUNK {
                    let source = source + u64::from(word * 4);
                    cp_async::copy_word_or_zero(target.at(word * 4), source, word < words);
                }
            }
        }
    }
}

/// Executed by: any thread. The scales of a row of a chunk, and of the row 8 below.
#[inline(always)]
pub(crate) unsafe fn load_rows(upper: Smem) -> [[f32; 4]; 2] {
    // SAFETY: the chunk has landed, by contract.
    unsafe { [ldst::load_shared_f32x4(upper), ldst::load_shared_f32x4(upper.at(8 * ROW_BYTES))] }
}

/// `sa * sb` of two rows, for each block of a chunk.
#[inline(always)]
pub(crate) const fn of_rows([upper, lower]: [[f32; 4]; 2], b: [f32; 4]) -> [[f32; 2]; 4] {
    [
        [upper[0] * b[0], lower[0] * b[0]],
        [upper[1] * b[1], lower[1] * b[1]],
        [upper[2] * b[2], lower[2] * b[2]],
        [upper[3] * b[3], lower[3] * b[3]],
    ]
}

/// Executed by: any thread. `sa * sb` of a row of a chunk and of the row 8 below, for one block. The arguments are the scales of
/// the row and of the weights.
#[inline(always)]
pub(crate) unsafe fn of_block(scale_a: Smem, scale_b: Smem) -> [f32; 2] {
    // SAFETY: the chunk has landed, by contract.
    unsafe {
        let b = ldst::load_shared_f32(scale_b);
        let (upper, lower) = (scale_a, scale_a.at(8 * ROW_BYTES));
        [ldst::load_shared_f32(upper) * b, ldst::load_shared_f32(lower) * b]
    }
}

/// Executed by: any thread. `sa * sb` of the thread's two columns in each group of 8; the first `R / 4`
/// entries count. The arguments are the scales of its first column and of the weights, for one block.
#[inline(always)]
pub(crate) unsafe fn of_columns<const R: usize>(scale_a: Smem, scale_b: Smem) -> [[f32; 2]; R] {
    let mut scales = [[0.0; 2]; R];
    // SAFETY: the chunk has landed, by contract.
    unsafe {
        let b = ldst::load_shared_f32(scale_b);
        let mut group = 0;
        while group < R / 4 {
            let a = scale_a.at(group as u32 * fragment::GROUP_COLS * ROW_BYTES);
            let (even, odd) = (ldst::load_shared_f32(a), ldst::load_shared_f32(a.at(ROW_BYTES)));
            scales[group] = [even * b, odd * b];
            group += 1;
        }
    }
    scales
}
