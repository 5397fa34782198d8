//! The tiles of the last wave, cut into parts by rows, where that makes more of the CTAs busy.
//!
//! 4096 tiles are 31 waves of 132 and 4 tiles more, which alone would take as long as a wave.

use super::raster;

/// Which tiles are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tail {
    /// The first tile that is cut.
    pub first: u64,
    /// Parts of each: 1 (none is cut), 2 or 4.
    pub parts: u32,
}

impl Tail {
    /// No tile is cut.
    pub const NONE: Self = Self { first: u64::MAX, parts: 1 };
    /// So many waves are there at least before tiles that are cut.
    pub const WAVES_BEFORE: u64 = 2;

    /// Of `tiles` tiles for `clusters` clusters.
    #[inline(always)]
    #[must_use]
    pub const fn new(tiles: u64, clusters: u32) -> Self {
        if tiles < Self::WAVES_BEFORE * clusters as u64 || tiles > u32::MAX as u64 {
            return Self::NONE;
        }
        let waves = raster::quotient(tiles as u32, clusters);
        let left = tiles as u32 - waves * clusters;
        let parts = if left == 0 || left > clusters / 2 {
            return Self::NONE;
        } else if left > clusters / 4 {
            2
        } else {
            4
        };
        Self { first: tiles - left as u64, parts }
    }

    /// Whether the item is part of a tile.
    #[inline(always)]
    pub const fn reached(self, item: u64) -> bool {
        item >= self.first
    }

    /// The tile of an item, and the part of it.
    #[inline(always)]
    pub const fn tile(self, item: u64) -> (u64, u32) {
        if self.reached(item) {
            let inside = (item - self.first) as u32;
            let tile = if self.parts == 4 { inside / 4 } else { inside / 2 };
            (self.first + tile as u64, inside - tile * self.parts)
        } else {
            (item, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_every_tile_is_an_item() {
        for clusters in [1u32, 2, 3, 7, 66, 132] {
            for tiles in 0..(5 * u64::from(clusters)) {
                let tail = Tail::new(tiles, clusters);
                let mut item = 0;
                for expected in 0..tiles {
                    let parts = if expected >= tail.first { tail.parts } else { 1 };
                    for part in 0..parts {
                        assert_eq!(tail.tile(item), (expected, part), "{tiles} on {clusters}");
                        assert_eq!(tail.reached(item), expected >= tail.first);
                        item += 1;
                    }
                }
                assert!(tail.tile(item).0 >= tiles);
            }
        }
    }

    #[test]
    fn parts_fit_the_last_wave() {
        for tiles in 0..2000u64 {
            let tail = Tail::new(tiles, 132);
            if tail == Tail::NONE {
                continue;
            }
            assert!(tail.first >= 2 * 132 && tail.first.is_multiple_of(132));
            let parts = (tiles - tail.first) * u64::from(tail.parts);
            assert!(tail.parts > 1 && parts <= 132, "{tiles}");
        }
        assert_eq!(Tail::new(4096, 132), Tail { first: 4092, parts: 4 });
        assert_eq!(Tail::new(31 * 132 + 50, 132), Tail { first: 4092, parts: 2 });
        assert_eq!(Tail::new(31 * 132 + 100, 132), Tail::NONE);
        assert_eq!(Tail::new(1 << 40, 132), Tail::NONE);
    }
}
