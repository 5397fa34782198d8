//! The emulator's own encoding of a tensor map: what the hardware's 128 opaque bytes stand for.

use crate::semantics::swizzle::Swizzle;
use crate::semantics::tma::TileMap;
use expert_gemm::driver::{OutOfBounds, Swizzle as HostSwizzle, TensorMapSpec};

const MAGIC: u32 = 0x504D_5445;

/// A tiled tensor map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TensorMap {
    /// Bytes of an element.
    pub element: u64,
    /// Address of element 0.
    pub address: u64,
    /// Lengths, innermost first.
    pub dims: Vec<u64>,
    /// Strides of dimensions 1 and up, in bytes.
    pub strides: Vec<u64>,
    /// Lengths of the box.
    pub box_dims: Vec<u64>,
    /// Permutation in shared memory.
    pub swizzle: Swizzle,
    /// Whether NaN stands outside of the tensor, instead of zeros.
    pub fill_nan: bool,
}

impl TensorMap {
    /// From the host's description, which has been validated.
    pub fn new(spec: &TensorMapSpec) -> Self {
        Self {
            element: spec.element.bytes(),
            address: spec.address,
            dims: spec.dims.as_slice().to_vec(),
            strides: spec.strides_bytes.as_slice().to_vec(),
            box_dims: spec.box_dims.as_slice().to_vec(),
            swizzle: match spec.swizzle {
                HostSwizzle::None => Swizzle::None,
                HostSwizzle::Bytes32 => Swizzle::B32,
                HostSwizzle::Bytes64 => Swizzle::B64,
                HostSwizzle::Bytes128 => Swizzle::B128,
            },
            fill_nan: spec.out_of_bounds == OutOfBounds::NaN,
        }
    }

    /// As 128 bytes.
    pub fn encode(&self) -> [u8; 128] {
        let mut out = [0; 128];
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = self.dims.len() as u8;
        out[5] = self.element as u8;
        out[6] = match self.swizzle {
            Swizzle::None => 0,
            Swizzle::B32 => 1,
            Swizzle::B64 => 2,
            _ => 3,
        };
        out[7] = u8::from(self.fill_nan);
        out[8..16].copy_from_slice(&self.address.to_le_bytes());
        for (to, dim) in out[16..56].chunks_exact_mut(8).zip(&self.dims) {
            to.copy_from_slice(&dim.to_le_bytes());
        }
        for (to, stride) in out[56..88].chunks_exact_mut(8).zip(&self.strides) {
            to.copy_from_slice(&stride.to_le_bytes());
        }
        for (to, side) in out[88..98].chunks_exact_mut(2).zip(&self.box_dims) {
            to.copy_from_slice(&(*side as u16).to_le_bytes());
        }
        out
    }

    /// From 128 bytes; `None` if they are no map.
    pub fn decode(bytes: &[u8; 128]) -> Option<Self> {
        let word = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let rank = bytes[4] as usize;
        if word(0) as u32 != MAGIC || !(1..=5).contains(&rank) {
            return None;
        }
        Some(Self {
            element: u64::from(bytes[5]),
            address: word(8),
            dims: (0..rank).map(|i| word(16 + 8 * i)).collect(),
            strides: (0..rank - 1).map(|i| word(56 + 8 * i)).collect(),
            box_dims: (0..rank).map(|i| word(88 + 2 * i) & 0xFFFF).collect(),
            swizzle: match bytes[6] {
                0 => Swizzle::None,
                1 => Swizzle::B32,
                2 => Swizzle::B64,
                _ => Swizzle::B128,
            },
            fill_nan: bytes[7] != 0,
        })
    }

    /// What the geometry of boxes needs of it.
    pub fn tile(&self) -> TileMap {
        fn array<T: Copy + Default, U: Copy + TryFrom<T>, const N: usize>(
            from: &[T],
            rest: U,
        ) -> [U; N] {
            std::array::from_fn(|i| from.get(i).and_then(|&x| x.try_into().ok()).unwrap_or(rest))
        }
        TileMap {
            rank: self.dims.len(),
            dims: array(&self.dims, 1),
            strides: array(&self.strides, 0),
            box_dims: array(&self.box_dims, 1),
            element_bytes: self.element as u32,
            swizzle: self.swizzle,
        }
    }

    /// Bytes of the box.
    pub fn box_bytes(&self) -> u64 {
        self.box_dims.iter().product::<u64>() * self.element
    }
}
