//! What no document states and no machine at hand could answer, one constant for each.
//!
//! The first run on hardware may correct a line here; nothing else should need to change. What only some kernels rely on
//! is an option of a run: [`ScaleCopies`](crate::ScaleCopies).

/// The rank, modulo two, of the CTA that issues for a pair. The ISA allows "a single thread from the CTA pair"
/// (9.7.16.5); every public kernel takes the even one.
pub(crate) const LEADER: usize = 0;

/// Rows of A, of D and of the scales of A in each CTA of a pair, M = 256: the first half in the even CTA
/// (CUTLASS; "layout A" of 9.7.16.10.5, which the ISA shows as a picture).
pub(crate) const PAIR_ROWS: usize = 128;

/// Parts of B that a pair holds: each CTA holds its half of the N rows (CUTLASS, `ThunderKittens`), the even one the
/// first.
pub(crate) const PAIR_PARTS_OF_B: usize = 2;

/// Whether each CTA of a pair has the scales of all N rows of B, and not only those of its half (`ThunderKittens`
/// and CUTLASS send them to both).
pub(crate) const PAIR_HAS_ALL_SCALES_OF_B: bool = true;

/// Whether `cp` for a pair copies the shared memory of each CTA to the tensor memory of the same CTA. The ISA says
/// that both tensor memories are written (9.7.16.9); public kernels rely on each having its own source.
pub(crate) const PAIR_COPIES_ITS_OWN: bool = true;

/// Where row `row` of D lies with M = 64: 16 lanes of each quarter (CUTLASS, `tmem_frg_1sm`).
pub(crate) const fn lane_of_m64(row: u32) -> u32 {
    row / 16 * 32 + row % 16
}
