//! Tokens of the FP8 GEMM arrive in one box of as many rows as the tensor core takes, and of a large tile in two or four.

use crate::abi::TensorMap;
use crate::abi::fp8_block::TOKEN_BOX_ROWS;
use crate::ptx::tma::MapAddress;

/// Address of the tensor maps of the tokens, one for each of [`TOKEN_BOX_ROWS`].
#[derive(Clone, Copy)]
pub(crate) struct TokenMaps(pub(crate) u64);

impl TokenMaps {
    /// The map of boxes of `rows`, one of [`TOKEN_BOX_ROWS`].
    #[inline(always)]
    pub(crate) fn in_boxes_of(self, rows: u32) -> MapAddress {
        let index = rows.trailing_zeros() - TOKEN_BOX_ROWS[0].trailing_zeros();
        MapAddress(self.0 + u64::from(index * size_of::<TensorMap>() as u32))
    }
}

/// Columns that the tokens of a tile take in its form: 8, 16, 32 or 64 when swapped, else all 128 rows.
#[inline(always)]
pub(crate) const fn token_span(rows: u32) -> u32 {
    if rows > 64 {
        128
    } else if rows > 32 {
        64
    } else if rows > 16 {
        32
    } else if rows > 8 {
        16
    } else {
        8
    }
}
