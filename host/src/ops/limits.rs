//! The numbers that every operation has in common: their bounds, and how many tiles they can make.

use crate::abi::{ElementType, SCALE_BLOCK, scale_atoms};
use crate::error::{Error, Result};

/// Most experts of one call. Every block of the kernel walks the group tables once, and beyond this
/// number that walk, not the product, would be the work.
pub const MAX_EXPERTS: u64 = 65_536;

/// Most packed rows of one call: offsets and TMA coordinates are signed 32-bit.
pub const MAX_ROWS: u64 = i32::MAX as u64;

/// Most columns and most elements of the reduction: `problem_sizes` holds them as signed 32-bit.
pub const MAX_SIDE: u64 = i32::MAX as u64 / SCALE_BLOCK as u64 * SCALE_BLOCK as u64;

/// Most bytes of one expert's weights: the stride of a tensor map's outer dimension has 40 bits.
pub const MAX_WEIGHT_BYTES: u64 = (1 << 40) - 1;

/// Most rows of packed block scales: `blockscale_offsets` are signed 32-bit and multiples of 128.
pub const MAX_SCALE_ROWS: u64 =
    i32::MAX as u64 / scale_atoms::ROWS as u64 * scale_atoms::ROWS as u64;

/// Bytes of a packed tensor, or `None` if they do not fit 64 bits.
pub(crate) fn size(shape: &[u64], element: ElementType) -> Option<u64> {
    shape.iter().try_fold(element.bytes(), |bytes, &dim| bytes.checked_mul(dim))
}

/// Most tiles of `tile` rows that disjoint groups can have: every expert with rows may end in a partial one.
pub(super) const fn row_tiles(rows: u64, experts: u64, tile: u64) -> u64 {
    let active = if experts < rows { experts } else { rows };
    if active == 0 || tile == 0 {
        return 0;
    }
    rows.saturating_add(active.saturating_mul(tile - 1)) / tile
}

pub(crate) fn rows_and_experts(rows: u64, experts: u64) -> Result<()> {
    range("rows", rows, 0, MAX_ROWS, "split the rows over several calls")?;
    range("experts", experts, 0, MAX_EXPERTS, "split the experts over several calls")
}

pub(super) fn weights(n: u64, k: u64) -> Result<()> {
    side("n", n, "pad the weights with zero columns")?;
    side("k", k, "pad the reduction with zeros")?;
    let weight = n.saturating_mul(k);
    range("n * k", weight, 0, MAX_WEIGHT_BYTES, "split the columns over several calls")
}

pub(crate) fn side(field: &'static str, given: u64, remedy: &'static str) -> Result<()> {
    range(field, given, 1, MAX_SIDE, remedy)?;
    multiple(field, given, SCALE_BLOCK, remedy)
}

/// `scale_rows` of a problem that has work if `empty` is false.
pub(crate) fn scale_rows(given: u64, empty: bool) -> Result<()> {
    let remedy = "allocate `Mxfp8GroupedQuant::max_scale_rows`, or the sum over the experts of their rows \
                  rounded up to 128";
    let min = if empty { 0 } else { u64::from(scale_atoms::ROWS) };
    range("scale_rows", given, min, MAX_SCALE_ROWS, remedy)?;
    multiple("scale_rows", given, scale_atoms::ROWS, remedy)
}

/// Tiles are numbered by 32 bits. `side` is the field that makes them, beside the rows.
pub(super) fn tiles(given: u64, side: &'static str) -> Result<()> {
    let max = u64::from(u32::MAX);
    if given > max {
        return Err(Error::TooManyTiles { given, max, side });
    }
    Ok(())
}

pub(super) fn fits(tensor: &'static str, shape: &[u64], element: ElementType) -> Result<()> {
    size(shape, element).map(drop).ok_or(Error::SizeOverflow { tensor })
}

pub(super) fn output_type(given: ElementType) -> Result<()> {
    if matches!(given, ElementType::Bf16 | ElementType::F16) {
        return Ok(());
    }
    Err(Error::OutputType { given })
}

/// A hint is of rows that there are.
pub(super) fn expected_rows(expected: u64, rows: u64) -> Result<()> {
    range("expected_rows", expected, 0, rows, "expect no more than there is room for, or make room")
}

fn range(field: &'static str, given: u64, min: u64, max: u64, remedy: &'static str) -> Result<()> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(Error::OutOfRange { field, given, min, max, remedy })
}

fn multiple(field: &'static str, given: u64, multiple: u32, remedy: &'static str) -> Result<()> {
    let multiple = u64::from(multiple);
    if given.is_multiple_of(multiple) {
        return Ok(());
    }
    Err(Error::NotMultiple { field, given, multiple, remedy })
}
