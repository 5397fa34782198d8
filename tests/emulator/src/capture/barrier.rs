//! What mbarrier answers after each of a few operations.

use super::Case;
use super::inputs::{self, Rng};

const MODULE: &str = include_str!("../../captures/barrier.ptx");
const TILES: u32 = 60;
const STEPS: u32 = 32;

pub(super) fn cases() -> Vec<Case> {
    (0..4).map(case).collect()
}

fn case(index: u32) -> Case {
    let mut rng = Rng::new(70_000 + u64::from(index));
    let mut script = Vec::new();
    let mut counts = Vec::new();
    for _ in 0..TILES {
        let count = 1 + rng.below(4) as u32;
        counts.push(count);
        script.extend(operations(&mut rng, count));
    }
    Case {
        name: format!("barrier/{index}"),
        module: MODULE,
        symbol: "barrier",
        blocks: TILES,
        cluster: 1,
        threads: 32,
        smem_bytes: 1024,
        maps: Vec::new(),
        inputs: vec![inputs::words(script), inputs::words(counts)],
        words: Vec::new(),
        output_bytes: (TILES * (STEPS + 1) * 4) as usize,
        tiles: TILES,
    }
}

/// Operations that are defined: none arrives at a phase that needs no arrival any more.
fn operations(rng: &mut Rng, count: u32) -> Vec<u32> {
    let (mut pending, mut bytes) = (count, 0i64);
    let mut operations = Vec::new();
    for _ in 0..STEPS {
        let amount = 16 * (1 + rng.below(4) as i64);
        // What the phase still needs is likelier than anything else, so that phases do end.
        let (operation, amount) = match rng.below(5) {
            0 | 1 if pending > 0 => (0, 0),
            2 if pending > 0 => (3, amount),
            3 | 4 if bytes > 0 => (2, bytes),
            _ if bytes < 0 => (1, -bytes),
            _ if rng.below(2) == 0 => (1, amount),
            _ => (2, amount),
        };
        match operation {
            0 => pending -= 1,
            1 => bytes += amount,
            2 => bytes -= amount,
            _ => {
                bytes += amount;
                pending -= 1;
            }
        }
        if pending == 0 && bytes == 0 {
            pending = count;
        }
        operations.extend([operation, amount as u32]);
    }
    operations
}
