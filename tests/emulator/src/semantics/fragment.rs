//! Which thread and register holds which element of a matrix.

/// The accumulator of `wgmma` m64nN, fp32 (PTX ISA 9.7.15.5.1.1.2; H200 measurement): thread 0..128 of
/// the warpgroup and register 0..N/2 to (row, column).
pub const fn wgmma_d(thread: u32, register: u32) -> (u32, u32) {
    let row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (register / 2 % 2);
    let column = 8 * (register / 4) + 2 * (thread % 4) + register % 2;
    (row, column)
}

/// The inverse of [`wgmma_d`]: (row, column) to (thread, register).
pub const fn wgmma_d_owner(row: u32, column: u32) -> (u32, u32) {
    let thread = 32 * (row / 16) + 4 * (row % 8) + column % 8 / 2;
    let register = 4 * (column / 8) + 2 * (row / 8 % 2) + column % 2;
    (thread, register)
}

/// A of `wgmma` in registers (PTX ISA 9.7.15.5.1.1.1; rebuilt from CUTLASS): thread, register 0..4 and byte 0..4 to
/// (row, byte of K). With 8-bit elements a byte is an element; with 16-bit elements (captured on an H100) half `h` of a
/// register is the element `2 * (thread % 4) + h + 8 * (register / 2)` of K: the same bytes.
pub const fn wgmma_a(thread: u32, register: u32, byte: u32) -> (u32, u32) {
    let row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (register % 2);
    let k = 4 * (thread % 4) + byte + 16 * (register / 2);
    (row, k)
}

/// A of `mma.sync` m16n8k32, 8 bits (PTX ISA 9.7.14.5.10): lane, register 0..4 and byte to (row, k).
pub const fn mma_a(lane: u32, register: u32, byte: u32) -> (u32, u32) {
    (lane / 4 + 8 * (register % 2), 4 * (lane % 4) + byte + 16 * (register / 2))
}

/// B of `mma.sync` m16n8k32, 8 bits (PTX ISA 9.7.14.5.10): lane, register 0..2 and byte to (k, column).
pub const fn mma_b(lane: u32, register: u32, byte: u32) -> (u32, u32) {
    (4 * (lane % 4) + byte + 16 * register, lane / 4)
}

/// C and D of `mma.sync` m16n8, fp32 (PTX ISA 9.7.14.5.10): lane and register 0..4 to (row, column).
pub const fn mma_c(lane: u32, register: u32) -> (u32, u32) {
    (lane / 4 + 8 * (register / 2), 2 * (lane % 4) + register % 2)
}

/// The shapes of `tcgen05.ld` and `tcgen05.st` (PTX ISA 9.7.16.8; all but `32x32b` rebuilt from CUTLASS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TmemShape {
    /// `.32x32b`: a lane of the warp is a lane of tensor memory.
    B32x32,
    /// `.16x64b`.
    B16x64,
    /// `.16x128b`.
    B16x128,
    /// `.16x256b`: the fragment of `mma`.
    B16x256,
    /// `.16x32bx2`, whose second half begins `split` columns after the first.
    B16x32x2 {
        /// The immediate offset of the second half, in columns.
        split: u32,
    },
}

impl TmemShape {
    /// Registers for one repetition.
    pub const fn registers(self) -> u32 {
        match self {
            Self::B32x32 | Self::B16x64 | Self::B16x32x2 { .. } => 1,
            Self::B16x128 => 2,
            Self::B16x256 => 4,
        }
    }

    /// Columns from one repetition (`.xN`) to the next.
    pub const fn columns(self) -> u32 {
        match self {
            Self::B32x32 | Self::B16x32x2 { .. } => 1,
            Self::B16x64 => 2,
            Self::B16x128 => 4,
            Self::B16x256 => 8,
        }
    }

    /// Whether `.xN` exists: a power of two, and at most 128 registers.
    pub const fn allows(self, repetitions: u32) -> bool {
        repetitions.is_power_of_two() && repetitions * self.registers() <= 128
    }

