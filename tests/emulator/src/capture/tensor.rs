//! Tensor copies: every swizzle, small and large boxes, starts outside of the tensor, and multicast.

use super::inputs::{self, Rng};
use super::{Case, Map};
use expert_gemm::driver::{L2Promotion, OutOfBounds, Swizzle, TensorMapSpec};
use expert_gemm::{Dims, ElementType};

const MODULE: &str = include_str!("../../captures/tma.ptx");

/// The kinds of element that a map may speak of.
const ELEMENTS: [ElementType; 3] = [ElementType::U8, ElementType::Bf16, ElementType::F32];

/// Swizzle, name, and the inner sides of boxes in bytes.
const SWIZZLES: [(Swizzle, &str, &[u64]); 4] = [
    (Swizzle::None, "none", &[16, 64, 128, 256]),
    (Swizzle::Bytes32, "32", &[32]),
    (Swizzle::Bytes64, "64", &[64]),
    (Swizzle::Bytes128, "128", &[128]),
];

/// Rows of boxes.
const ROWS: [u64; 5] = [1, 8, 13, 32, 64];

/// Tiles of a case.
const TILES: u32 = 10;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (swizzle, name, inners) in SWIZZLES {
        for &inner in inners {
            for rows in ROWS {
                if inner * rows > 8192 {
                    continue;
                }
                let seed = 20_000 + cases.len() as u64;
                let element = ELEMENTS[cases.len() % ELEMENTS.len()];
                let tensor = Tensor { element, inner, rows, planes: 1, swizzle };
                cases.push(tensor.case(&format!("tma_2d/{name}/{inner}x{rows}"), seed));
                if rows <= 8 || (rows == 32 && inner <= 128) {
                    let tensor = Tensor { planes: if rows < 32 { 3 } else { 1 }, ..tensor };
                    cases.push(tensor.case(&format!("tma_3d/{name}/{inner}x{rows}"), seed + 500));
                }
            }
        }
    }
    for (swizzle, name, inner) in [(Swizzle::None, "none", 64), (Swizzle::Bytes128, "128", 128)] {
        for rows in [8, 40] {
            let seed = 21_500 + cases.len() as u64;
            let tensor = Tensor { element: ElementType::U8, inner, rows, planes: 1, swizzle };
            cases.push(tensor.multicast(format!("tma_multicast/{name}/{inner}x{rows}"), seed));
        }
    }
    cases
}

/// A tensor and the box that is copied from it.
#[derive(Clone, Copy)]
struct Tensor {
    element: ElementType,
    /// Inner side of the box in bytes.
    inner: u64,
    rows: u64,
    planes: u64,
    swizzle: Swizzle,
}

impl Tensor {
    /// Elements, rows and planes of the tensor: none a multiple of the box.
    fn dims(&self) -> [u64; 3] {
        [(2 * self.inner + 16) / self.element.bytes() - 1, 2 * self.rows + 3, 4]
    }

    fn row_bytes(&self) -> u64 {
        2 * self.inner + 16
    }

    fn map(&self, rank: usize) -> Map {
        let row = self.row_bytes();
        let [_, rows, _] = self.dims();
        let spec = TensorMapSpec {
            element: self.element,
            address: 0,
            dims: Dims::new(&self.dims()[..rank]),
            strides_bytes: Dims::new(&[row, row * rows][..rank - 1]),
            box_dims: Dims::new(
                &[self.inner / self.element.bytes(), self.rows, self.planes][..rank],
            ),
            swizzle: self.swizzle,
            l2_promotion: L2Promotion::None,
            out_of_bounds: OutOfBounds::Zero,
        };
        Map { input: 1, spec }
    }

    fn box_bytes(&self) -> u32 {
        (self.inner * self.rows * self.planes) as u32
    }

    /// Bytes of the region that the box lands in: room for offsets of up to 1152 bytes.
    fn region(&self) -> u32 {
        (self.box_bytes().next_multiple_of(128) + 1280).next_multiple_of(16)
    }

    /// A start along each dimension: inside, before, behind, far away. Along the rows it is a multiple of 16 bytes:
    /// the hardware answers any other with an illegal instruction.
    fn start(&self, rng: &mut Rng, tile: u32) -> [u32; 3] {
        let inner = self.inner / self.element.bytes();
        let sides = [inner, self.rows, self.planes];
        let mut start = [0; 3];
        for (axis, (start, dim)) in start.iter_mut().zip(self.dims()).enumerate() {
            let (dim, side) = (dim as i64, sides[axis] as i64);
            *start = match (tile + axis as u32 * 3) % 7 {
                0 | 3 => 0,
                1 => rng.below(dim as u64) as i64,
                2 => dim - side / 2 - 1,
                4 => -(rng.below(side as u64) as i64),
                5 => dim - 1,
                _ if tile.is_multiple_of(2) => -side,
                _ => dim + 5,
            } as i32 as u32;
        }
        let unit = 16 / self.element.bytes() as i32;
        start[0] = ((start[0] as i32).div_euclid(unit) * unit) as u32;
        start
    }

    /// Offsets of destinations: multiples of 128 that begin at every phase of a swizzle.
    fn case(&self, name: &str, seed: u64) -> Case {
        let rank = if name.starts_with("tma_3d") { 3 } else { 2 };
        let mut rng = Rng::new(seed);
        let table = (0..TILES).flat_map(|tile| {
            let [x, y, z] = self.start(&mut rng, tile);
            [x, y, z, ((tile + seed as u32) % 10) * 128]
        });
        let table = inputs::words(table);
        let symbol = if rank == 3 { "tma_3d" } else { "tma_2d" };
        let element = self.element.name();
        self.launch(format!("{name}/{element}"), symbol, rank, table, TILES, 1)
    }

    fn multicast(&self, name: String, seed: u64) -> Case {
        let mut rng = Rng::new(seed);
        let table = (0..TILES).flat_map(|tile| {
            let [x, y, _] = self.start(&mut rng, tile);
            [x, y, (tile % 9) * 128, [3, 1, 2, 3][tile as usize % 4]]
        });
        self.launch(name, "tma_multicast", 2, inputs::words(table), 2 * TILES, 2)
    }

    fn launch(
        &self,
        name: String,
        symbol: &'static str,
        rank: usize,
        table: Vec<u8>,
        blocks: u32,
        cluster: u32,
    ) -> Case {
        let [_, rows, planes] = self.dims();
        let bytes = self.row_bytes() * rows * planes;
        Case {
            name,
            module: MODULE,
            symbol,
            blocks,
            cluster,
            threads: 128,
            smem_bytes: 1024 + self.region(),
            maps: vec![self.map(rank)],
            inputs: vec![table, inputs::pattern(bytes as usize)],
            words: vec![self.box_bytes(), self.region()],
            output_bytes: (blocks * self.region()) as usize,
            tiles: blocks,
        }
    }
}
