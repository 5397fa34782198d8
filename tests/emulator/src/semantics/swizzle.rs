//! The swizzles of shared memory, as functions of absolute byte addresses.
//!
//! PTX ISA 5.5.6 (tensor copies) and 9.7.15.5.1 (matrix descriptors). The 32, 64 and 128 byte modes were
//! compared with an H200 byte for byte, also with destinations 128, 256 and 512 bytes off a boundary of
//! 1024: the exclusive or uses bits of the absolute address, not of an offset in the tile. The two modes
//! with larger atoms follow the tables of the ISA.

/// How 16-byte chunks are permuted inside a block of shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swizzle {
    /// Nothing moves.
    None,
    /// 32-byte rows; repeats every 256 bytes.
    B32,
    /// 64-byte rows; repeats every 512 bytes.
    B64,
    /// 128-byte rows; repeats every 1024 bytes.
    B128,
    /// 128-byte rows that move in atoms of 32 bytes; repeats every 512 bytes.
    B128Atom32,
    /// 128-byte rows that move in atoms of 64 bytes; repeats every 256 bytes.
    B128Atom64,
}

impl Swizzle {
    /// Every mode.
    pub const ALL: [Self; 6] =
        [Self::None, Self::B32, Self::B64, Self::B128, Self::B128Atom32, Self::B128Atom64];

    /// The physical address of the byte that lies at `address` in the unswizzled layout. Its own inverse.
    pub const fn apply(self, address: u32) -> u32 {
        address
            ^ match self {
                Self::None => 0,
                Self::B32 => ((address >> 7) & 1) << 4,
                Self::B64 => ((address >> 7) & 3) << 4,
                Self::B128 => ((address >> 7) & 7) << 4,
                Self::B128Atom32 => ((address >> 7) & 3) << 5,
                Self::B128Atom64 => ((address >> 7) & 1) << 6,
            }
    }

    /// Bytes in one row of the pattern; the inner dimension of a box may not be longer. Without swizzle
    /// there are no rows: the 16 bytes of a chunk.
    pub const fn span(self) -> u32 {
        match self {
            Self::None => 16,
            Self::B32 => 32,
            Self::B64 => 64,
            Self::B128 | Self::B128Atom32 | Self::B128Atom64 => 128,
        }
    }

    /// Bytes after which the pattern repeats.
    pub const fn period(self) -> u32 {
        match self {
            Self::None => 16,
            Self::B32 | Self::B128Atom64 => 256,
            Self::B64 | Self::B128Atom32 => 512,
            Self::B128 => 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutes_whole_chunks_within_a_period() {
        for mode in Swizzle::ALL {
            for address in 0..8192 {
                let physical = mode.apply(address);
                assert_eq!(mode.apply(physical), address, "its own inverse");
                assert_eq!(physical / mode.period(), address / mode.period());
                // A chunk stays together, and a row of the bank stays a row.
                assert_eq!(physical % 16, address % 16);
                assert_eq!(physical / 128, address / 128);
                assert_eq!(physical - address / 128 * 128, mode.apply(address % 1024) % 128);
                assert_eq!(mode.apply(address + mode.period()), physical + mode.period());
            }
        }
    }

    #[test]
    fn the_pattern_does_not_repeat_earlier() {
        for mode in Swizzle::ALL {
            if mode != Swizzle::None {
                let half = mode.period() / 2;
                assert!((0..mode.period()).any(|a| mode.apply(a + half) != mode.apply(a) + half));
            }
        }
    }

    #[test]
    fn constants_of_the_128_byte_mode() {
        // Row r of a tile on its boundary: chunk c lies at chunk c ^ r.
        for row in 0..8 {
            for chunk in 0..8 {
                let at = 0x4000 + row * 128 + chunk * 16;
                assert_eq!(Swizzle::B128.apply(at), 0x4000 + row * 128 + (chunk ^ row) * 16);
            }
        }
        assert_eq!(Swizzle::B128Atom32.apply(3 << 7), 3 << 7 | 3 << 5);
        assert_eq!(Swizzle::B128Atom64.apply(3 << 7), 3 << 7 | 1 << 6);
    }
}
