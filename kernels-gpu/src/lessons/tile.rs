//! What the lessons share: which tile a CTA computes, the scales of its rows, and the way of an accumulator to memory.

use super::Args;
use crate::abi::lesson::TILE;
use crate::ptx::{cvt, ldst, sreg, warp};
use crate::tile::{fragment, raster};

/// A tile of the output: some rows of one expert, by 128 columns.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Expert, the index of its weights.
    pub(super) expert: u32,
    /// First packed row.
    pub(super) row: u32,
    /// Rows that belong to the expert, at least 1.
    pub(super) rows: u32,
    /// Column block.
    pub(super) col_block: u32,
}

impl Tile {
    /// Executed by: any thread. The CTA's tile of `ROWS` rows, if there are as many tiles; the same for every thread.
    ///
    /// The tiles of all experts stand in one list. In an expert the row block moves fastest, so that CTAs which run together
    /// share weights.
    #[inline(always)]
    pub(super) unsafe fn of_cta<const ROWS: u32>(args: &Args) -> Option<Self> {
        let col_blocks = args.n / TILE;
        let mut index = sreg::cta();
        let mut expert = 0;
        while expert < args.tables.experts {
            // SAFETY: the tables have an entry for each expert, by contract of the launch.
            let group = unsafe { args.tables.group(expert) };
            let row_blocks = raster::blocks(group.rows, ROWS);
            let tiles = row_blocks * col_blocks;
            if index < tiles {
                let col_block = raster::quotient(index, row_blocks);
                let above = (index - col_block * row_blocks) * ROWS;
                let left = group.rows - above;
                let rows = if left < ROWS { left } else { ROWS };
                return Some(Self { expert, row: group.first_row + above, rows, col_block });
            }
            index -= tiles;
            expert += 1;
        }
        None
    }

    /// First column.
    #[inline(always)]
    pub(super) const fn column(self) -> u32 {
        self.col_block * TILE
    }

    /// First row of the tile's weights, over all experts.
    #[inline(always)]
    pub(super) const fn weight_row(self, args: &Args) -> u64 {
        self.expert as u64 * args.n as u64 + self.column() as u64
    }

    /// Address of the first scale of the tile's weights.
    #[inline(always)]
    pub(super) const fn scales_b(self, args: &Args) -> u64 {
        args.scales_b + self.weight_row(args) / TILE as u64 * row_bytes(args)
    }

    /// Address of the first scale of the tile's activations.
    #[inline(always)]
    pub(super) const fn scales_a(self, args: &Args) -> u64 {
        args.scales_a + self.row as u64 * row_bytes(args)
    }

    /// Executed by: any thread. `sa * sb` of a K block for a row of the tile; 0 past the expert's last row.
    #[inline(always)]
    pub(super) unsafe fn scale(self, args: &Args, row: u32, kb: u32) -> f32 {
        let offset = u64::from(kb) * 4;
        if row >= self.rows {
            return 0.0;
        }
        // SAFETY: the row is the expert's, and the tensors have `k_blocks` scales a row.
        unsafe {
            let a = load_f32(self.scales_a(args) + u64::from(row) * row_bytes(args) + offset);
            a * load_f32(self.scales_b(args) + offset)
        }
    }

    /// Executed by: warp. Stores what a warp holds of a 64 x 128 accumulator, whose first row is `first` in the tile.
    #[inline(always)]
    pub(super) unsafe fn store(self, args: &Args, first: u32, lane: u32, sum: &[f32; 64]) {
        let [upper, lower] = [0, 8].map(|below| first + fragment::row(lane) + below);
        let column = self.column() + fragment::col(lane);
        let element = |row: u32| u64::from(self.row + row) * u64::from(args.n) + u64::from(column);
        let (mut at_upper, mut at_lower) =
            (args.output + element(upper) * 2, args.output + element(lower) * 2);
        let mut i = 0;
        while i < 64 {
            // SAFETY: only rows of the expert are stored.
            unsafe {
                let pairs = [cvt::bf16x2(sum[i], sum[i + 1]), cvt::bf16x2(sum[i + 2], sum[i + 3])];
                ldst::store_global_u32_if(at_upper, pairs[0], upper < self.rows);
                ldst::store_global_u32_if(at_lower, pairs[1], lower < self.rows);
            }
            at_upper += u64::from(fragment::GROUP_COLS) * 2;
            at_lower += u64::from(fragment::GROUP_COLS) * 2;
            i += 4;
        }
    }
}

/// Executed by: warp, converged. Stores an element of the output, and with it, as one word, its right neighbour, which the
/// lane `distance` further on holds (a power of two, not set in the caller's lane).
#[inline(always)]
pub(super) unsafe fn store_with_neighbour(
    args: &Args,
    element: u64,
    value: f32,
    [lane, distance]: [u32; 2],
    wanted: bool,
) {
    // SAFETY: the warp is converged; the element is inside the output if it is wanted, by contract.
    unsafe {
        let right = f32::from_bits(warp::exchange(value.to_bits(), distance));
        let is_left = lane & distance == 0;
        let pair = cvt::bf16x2(value, right);
        ldst::store_global_u32_if(args.output + element * 2, pair, wanted & is_left);
    }
}

/// Bytes of a row of scales.
#[inline(always)]
pub(super) const fn row_bytes(args: &Args) -> u64 {
    args.k_blocks as u64 * 4
}

/// Executed by: any thread. A float that nobody writes while the kernel runs.
#[inline(always)]
pub(super) unsafe fn load_f32(address: u64) -> f32 {
    // SAFETY: `address` is 4-aligned and readable, by contract.
    f32::from_bits(unsafe { ldst::load_global_i32(address) } as u32)
}