    /// Where register `register` of lane `lane` lies: (lane, column) relative to the address operand.
    pub const fn place(self, lane: u32, register: u32) -> (u32, u32) {
        let repetition = register / self.registers() * self.columns();
        let i = register % self.registers();
        let (row, column) = match self {
            Self::B32x32 => (lane, 0),
            Self::B16x64 => (lane / 4 + 8 * (lane % 2), lane / 2 % 2),
            Self::B16x128 => (lane / 4 + 8 * i, lane % 4),
            Self::B16x256 => (lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2),
            Self::B16x32x2 { split } => (lane % 16, lane / 16 * split),
        };
        (row, column + repetition)
    }
}

/// The first lane of tensor memory that warp `warp` of its warpgroup reaches; 32 lanes from there
/// (PTX ISA 9.7.16.8.1).
pub const fn first_lane(warp: u32) -> u32 {
    32 * (warp % 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Every place is inside and none occurs twice.
    fn covers(rows: u32, columns: u32, places: impl Iterator<Item = (u32, u32)>) {
        let mut seen = HashSet::new();
        for (row, column) in places {
            assert!(row < rows && column < columns, "({row}, {column})");
            assert!(seen.insert((row, column)), "({row}, {column}) twice");
        }
        assert_eq!(seen.len() as u32, rows * columns);
    }

    #[test]
    fn fragments_cover_their_matrices() {
        for n in (8..=256).step_by(8) {
            covers(64, n, (0..128).flat_map(|t| (0..n / 2).map(move |i| wgmma_d(t, i))));
        }
        let bytes = |r: u32| (0..r).flat_map(|i| (0..4).map(move |b| (i, b)));
        covers(64, 32, (0..128).flat_map(|t| bytes(4).map(move |(i, b)| wgmma_a(t, i, b))));
        covers(16, 32, (0..32).flat_map(|t| bytes(4).map(move |(i, b)| mma_a(t, i, b))));
        covers(32, 8, (0..32).flat_map(|t| bytes(2).map(move |(i, b)| mma_b(t, i, b))));
        covers(16, 8, (0..32).flat_map(|t| (0..4).map(move |i| mma_c(t, i))));
    }

    #[test]
    fn the_owner_is_the_inverse() {
        for thread in 0..128 {
            for register in 0..128 {
                let (row, column) = wgmma_d(thread, register);
                assert_eq!(wgmma_d_owner(row, column), (thread, register));
            }
        }
    }

    #[test]
    fn a_warp_of_wgmma_holds_what_mma_holds() {
        for lane in 0..32 {
            for register in 0..4 {
                assert_eq!(wgmma_d(lane, register), mma_c(lane, register));
                assert_eq!(wgmma_a(lane, register, 3), mma_a(lane, register, 3));
                // And so does the widest shape of tensor memory.
                assert_eq!(TmemShape::B16x256.place(lane, register), mma_c(lane, register));
            }
        }
        assert_eq!(wgmma_d(127, 127), (63, 255));
        assert_eq!(wgmma_d(37, 6), (25, 10));
    }

    #[test]
    fn tmem_shapes_cover_their_rectangles() {
        for shape in [TmemShape::B32x32, TmemShape::B16x64, TmemShape::B16x128, TmemShape::B16x256]
        {
            let rows = if shape == TmemShape::B32x32 { 32 } else { 16 };
            for n in (0..8).map(|p| 1 << p).filter(|&n| shape.allows(n)) {
                let registers = shape.registers() * n;
                let places = (0..32).flat_map(|l| (0..registers).map(move |i| shape.place(l, i)));
                covers(rows, shape.columns() * n, places);
            }
        }
        for n in [1, 2, 128] {
            let shape = TmemShape::B16x32x2 { split: n };
            covers(16, 2 * n, (0..32).flat_map(|l| (0..n).map(move |i| shape.place(l, i))));
        }
        assert!(TmemShape::B16x256.allows(32) && !TmemShape::B16x256.allows(64));
        assert!(TmemShape::B32x32.allows(128) && !TmemShape::B32x32.allows(3));
        assert_eq!([0, 3, 4, 7].map(first_lane), [0, 96, 0, 96]);
    }
}
