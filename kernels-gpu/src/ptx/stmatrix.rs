//! Matrices of 8 x 8 elements of 16 bits between registers and shared memory (PTX ISA, "stmatrix").

use super::Smem;
use core::arch::asm;

/// Executed by: warp, converged. Stores four 8x8 matrices of 16-bit elements; lane `8 i + r` gives the
/// address of row `r` of matrix `i`.
#[inline(always)]
pub(crate) unsafe fn store_matrix_x4(row: Smem, [a, b, c, d]: [u32; 4]) {
    // SAFETY: every row is 16 bytes of shared memory, 16-aligned and the warp's to write, by contract.
    unsafe {
        asm!("stmatrix.sync.aligned.m8n8.x4.shared.b16 [{row}], {{{a}, {b}, {c}, {d}}};",
            row = in(reg32) row.0, a = in(reg32) a, b = in(reg32) b, c = in(reg32) c,
            d = in(reg32) d, options(nostack));
    }
}

/// Executed by: warp, converged. As [`store_matrix_x4`], transposed on the way: row `r` of memory is column `r`
/// of the matrix.
#[inline(always)]
pub(crate) unsafe fn store_matrix_x4_transposed(row: Smem, [a, b, c, d]: [u32; 4]) {
    // SAFETY: every row is 16 bytes of shared memory, 16-aligned and the warp's to write, by contract.
    unsafe {
        asm!("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [{row}], {{{a}, {b}, {c}, {d}}};",
            row = in(reg32) row.0, a = in(reg32) a, b = in(reg32) b, c = in(reg32) c,
            d = in(reg32) d, options(nostack));
    }
}

/// Executed by: warp, converged. As [`store_matrix_x4`], two matrices, transposed on the way; lanes 0..16
/// give addresses.
#[inline(always)]
pub(crate) unsafe fn store_matrix_x2_transposed(row: Smem, [a, b]: [u32; 2]) {
    // SAFETY: every row is 16 bytes of shared memory, 16-aligned and the warp's to write, by contract.
    unsafe {
        asm!("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [{row}], {{{a}, {b}}};",
            row = in(reg32) row.0, a = in(reg32) a, b = in(reg32) b, options(nostack));
    }
}
