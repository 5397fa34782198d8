//! Where the scales of a lane's row go.

use super::Args;
use super::owners::Owner;
use crate::abi::scale_atoms;
use crate::ptx::ldst;
use crate::tile::atoms::{LINE_BYTES, Place};

/// What one of the four lanes of a row writes of the row's scales.
#[derive(Clone, Copy)]
pub(super) struct Target {
    place: Place,
    /// The atom.
    atom: u64,
    /// The lane's word of a line.
    word: u32,
    /// Whether there is anything to write.
    wanted: bool,
}

impl Target {
    /// For row `row` in column block `k_block`, which belongs to `owner` if `wanted`.
    #[inline(always)]
    pub(super) fn new(
        args: &Args,
        owner: Owner,
        row: u32,
        k_block: u32,
        lane: u32,
        wanted: bool,
    ) -> Self {
        let place = Place::new(row.wrapping_sub(owner.first_row), owner.rows);
        let atom_row = owner.first_scale_row / scale_atoms::ROWS + place.block;
        let atom = u64::from(atom_row) * u64::from(args.k_blocks) + u64::from(k_block);
        let atom = args.scales + atom * u64::from(scale_atoms::BYTES);
        Self { place, atom, word: lane % 4, wanted }
    }

    /// Executed by: any thread. Stores zeros as the scales of rows that the group does not have, in lines without any
    /// that it has.
    #[inline(always)]
    pub(super) unsafe fn store_blank_lines(&self) {
        let [first, past] = self.place.blanks;
        let past = if self.wanted { past } else { 0 };
        let mut line = first + self.word;
        while line < past {
            // SAFETY: the line is one of the group's atom.
            unsafe {
                ldst::store_global_u32x4(self.atom + u64::from(line * LINE_BYTES), [0; 4]);
            }
            line += 4;
        }
    }

    /// Executed by: any thread. Stores the row's four scales, and zeros after them where no row follows in the line.
    #[inline(always)]
    pub(super) unsafe fn store(&self, scales: u32) {
        let Place { line, word, last, .. } = self.place;
        let own = self.word == word;
        let wanted = self.wanted & (own | ((self.word > word) & last));
        let address = self.atom + u64::from(line * LINE_BYTES + self.word * 4);
        // SAFETY: the word is one of the group's atom.
        unsafe { ldst::store_global_u32_if(address, if own { scales } else { 0 }, wanted) }
    }
}
