//! How many tokens a tile has: what the two kernels differ in.

use super::*;
use crate::abi::mxfp8_gemm_sm90::few;
use crate::tile::scaled_schedule::RowTiles;

/// The tiles of a kernel.
pub(crate) trait Tiles: RowTiles {
    /// Token columns of the form that serves so many.
    fn form(columns: u32) -> u32;

    /// So many trips of a loop that is rarely taken. Where code has to be short, compilers should not know the number.
    fn trips(count: u32) -> u32;

    /// Those of a problem.
    fn of(args: &Args) -> Self;
}

/// Tiles of up to 128 tokens, an atom of scales; of up to 64 where experts have few rows on average, so that those which
/// have many are shared among more CTAs.
#[derive(Clone, Copy)]
pub(crate) struct Large {
    /// Binary logarithm of the height.
    order: u32,
    /// The last experts, 32 at least, are ordered always, all others if this is so.
    orders_all: bool,
}

impl Large {
    const ORDER: u32 = TILE_TOKENS.trailing_zeros();
    /// Rows of an expert, on average, up to which tiles have half the height.
    const FEW_ROWS: u32 = 16;
    /// Those up to which most tiles wait for memory.
    const WAITING_ROWS: u32 = 32;
}

impl Tiles for Large {
    #[inline(always)]
    fn form(columns: u32) -> u32 {
        columns
    }

    #[inline(always)]
    fn trips(count: u32) -> u32 {
        count
    }

    #[inline(always)]
    fn of(args: &Args) -> Self {
        let ScaledTables { experts, problem, .. } = args.tables;
        let up_to =
            |rows: u32| u64::from(problem.problem.rows) <= u64::from(experts) * u64::from(rows);
        Self {
            order: Self::ORDER - up_to(Self::FEW_ROWS) as u32,
            orders_all: !up_to(Self::WAITING_ROWS),
        }
    }
}

impl RowTiles for Large {
    /// A part is 16, 32 or 64 rows.
    const TAIL_PARTS: u32 = 4;
    const FIRST_ABOVE: Option<u32> = Some(32);

    #[inline(always)]
    fn height(self, _: u32) -> u32 {
        1 << self.order
    }

    #[inline(always)]
    fn count(self, rows: u32) -> u32 {
        (rows + self.height(rows) - 1) >> self.order
    }

    #[inline(always)]
    fn ordered_from(self, experts: u32) -> u32 {
        // Experts are looked at in 32s from the first one on: so the last 32 are ordered at least, and at most 63.
        if self.orders_all { 0 } else { experts.saturating_sub(63) }
    }

    #[inline(always)]
    fn in_step(self) -> bool {
        self.order == Self::ORDER
    }
}

/// Tiles of up to 32 tokens, in two forms: code that a launch finds close by, see the kernel's trick 7.
#[derive(Clone, Copy)]
pub(crate) struct Few;

impl Tiles for Few {
    #[inline(always)]
    fn form(columns: u32) -> u32 {
        if columns > 8 { few::TILE_TOKENS } else { 8 }
    }

    #[inline(always)]
    fn trips(count: u32) -> u32 {
        sreg::opaque(u64::from(count)) as u32
    }

    #[inline(always)]
    fn of(_: &Args) -> Self {
        Self
    }
}

impl RowTiles for Few {
    #[inline(always)]
    fn height(self, _: u32) -> u32 {
        few::TILE_TOKENS
    }
}
