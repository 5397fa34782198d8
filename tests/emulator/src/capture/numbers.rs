//! Conversions to narrow types, products and fused multiply-adds.

use super::Case;
use super::inputs::{self, Rng};

const MODULE: &str = include_str!("../../captures/numbers.ptx");
const TILES: u32 = 20;

/// Program, numbers of a thread, and the smallest and largest exponent of what it distinguishes.
const PROGRAMS: [(&str, u32, [u32; 2]); 3] = [
    ("narrow", 2, [127 - 26, 127 + 17]),
    ("e4m3", 2, [127 - 11, 127 + 10]),
    ("arithmetic", 4, [127 - 3, 127 + 3]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (program, (symbol, numbers, exponents)) in PROGRAMS.into_iter().enumerate() {
        for part in 0..4 {
            let seed = 60_000 + program as u64 * 16 + u64::from(part);
            let mut rng = Rng::new(seed);
            let count = TILES * 128 * numbers;
            let drawn = (0..count).map(|_| draw(&mut rng, part, exponents));
            let drawn = inputs::words(drawn.collect::<Vec<_>>());
            cases.push(Case {
                name: format!("{symbol}/{part}"),
                module: MODULE,
                symbol,
                blocks: TILES,
                cluster: 1,
                threads: 128,
                smem_bytes: 0,
                maps: Vec::new(),
                inputs: vec![drawn],
                words: Vec::new(),
                output_bytes: (TILES * 128 * 8) as usize,
                tiles: TILES,
            });
        }
    }
    cases
}

/// The bits of one number: part 0 anything, part 1 the range of the target, part 2 ties and their neighbours, part 3
/// special values and the edges of the exponent.
fn draw(rng: &mut Rng, part: u32, exponents: [u32; 2]) -> u32 {
    let bits = (rng.bits() >> 20) as u32;
    let [low, high] = exponents;
    let sign = bits & 0x8000_0000;
    let exponent = (low + rng.below(u64::from(high - low + 1)) as u32) << 23;
    match part {
        0 => bits,
        1 => sign | exponent | (bits & 0x007F_FFFF),
        2 => {
            // A one at a random place and zeros below it is a tie for some width; move it by one or not at all.
            let place = rng.below(23) as u32;
            let tie = ((bits & 0x007F_FFFF) >> place | 1) << place & 0x007F_FFFF;
            (sign | exponent | tie).wrapping_add([0, 1, u32::MAX][rng.below(3) as usize])
        }
        _ => {
            const SPECIAL: [u32; 12] = [
                0,
                1,
                0x007F_FFFF,
                0x0080_0000,
                0x3F80_0000,
                0x7F7F_FFFF,
                0x7F80_0000,
                0x7F80_0001,
                0x7FC0_0000,
                0x7FFF_FFFF,
                0x477F_F000,
                0x43E0_0000,
            ];
            let special = SPECIAL[rng.below(SPECIAL.len() as u64) as usize];
            sign | if rng.below(3) == 0 { exponent | (bits & 3) } else { special }
        }
    }
}
