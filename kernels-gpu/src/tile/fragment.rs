//! Which elements of a 64 x N accumulator a thread of the warpgroup holds.
//!
//! Register `i` of thread `t` is at row `16 (t / 32) + (t % 32) / 4 + 8 ((i / 2) % 2)` and column
//! `8 (i / 4) + 2 (t % 4) + i % 2`.

/// Rows of the accumulator that one warp holds.
pub const WARP_ROWS: u32 = 16;
/// Columns that four consecutive registers of a warp cover.
pub const GROUP_COLS: u32 = 8;

/// Row of register 0 inside the warp's 16 rows; registers 2 and 3 of each four are 8 rows below.
#[inline(always)]
pub const fn row(lane: u32) -> u32 {
    lane / 4
}

/// Column of register 0 inside the group of 8; register 1 is its right neighbour.
#[inline(always)]
pub const fn col(lane: u32) -> u32 {
    2 * (lane % 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_warp_is_held_exactly_once() {
        let mut held = [[0u32; 16]; 16];
        for lane in 0..32 {
            for register in 0..8 {
                let r = row(lane) + 8 * ((register / 2) % 2);
                let c = GROUP_COLS * (register / 4) + col(lane) + register % 2;
                held[r as usize][c as usize] += 1;
            }
        }
        assert!(held.iter().flatten().all(|&n| n == 1));
    }
}
