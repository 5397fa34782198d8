//! Descriptors and the layout of scales for `tcgen05.mma` (PTX ISA, "`TensorCore` 5th Generation Family Instructions").
//!
//! No machine of this generation was at hand when this was written. Every constant below is taken from a
//! publication, named beside it; the first run on hardware may correct one line here, and nothing else should
//! need to change.

/// Bits 46-48 of every shared-memory descriptor are 0b001 (PTX ISA, "Shared Memory Descriptor"; CUTLASS sets it as
/// version 1 of the descriptor).
const FIXED: u64 = 1 << 46;
/// Swizzle code of 128 bytes, bits 61-63 (the same sources). Hopper's code is one bit narrower: the bits are equal.
const SWIZZLE_128B: u64 = 2 << 61;
/// Bytes between groups of 8 rows, bits 32-45 in units of 16: rows of 128 bytes (CUTLASS, DeepGEMM).
const STRIDE_OPERAND: u64 = (1024 >> 4) << 32;
/// The same for scales: rows of 16 bytes, without swizzle (CUTLASS; DeepGEMM).
const STRIDE_SCALES: u64 = (128 >> 4) << 32;

/// Units of a descriptor's start from one K = 32 step to the next: 32 bytes inside the swizzled row (DeepGEMM and
/// CUTLASS advance the start like this; measured for Hopper's wgmma only).
pub const K_STEP: u64 = 32 >> 4;

/// Rows that one column of scales serves: row `i` is in lane `i % 32` of column `i / 32` (CUTLASS and DeepGEMM; the ISA
/// shows it as a picture).
pub const ROWS_PER_SCALE_COLUMN: u32 = 32;
/// Columns that an atom of scales takes in tensor memory (PTX ISA, "tcgen05.cp", shape `.32x128b`).
pub const COLUMNS_PER_ATOM: u32 = 4;
/// A tile's scales may begin at a multiple of this many rows of an atom, that is at an even column. CUTLASS begins
/// there in tiles of 64 and 192; nobody is known to begin at an odd column, though the ISA does not forbid it.
pub const SCALE_ROWS_STEP: u32 = 64;

/// Bit 23 of the instruction descriptor: scales are UE8M0 (PTX ISA, "Instruction descriptor", block-scaled kinds).
const SCALES_UE8M0: u32 = 1 << 23;
/// Rows of A of all CTAs, bits 27-28 in units of 128 (the same; CUTLASS writes M / 16 from bit 24 on, which is the same
/// bits).
const M_128: u32 = 1 << 27;

/// Descriptor of a K-major operand whose rows are 128 bytes long and 128-byte swizzled. `address` is in the CTA's
/// shared window and a multiple of 1024.
#[inline(always)]
pub const fn operand(address: u32) -> u64 {
    FIXED | SWIZZLE_128B | STRIDE_OPERAND | start(address)
}

/// Descriptor of an atom of scales for `tcgen05.cp`. `address` is in the CTA's shared window and a multiple of 16.
#[inline(always)]
pub const fn scales(address: u32) -> u64 {
    FIXED | STRIDE_SCALES | start(address)
}

/// Instruction descriptor of `kind::mxf8f6f4` with M = 128 in each of `ctas` CTAs, 1 or 2: both operands e4m3 and
/// K-major, which are the zeros. `n` is a multiple of 16 up to 256.
#[inline(always)]
pub const fn instruction(ctas: u32, n: u32) -> u32 {
    SCALES_UE8M0 | (ctas * M_128) | ((n >> 3) << 17)
}

/// Bits of the instruction descriptor that choose byte `step` of both operands' scale words: bits 4-5 for B,
/// 29-30 for A.
#[inline(always)]
pub const fn scale_bytes(step: u32) -> u32 {
    step << 29 | step << 4
}

/// Units of 16 bytes; the window is smaller than the 18 bits.
#[inline(always)]
const fn start(address: u32) -> u64 {
    ((address & 0x3_FFFF) >> 4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::scale_atoms;

    #[test]
    fn constant_parts_are_the_published_ones() {
        assert_eq!(operand(0), 0x4000_4040_0000_0000);
        assert_eq!(scales(0), 0x0000_4008_0000_0000);
    }

    #[test]
    fn addresses_are_in_units_of_sixteen_bytes() {
        assert_eq!(operand(0x400), 0x4000_4040_0000_0040);
        assert_eq!(operand(0x400) + K_STEP, operand(0x420));
        assert_eq!(scales(227 * 1024) & 0x3FFF, (227 * 1024) >> 4);
    }

    #[test]
    fn instructions_are_the_published_ones() {
        assert_eq!(instruction(1, 64), 0x0890_0000);
        assert_eq!(instruction(1, 128), 0x08A0_0000);
        assert_eq!(instruction(1, 256), 0x08C0_0000);
        assert_eq!(instruction(2, 64), 0x1090_0000);
        assert_eq!(instruction(2, 256), 0x10C0_0000);
        assert_eq!(instruction(1, 64) | scale_bytes(1), 0x2890_0010);
        assert_eq!(instruction(1, 64) | scale_bytes(3), 0x6890_0030);
    }

    /// What the copy does with an atom, and what the multiplication reads, meet in every scale.
    #[test]
    fn the_copy_brings_every_scale_where_the_product_looks() {
        for row in 0..scale_atoms::ROWS {
            for step in 0..scale_atoms::COLUMNS {
                let byte = scale_atoms::offset_in_atom(row, step);
                // `.32x128b`: rows of 16 bytes to lanes, words to columns.
                let (lane, column, inside) = (byte / 16, byte % 16 / 4, byte % 4);
                let wanted = (row % 32, row / ROWS_PER_SCALE_COLUMN, step);
                assert_eq!((lane, column, inside), wanted, "row {row}, step {step}");
            }
        }
    }
}
