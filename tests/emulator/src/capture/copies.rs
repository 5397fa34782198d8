//! Bulk copies, and small copies with a zero-filled rest.

use super::Case;
use super::inputs::{self, Rng};

const MODULE: &str = include_str!("../../captures/copies.ptx");
const REGION: u32 = 4096;
const SOURCE_BYTES: u32 = 8192;
const TILES: u32 = 12;

pub(super) fn cases() -> Vec<Case> {
    (0..8).map(bulk).chain((0..6).map(small)).collect()
}

fn bulk(index: u32) -> Case {
    let mut rng = Rng::new(40_000 + u64::from(index));
    let table = (0..TILES).flat_map(|tile| {
        let bytes = match tile % 4 {
            0 => 16,
            1 => REGION,
            _ => 16 * (1 + rng.below(u64::from(REGION) / 16)) as u32,
        };
        let to = 16 * rng.below(u64::from((REGION - bytes) / 16 + 1)) as u32;
        let from = 16 * rng.below(u64::from((SOURCE_BYTES - bytes) / 16 + 1)) as u32;
        [from, to, bytes, 0]
    });
    case(format!("bulk/{index}"), "bulk", inputs::words(table))
}

fn small(index: u32) -> Case {
    let mut rng = Rng::new(41_000 + u64::from(index));
    let table = (0..TILES * 128).flat_map(|thread| {
        // Each thread owns 32 bytes of the region, so that no two copies meet.
        let slot = thread % 128 * 32;
        let wide = rng.below(2) as u32;
        let size = if wide == 1 { 16 } else { 4 };
        let read = match rng.below(4) {
            0 => 0,
            1 => size,
            _ => rng.below(u64::from(size) + 1) as u32,
        };
        let to = slot + size * rng.below(u64::from(32 / size)) as u32;
        let from = size * rng.below(u64::from(SOURCE_BYTES / size)) as u32;
        [from, to, read, wide]
    });
    case(format!("small/{index}"), "small", inputs::words(table))
}

fn case(name: String, symbol: &'static str, table: Vec<u8>) -> Case {
    Case {
        name,
        module: MODULE,
        symbol,
        blocks: TILES,
        cluster: 1,
        threads: 128,
        smem_bytes: 1024 + REGION,
        maps: Vec::new(),
        inputs: vec![table, inputs::pattern(SOURCE_BYTES as usize)],
        words: vec![REGION, 0],
        output_bytes: (TILES * REGION) as usize,
        tiles: TILES,
    }
}
