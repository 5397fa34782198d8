//! ldmatrix and stmatrix.

use super::Case;
use super::inputs::{self, Rng};

const MODULE: &str = include_str!("../../captures/matrix.ptx");
const TILES: u32 = 24;

/// Program and number of matrices.
const LOADS: [(&str, u32); 6] = [
    ("ldmatrix_x1", 1),
    ("ldmatrix_x1_trans", 1),
    ("ldmatrix_x2", 2),
    ("ldmatrix_x2_trans", 2),
    ("ldmatrix_x4", 4),
    ("ldmatrix_x4_trans", 4),
];
const STORES: [(&str, u32); 6] = [
    ("stmatrix_x1", 1),
    ("stmatrix_x1_trans", 1),
    ("stmatrix_x2", 2),
    ("stmatrix_x2_trans", 2),
    ("stmatrix_x4", 4),
    ("stmatrix_x4_trans", 4),
];

pub(super) fn cases() -> Vec<Case> {
    let loads = LOADS.into_iter().map(|(symbol, matrices)| {
        let seed = 50_000 + u64::from(matrices) + symbol.len() as u64 * 16;
        case(symbol, inputs::bytes(seed, (TILES * 2048) as usize), seed, 128 * matrices)
    });
    let stores = STORES.into_iter().map(|(symbol, matrices)| {
        let seed = 51_000 + u64::from(matrices) + symbol.len() as u64 * 16;
        case(symbol, inputs::bytes(seed, (TILES * 128 * matrices) as usize), seed, 2048)
    });
    loads.chain(stores).collect()
}

/// Offsets of rows, all different within a tile: a shuffle of the 128 rows of 16 bytes. The first tile has them in
/// order, one matrix behind the other.
fn rows(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed ^ 0xABCD);
    let offsets = (0..TILES).flat_map(|tile| {
        let mut order: Vec<u32> = (0..128).map(|row| row * 16).collect();
        if tile > 0 {
            for i in (1..order.len()).rev() {
                order.swap(i, rng.below(i as u64 + 1) as usize);
            }
        }
        order.truncate(32);
        order
    });
    inputs::words(offsets)
}

fn case(symbol: &'static str, contents: Vec<u8>, seed: u64, tile_bytes: u32) -> Case {
    Case {
        name: symbol.to_owned(),
        module: MODULE,
        symbol,
        blocks: TILES,
        cluster: 1,
        threads: 32,
        smem_bytes: 2048,
        maps: Vec::new(),
        inputs: vec![contents, rows(seed)],
        words: Vec::new(),
        output_bytes: (TILES * tile_bytes) as usize,
        tiles: TILES,
    }
}
