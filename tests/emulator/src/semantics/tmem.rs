//! Tensor memory: addresses, allocation, and the places of scale factors (PTX ISA 9.7.16.1 to 9.7.16.9).
//!
//! The ISA shows the layout of scale factors only as a picture. What stands here is rebuilt from CUTLASS
//! and DeepGEMM, which agree with each other and with cuBLAS's formula; it was not measured.

use std::fmt;

/// Lanes (rows) of the tensor memory of one CTA.
pub const LANES: u32 = 128;
/// Columns of 32 bits.
pub const COLUMNS: u32 = 512;
/// Bytes of one tile of scale factors: 128 rows by 4 blocks of K.
pub const SCALE_TILE_BYTES: usize = 512;

/// A tensor-memory address: bits 31 to 16 are the lane, 15 to 0 the column (PTX ISA 9.7.16.1).
pub const fn address(lane: u32, column: u32) -> u32 {
    lane << 16 | column
}

/// The (lane, column) of an address.
pub const fn place(address: u32) -> (u32, u32) {
    (address >> 16, address & 0xFFFF)
}

/// Where the scale word of row `row` (of A; column of B) lies: (lane, column behind the base). The same
/// content must be in the lanes 32, 64 and 96 further. Its four bytes belong to four blocks of K in a row;
/// the instruction descriptor picks one.
pub const fn scale_word(row: u32) -> (u32, u32) {
    (row % 32, row / 32)
}

/// Columns that the scales of so many rows take. Rows come in groups of 128 as copied, but an
/// instruction reads only these.
pub const fn scale_columns(rows: u32) -> u32 {
    rows.div_ceil(32)
}

/// The lanes that row `row` of a `tcgen05.cp.32x128b.warpx4` is written to. Word `c` (0..4) of the row
/// goes to column `c` behind the address.
pub const fn cp_32x128b_warpx4_lanes(row: u32) -> [u32; 4] {
    [row, row + 32, row + 64, row + 96]
}

/// The offset of a scale factor inside its tile of 512 bytes, for row 0..128 and block of K 0..4.
pub const fn scale_offset_in_tile(row: usize, block: usize) -> usize {
    row % 32 * 16 + row / 32 * 4 + block
}

/// The offset of a scale factor in memory. Tiles lie row-major; `blocks_per_row` is the number of blocks
/// of K in a row, which is rounded up to whole tiles.
pub const fn scale_offset(row: usize, block: usize, blocks_per_row: usize) -> usize {
    let (first_row, first_block) = (row / 128 * 128, block / 4 * 4);
    let tile = (first_block + first_row / 128 * blocks_per_row.next_multiple_of(4)) * 128;
    tile + scale_offset_in_tile(row % 128, block % 4)
}

/// Bytes of all tiles for so many rows and blocks of K.
pub const fn scale_bytes(rows: usize, blocks_per_row: usize) -> usize {
    rows.div_ceil(128) * blocks_per_row.div_ceil(4) * SCALE_TILE_BYTES
}

/// What a kernel did wrong with allocations (PTX ISA 9.7.16.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// The number of columns is not a power of two from 32 to 512.
    Columns(u32),
    /// More columns than an earlier allocation of the CTA asked for.
    Growing {
        /// What the last allocation asked for.
        last: u32,
        /// What this one asks for.
        now: u32,
    },
    /// An allocation after the permit was given up.
    Relinquished,
    /// Nothing of that address and size is allocated.
    NotAllocated {
        /// The address given.
        address: u32,
        /// The number of columns given.
        columns: u32,
    },
    /// The CTA ends with so many columns allocated.
    Leak(u32),
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns(n) => write!(f, "{n} columns: not a power of two from 32 to 512"),
            Self::Growing { last, now } => {
                write!(f, "allocation of {now} columns after one of {last}: it may not grow")
            }
            Self::Relinquished => write!(f, "allocation after relinquish_alloc_permit"),
            Self::NotAllocated { address, columns } => {
                write!(f, "no allocation of {columns} columns at {address:#x}")
            }
            Self::Leak(n) => write!(f, "{n} columns of tensor memory are still allocated at exit"),
        }
    }
}

impl std::error::Error for AllocError {}

/// The tensor memory of one SM, as far as one CTA sees it.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    /// First column and number of columns, in the order of the columns.
    live: Vec<(u32, u32)>,
    last: Option<u32>,
    relinquished: bool,
}

impl Allocator {
    /// `tcgen05.alloc`: the address of whole columns, or nothing while there is no room, when the
    /// hardware would block. The first gap at a multiple of the size is taken; the ISA promises no place.
    ///
    /// # Errors
    /// If the number of columns or the moment is not allowed.
    pub fn alloc(&mut self, columns: u32) -> Result<Option<u32>, AllocError> {
        if !columns.is_power_of_two() || !(32..=COLUMNS).contains(&columns) {
            return Err(AllocError::Columns(columns));
        }
        if self.relinquished {
            return Err(AllocError::Relinquished);
        }
        if let Some(last) = self.last.filter(|&last| columns > last) {
            return Err(AllocError::Growing { last, now: columns });
        }
        let mut places = (0..COLUMNS).step_by(columns as usize);
        let Some(first) = places.find(|&at| self.is_free(at, columns)) else {
            return Ok(None);
        };
        self.last = Some(columns);
        self.live.push((first, columns));
        self.live.sort_unstable();
        Ok(Some(address(0, first)))
    }

    /// `tcgen05.dealloc`.
    ///
    /// # Errors
    /// If it names anything but one live allocation.
    pub fn dealloc(&mut self, address: u32, columns: u32) -> Result<(), AllocError> {
        let Some(i) = self.live.iter().position(|&(first, n)| (first, n) == (address, columns))
        else {
            return Err(AllocError::NotAllocated { address, columns });
        };
        self.live.remove(i);
        Ok(())
    }

    /// `tcgen05.relinquish_alloc_permit`.
    pub fn relinquish(&mut self) {
        self.relinquished = true;
    }

    /// Whether a column belongs to an allocation; all 128 lanes of it do.
    pub fn is_allocated(&self, column: u32) -> bool {
        self.live.iter().any(|&(first, n)| (first..first + n).contains(&column))
    }

    /// The end of the CTA.
    ///
    /// # Errors
    /// If anything is still allocated.
    pub fn exit(&self) -> Result<(), AllocError> {
        match self.live.iter().map(|&(_, n)| n).sum() {
            0 => Ok(()),
            n => Err(AllocError::Leak(n)),
        }
    }

    fn is_free(&self, at: u32, columns: u32) -> bool {
        self.live.iter().all(|&(first, n)| at + columns <= first || first + n <= at)
    }
}

#[cfg(test)]
mod tests;
