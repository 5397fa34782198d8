//! How a warp stores 64 columns of its 16 rows by the copy engine, if all of the rows are the expert's: it fills a panel of shared
//! memory, and sends it. A warp has room for one: who fills it waits until the one before is read.

use super::super::wide_tiles::{OUTPUT_MAP, PANEL};
use super::store::words;
use super::*;

/// Columns of a panel: a row of them is one 128-byte swizzle atom.
const COLUMNS: u32 = PANEL[0];
/// Bytes of a row of a panel, and of a panel.
const ROW_BYTES: u32 = COLUMNS * 2;
pub(in super::super) const PANEL_BYTES: u32 = fragment::WARP_ROWS * ROW_BYTES;
const _: () = assert!(PANEL[1] == fragment::WARP_ROWS && ROW_BYTES == 128);
const _: () = assert!(COLUMNS == 2 * SET && TILE_COLUMNS == 3 * COLUMNS);
/// A panel begins where a swizzle does.
const _: () = assert!(PANELS.is_multiple_of(1024) && PANEL_BYTES.is_multiple_of(1024));

/// Where a warp's panels of a tile go, if it has any.
#[derive(Clone, Copy)]
pub(in super::super) struct Panels {
    /// Column and row of the first.
    corner: [u32; 2],
    pub(super) wanted: bool,
}

impl Panels {
    pub(in super::super) const NONE: Self = Self { corner: [0; 2], wanted: false };

    /// A warp has panels if all of its rows are to be stored.
    #[inline(always)]
    pub(super) const fn of(work: Work, warp: u32) -> Self {
        let above = warp * fragment::WARP_ROWS;
        Self {
            corner: [work.col_block * TILE_COLUMNS, work.row + above],
            wanted: above + fragment::WARP_ROWS <= work.stored_rows,
        }
    }
}

/// The map of boxes of a panel.
#[inline(always)]
pub(super) fn output_map(args: &Args) -> MapAddress {
    args.tokens.in_boxes_of(TOKEN_BOX_ROWS[OUTPUT_MAP])
}

impl Math<'_> {
    /// Executed by: warp, converged. Stores the last columns of a tile, if they are wanted.
    #[inline(always)]
    pub(super) unsafe fn store_last_panel<O: Output>(&mut self, sums: &Halves) {
        // SAFETY: the warp is converged, by contract.
        unsafe {
            self.fill_last_panel::<O>(sums);
            self.send_last_panel();
        }
    }

    /// Executed by: warp, converged. Fills the panel with the last columns of a tile.
    #[inline(always)]
    pub(super) unsafe fn fill_last_panel<O: Output>(&self, sums: &Halves) {
        let [_, first, second] = sets(&sums.right);
        // SAFETY: the warp is converged, by contract.
        unsafe { self.fill_panel::<O>([first, second]) }
    }

    /// Executed by: warp, converged. Sends the last columns of a tile, if they are wanted. They are then stored.
    #[inline(always)]
    pub(super) unsafe fn send_last_panel(&mut self) {
        // SAFETY: the warp is converged, by contract.
        unsafe { self.send_panel(2) }
        self.panels.wanted = false;
    }

    /// Executed by: warp, converged. Fills the panel with two sets of columns.
    #[inline(always)]
    pub(super) unsafe fn fill_panel<O: Output>(&self, sets: [&[f32; SET_SUMS]; 2]) {
        // SAFETY: the panel is the warp's own, and read by the copies before.
        unsafe {
            // The lane that sends is any one.
            tma::wait_stores_read();
            warp::sync();
            self.write_panel::<O>(self.smem.panel(self.warp), sets);
        }
    }

    /// Executed by: warp, converged, after it filled the panel. Has it copied to the columns that are so many panels to the right, if
    /// they are wanted.
    #[inline(always)]
    pub(super) unsafe fn send_panel(&self, right: u32) {
        // SAFETY: the panel is filled, by contract; the box has no rows but the expert's.
        unsafe {
            warp::sync();
            if warp::elect() & self.panels.wanted {
                // NOTE(measured): the fence waits until the warp's writes are done. One lane's is enough, behind the barrier.
                sync::fence_proxy_async_shared();
                let [column, row] = self.panels.corner;
                let corner = [column + right * COLUMNS, row];
                tma::store_2d(output_map(self.args), corner, self.smem.panel(self.warp));
                tma::commit_stores();
            }
            // NOTE(measured): without it ptxas takes all that follows as divergent, and spills.
            warp::sync();
        }
    }

    /// Executed by: any thread of the warp. Its rows of the sets, in the order of the 128-byte swizzle. Lanes of odd rows write the
    /// right set first, so that eight lanes meet eight different banks.
    #[inline(always)]
    unsafe fn write_panel<O: Output>(&self, panel: Smem, [left, right]: [&[f32; SET_SUMS]; 2]) {
        let lane = sreg::opaque_u32(self.lane);
        let row = fragment::row(lane);
        let odd = row % 2;
        let chunk = (odd * 4 + lane % 4) ^ (row % 8);
        let target = panel.at(row * ROW_BYTES + chunk * 16);
        let other = panel.at(row * ROW_BYTES + (chunk ^ 4) * 16);
        let mut lower = 0;
        while lower < 2 {
            let (left, right) = (words::<O>(left, lower), words::<O>(right, lower));
            let below = lower as u32 * 8 * ROW_BYTES;
            // SAFETY: the panel is the warp's own, by contract.
            unsafe {
                ldst::store_shared_u32x4(target.at(below), if odd == 1 { right } else { left });
                ldst::store_shared_u32x4(other.at(below), if odd == 1 { left } else { right });
            }
            lower += 1;
        }
    }
}
