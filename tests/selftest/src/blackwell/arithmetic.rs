//! What a step of the block-scaled product computes, bit for bit.

use super::drawn;
use crate::bench::Bench;
use crate::fact::{Evidence, Fact, Standing};
use crate::probe::{A, B, M, Probe, ROW, SCALES_A, SCALES_B, STEP, Tensor};
use crate::rule::{Range, Rule};
use expert_gemm::Result;
use expert_gemm_kernels::abi::Arch;
use expert_gemm_kernels::abi::tensor_probe::COLUMNS;
use expert_gemm_kernels::tile::umma;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::values::Values;

/// Rows of B.
const N: usize = 64;

const WHERE: &str = "tests/src/mx/blackwell, the emulator, every claim of equal bits";

/// All of them.
pub const FACTS: [Fact; 4] = [
    Fact {
        id: "fused-sum",
        claim: "32 products and the accumulator are one sum: each term, scaled, is truncated 25 bits below the largest exponent, the sum is exact and truncated to binary32",
        relied_on: WHERE,
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: fused_sum,
    },
    Fact {
        id: "zero-products",
        claim: "a product of zero takes no part in the largest exponent, whatever its scales",
        relied_on: WHERE,
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: zero_products,
    },
    Fact {
        id: "range",
        claim: "a sum beyond the range is infinite, and one below the normal numbers is truncated to a subnormal number",
        relied_on: WHERE,
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: range,
    },
    Fact {
        id: "not-a-number",
        claim: "a NaN code, the scale 255 and a NaN in the accumulator make the sum 0x7FFFFFFF; an infinite accumulator stays",
        relied_on: WHERE,
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: not_a_number,
    },
];

/// One step of a tile: operands, a scale for each row, accumulators.
struct Tile {
    a: Vec<[u8; STEP]>,
    b: Vec<[u8; STEP]>,
    scales_a: Vec<u8>,
    scales_b: Vec<u8>,
    accumulators: Vec<f32>,
}

impl Tile {
    /// Codes of these kinds, scales of one, accumulators of zero.
    fn new(rng: &mut Rng, [a, b]: [Values; 2]) -> Self {
        Self {
            a: drawn(a, rng, M),
            b: drawn(b, rng, N),
            scales_a: vec![127; M],
            scales_b: vec![127; N],
            accumulators: vec![0.0; M * N],
        }
    }

    /// Scales between two bytes.
    fn scale(&mut self, rng: &mut Rng, low: u64, high: u64) {
        for scale in self.scales_a.iter_mut().chain(&mut self.scales_b) {
            *scale = rng.between(low, high) as u8;
        }
    }

    /// Accumulators about as large as products, or a little off.
    fn accumulate(&mut self, rng: &mut Rng, spread: u64) {
        for (at, accumulator) in self.accumulators.iter_mut().enumerate() {
            let (a, b) = (self.scales_a[at / N], self.scales_b[at % N]);
            let off = rng.between(0, 2 * spread) as i32 - spread as i32;
            let power = i32::from(a) + i32::from(b) - 254 + off;
            *accumulator = rng.normals()[0] * 2f32.powi(power.clamp(-126, 120));
        }
    }

    fn by(&self, rule: &Rule) -> Vec<f32> {
        (0..M * N)
            .map(|at| {
                let (i, j) = (at / N, at % N);
                let scales = [self.scales_a[i], self.scales_b[j]];
                rule.step(&self.a[i], &self.b[j], scales, self.accumulators[at])
            })
            .collect()
    }
}

