//! Outputs of whole problems, tile by tile, on every core.

use core::sync::atomic::{AtomicU16, Ordering};
use rayon::prelude::*;

/// Output columns of a tile.
pub const COLUMNS: usize = 32;
/// Rows of a tile, at most: they share one decoding of the weights.
const ROWS: usize = 64;

/// Bits of a matrix of `experts.len()` rows and `n` columns. Rows without an expert hold `untouched`.
///
/// `decode` makes what the tiles of a row share. `tile` computes some rows of an expert, [`COLUMNS`] columns from the
/// one that it is told.
pub fn sweep<R: Send + Sync>(
    n: usize,
    experts: &[Option<usize>],
    untouched: u16,
    decode: impl Fn(usize) -> R + Sync + Send,
    tile: impl Fn(usize, usize, &[&R]) -> Vec<[u16; COLUMNS]> + Sync + Send,
) -> Vec<u16> {
    let mut rows: Vec<(usize, usize)> = experts
        .iter()
        .enumerate()
        .filter_map(|(row, expert)| expert.map(|expert| (expert, row)))
        .collect();
    rows.sort_by_key(|&(expert, _)| expert);
    let decoded: Vec<R> = rows.par_iter().map(|&(_, row)| decode(row)).collect();
    let output: Vec<AtomicU16> =
        (0..experts.len() * n).map(|_| AtomicU16::new(untouched)).collect();

    // Tiles: an expert, a range of the sorted rows, the first column.
    let mut tiles = Vec::new();
    let mut first = 0;
    for members in rows.chunk_by(|p, q| p.0 == q.0) {
        for start in (first..first + members.len()).step_by(ROWS) {
            let range = start..(start + ROWS).min(first + members.len());
            tiles.extend((0..n).step_by(COLUMNS).map(|c| (members[0].0, range.clone(), c)));
        }
        first += members.len();
    }
    tiles.into_par_iter().for_each(|(expert, range, column)| {
        let of_tile: Vec<&R> = decoded[range.clone()].iter().collect();
        let computed = tile(expert, column, &of_tile);
        for (bits, &(_, row)) in computed.iter().zip(&rows[range]) {
            for (to, &bits) in output[row * n + column..][..COLUMNS].iter().zip(bits) {
                to.store(bits, Ordering::Relaxed);
            }
        }
    });
    output.into_iter().map(AtomicU16::into_inner).collect()
}
