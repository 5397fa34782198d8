//! Special registers (PTX ISA, "Special Registers").

use core::arch::nvptx;

/// Executed by: any thread. Index of the thread in its CTA (one-dimensional CTAs only).
#[inline(always)]
pub(crate) fn thread() -> u32 {
    // SAFETY: reads a register.
    unsafe { nvptx::_thread_idx_x() as u32 }
}

/// Executed by: any thread. Index of the CTA in the grid (one-dimensional grids only).
#[inline(always)]
pub(crate) fn cta() -> u32 {
    // SAFETY: reads a register.
    unsafe { nvptx::_block_idx_x() as u32 }
}

/// Executed by: any thread. Rank of the CTA in its cluster.
#[inline(always)]
pub(crate) fn cta_rank() -> u32 {
    let rank: u32;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov.u32 {rank}, %cluster_ctarank;", rank = out(reg32) rank,
            options(pure, nomem, nostack));
    }
    rank
}

/// Executed by: any thread. Number of CTAs in the grid (one-dimensional grids only).
#[inline(always)]
pub(crate) fn ctas() -> u32 {
    // SAFETY: reads a register.
    unsafe { nvptx::_grid_dim_x() as u32 }
}

/// Executed by: any thread, first thing in a loop. Tells the assembler not to unroll it (PTX ISA, "Pragma Strings:
/// nounroll"): code that nobody waits for should be short (`docs/notes/mxfp8_gemm_sm90.md`: its size costs time).
#[inline(always)]
pub(crate) fn stay_a_loop() {
    // SAFETY: no instruction.
    unsafe { core::arch::asm!(".pragma \"nounroll\";", options(nomem, nostack)) }
}

/// Executed by: any thread. The same value, of which the compiler no longer knows where it came from: what is made of it is not
/// made ahead and kept in registers.
#[inline(always)]
pub(crate) fn opaque_u32(value: u32) -> u32 {
    let mut same = value;
    // SAFETY: no instruction.
    unsafe {
        core::arch::asm!("// {same}", same = inout(reg32) same, options(nomem, nostack));
    }
    same
}

/// Executed by: any thread. The same value, of which the compiler no longer knows where it came from. It then
/// computes a chain of addresses step by step; left alone, it keeps a register pair for each of them.
#[inline(always)]
pub(crate) fn opaque(value: u64) -> u64 {
    let mut same = value;
    // SAFETY: no instruction.
    unsafe {
        core::arch::asm!("// {same}", same = inout(reg64) same, options(nomem, nostack));
    }
    same
}