/// Up to four tiles of a probe, each with rows of 32 bytes of its own and columns of its own.
fn ask(bench: &Bench, tiles: &[Tile], others: &[Rule]) -> Result<Evidence> {
    let mut probe = Probe::new(21);
    let gather = |rows: usize, part: &dyn Fn(&Tile, usize) -> [u8; STEP]| {
        let row = |row: usize| {
            let mut whole = [0; ROW];
            for (part_of, tile) in whole.as_chunks_mut::<STEP>().0.iter_mut().zip(tiles) {
                *part_of = part(tile, row);
            }
            whole
        };
        (0..rows).map(row).collect::<Vec<_>>()
    };
    probe.operand(A, &gather(M, &|tile, row| tile.a[row]));
    probe.operand(B, &gather(N, &|tile, row| tile.b[row]));
    let scales = |rows: usize, of: &dyn Fn(&Tile) -> &[u8]| {
        let word = |row| core::array::from_fn(|step| tiles.get(step).map_or(127, |t| of(t)[row]));
        (0..rows).map(word).collect::<Vec<[u8; 4]>>()
    };
    probe.scales(SCALES_A, &scales(M, &|tile| &tile.scales_a));
    probe.scales(SCALES_B, &scales(N, &|tile| &tile.scales_b));
    let mut image = probe.image();
    for (step, tile) in (0..).zip(tiles) {
        let d = step * N as u32;
        image.sums(d, N, |i, j| tile.accumulators[i * N + j]);
        probe.multiply(d, N, step, true).instruction |= umma::scale_bytes(step);
    }
    probe.tensor.clone_from(&image.0);
    let by = |rule: &Rule| {
        let mut tensor = image.clone();
        for (step, tile) in (0..).zip(tiles) {
            let sums = tile.by(rule);
            tensor.sums(step * N as u32, N, |i, j| sums[i * N + j]);
        }
        tensor.0
    };
    let place =
        Box::new(|at: usize| format!("tile {}, {}", at % COLUMNS as usize / N, Tensor::place(at)));
    let evidence = Evidence::new(probe.run(bench)?, by(&Rule::PUBLISHED), place);
    Ok(others.iter().fold(evidence, |evidence, rule| evidence.or(rule.to_string(), by(rule))))
}

const P: Rule = Rule::PUBLISHED;

fn fused_sum(bench: &Bench) -> Result<Evidence> {
    let rng = &mut Rng::new(22);
    let kinds = [
        [Values::Uniform; 2],
        [Values::Gaussian; 2],
        [Values::Tiny, Values::Uniform],
        [Values::Sparse, Values::Uniform],
    ];
    let tiles = kinds.map(|kinds| {
        let mut tile = Tile::new(rng, kinds);
        tile.scale(rng, 117, 137);
        tile.accumulate(rng, 20);
        tile
    });
    let bits = [13, 21, 22, 23, 24, 26, 27].map(|fraction_bits| Rule { fraction_bits, ..P });
    let parts = [4, 8, 16].map(|products| Rule { products, ..P });
    let rest = [Rule { nearest: true, ..P }, Rule { scaled_late: true, ..P }];
    ask(bench, &tiles, &[&bits[..], &parts, &rest].concat())
}

fn zero_products(bench: &Bench) -> Result<Evidence> {
    let rng = &mut Rng::new(23);
    let tiles = [[124, 130], [150, 170], [185, 190], [120, 190]].map(|[low, high]| {
        let mut tile = Tile::new(rng, [Values::Sparse; 2]);
        // Most sums have no other term than the accumulator.
        for row in tile.a.iter_mut().step_by(2) {
            *row = [0; STEP];
        }
        for row in tile.b.iter_mut().step_by(3) {
            *row = [0x80; STEP];
        }
        tile.scale(rng, low, high);
        for accumulator in &mut tile.accumulators {
            *accumulator = rng.normals()[0];
        }
        tile
    });
    let others =
        [-126, -12].map(|exponent| Rule { zero_exponent: Some(exponent), ..Rule::PUBLISHED });
    ask(bench, &tiles, &others)
}

fn range(bench: &Bench) -> Result<Evidence> {
    let rng = &mut Rng::new(24);
    let tiles = [[180, 190], [60, 66], [48, 60], [0, 254]].map(|[low, high]| {
        let mut tile = Tile::new(rng, [Values::Uniform; 2]);
        tile.scale(rng, low, high);
        tile.accumulate(rng, 30);
        tile
    });
    let others = [Range::Flushed, Range::Saturated].map(|range| Rule { range, ..P });
    ask(bench, &tiles, &others)
}

fn not_a_number(bench: &Bench) -> Result<Evidence> {
    let rng = &mut Rng::new(25);
    let mut tiles =
        [[Values::WithNan, Values::Uniform], [Values::Gaussian; 2], [Values::Sparse; 2]].map(
            |kinds| {
                let mut tile = Tile::new(rng, kinds);
                tile.scale(rng, 120, 134);
                tile.accumulate(rng, 4);
                tile
            },
        );
    for at in [5, 64, 127] {
        tiles[1].scales_a[at] = 255;
        tiles[1].scales_b[at / 2] = 255;
    }
    // Zeros do not make a NaN scale a number.
    tiles[1].a[64] = [0; STEP];
    let specials = [0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFFF_FFFF, 0x7F80_0001, 0x8000_0000];
    for (at, accumulator) in tiles[2].accumulators.iter_mut().enumerate().step_by(11) {
        *accumulator = f32::from_bits(specials[at / 11 % specials.len()]);
    }
    let others = [Rule { nan: 0x7FC0_0000, ..P }, Rule { nan_scale: false, ..P }];
    ask(bench, &tiles, &others)
}
