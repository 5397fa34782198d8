//! The form for many rows an expert: tiles of 128 rows x 192 columns.
//!
//! Prefill waits for L2: of a tile of 128 x 128 it has to deliver 24 KB a K block where the tensor core takes 512 cycles, of
//! this one 28 KB where it takes 768. Each warpgroup multiplies its 64 rows by the left 96 columns and by the right 96, and the
//! two accumulators take turns as in `rows`. Where either has half of a tile left at its end, that is computed as such (see [`half`]).
//!
//! A warp stores a tile in three parts of 64 columns, so that it hardly waits: the first by the copy engine, from shared memory
//! (see [`panel`]), while the right half of the last block multiplies; the middle one from registers; the last one by the copy
//! engine again, written while the next tile's first block multiplies and sent a block later, when nothing of it is under way
//! (at once, if that tile is a half one or has less than four K blocks). 0.6 to 4 % of prefill on an H200.
//!
//! A warp stores from registers alone if not all of its rows are the expert's, or the tile is a half one. A thread has two neighbouring columns in each
//! group of eight, which would be 4 bytes a store. So the tensor map hands out weights in another order
//! ([`WeightOrder::Sets`]): a thread's columns of four groups are eight neighbours, 16 bytes, and four threads store 64 bytes
//! of a row.
//!
//! [`WeightOrder::Sets`]: crate::abi::WeightOrder::Sets

mod half;
mod load;
mod panel;
mod store;

pub(super) use self::load::{copy_tiles, prefetch_maps, scale_block};
pub(super) use self::panel::{PANEL_BYTES, Panels};
use super::math::Math;
use super::wide_tiles::{SET, SHORT, TILE_COLUMNS};
use super::*;
use crate::ptx::wgmma::{self, M64N96, Mma};
use crate::tile::promote::promote_rows;
use crate::tile::scale_chunk;
use crate::tile::work::Work;

/// Columns of half a tile.
const HALF_COLUMNS: u32 = TILE_COLUMNS / 2;
/// Its weights in a slot.
const HALF_BYTES: u32 = HALF_COLUMNS * TILE_K;
/// Accumulators of a thread for a set of columns, and for half a tile.
const SET_SUMS: usize = SET as usize / 2;
const HALF_SUMS: usize = HALF_COLUMNS as usize / 2;

/// Sums of both halves of a tile, or blocks that are being multiplied.
struct Halves {
    left: [f32; HALF_SUMS],
    right: [f32; HALF_SUMS],
}

impl Halves {
    const ZERO: Self = Self { left: [0.0; HALF_SUMS], right: [0.0; HALF_SUMS] };

    #[inline(always)]
    fn unset() -> Self {
        Self { left: M64N96::unset(), right: M64N96::unset() }
    }
}

/// Whether a tile is a half one of all rows, and of the columns that a last block has left.
#[inline(always)]
const fn is_narrow(work: Work) -> bool {
    work.is_half() & (work.rows == TILE)
}

/// `sa * sb` of a K block, of the thread's upper and lower row: for the tile's first two sets of columns, the middle two, and the
/// last two. Weights have a scale for four sets, so the middle ones have that of the first or of the last.
type Scales = [[f32; 2]; 3];

impl Math<'_> {
    /// Executed by: warpgroup. All tiles.
    #[inline(always)]
    pub(super) unsafe fn wide_tiles<O: Output>(&mut self) {
        // SAFETY: all warps of a warpgroup take the same items, so they stay together.
        unsafe {
            let mut work = self.take();
            while work.rows != 0 {
                let mut sums = Halves::ZERO;
                while work.rows != 0 && !work.is_half() {
                    self.wide_tile::<O>(work, &mut sums);
                    work = self.take();
                }
                self.store_last_panel::<O>(&sums);
                while work.is_half() {
                    self.half_tile::<O>(work);
                    work = self.take();
                }
            }
            // Nobody may leave before the copy engine has read its shared memory.
            tma::wait_stores_read();
        }
    }

    /// Executed by: warpgroup. The next item.
    #[inline(always)]
    unsafe fn take(&mut self) -> Work {
        // SAFETY: the warp is converged.
        unsafe {
            self.look_ahead();
            self.next.take().unwrap_or(Work::END)
        }
    }

    /// Executed by: warpgroup. The tile, and its store but for the last panel.
    #[inline(always)]
    unsafe fn wide_tile<O: Output>(&mut self, work: Work, sums: &mut Halves) {
        let blocks = &mut Halves::unset();
        let mut fresh = true;
        let mut left = self.args.k_blocks;
        // SAFETY: the warpgroup is converged; loops and branches are uniform.
        unsafe {
            while left >= 2 * SCALE_CHUNK {
                left -= 2 * SCALE_CHUNK;
                self.run::<O, 2>(work, sums, blocks, left == 0, fresh);
                fresh = false;
            }
            if left >= SCALE_CHUNK {
                left -= SCALE_CHUNK;
                self.run::<O, 1>(work, sums, blocks, left == 0, fresh);
                fresh = false;
            }
            if left > 0 {
                if fresh {
                    self.store_last_panel::<O>(sums);
                    *sums = Halves::ZERO;
                }
                // One to three blocks are left of the last chunk; take its scales from the front.
                let [mut s0, mut s1, mut s2, _] = self.wide_scales(work);
                while left > 0 {
                    left -= 1;
                    let slot = self.start_left(blocks);
                    self.last::<O>(work, sums, blocks, slot, s0, left == 0);
                    (s0, s1, s2) = (s1, s2, s0);
                }
            }
            let above = self.warp * fragment::WARP_ROWS;
            if self.panels.wanted {
                let middle = [sets(&sums.left)[2], sets(&sums.right)[0]];
                self.store_sets::<O, 2>(work, [above, 2 * SET], middle);
            } else {
                self.store_sets::<O, 3>(work, [above, HALF_COLUMNS], sets(&sums.right));
            }
        }
    }

    /// Executed by: warpgroup. Multiplies so many chunks of K blocks, the accumulators taking turns throughout. If the tile is
    /// `fresh`, the last panel of the one before is stored under its first blocks; if it `ends` with them, columns of its left
    /// half are.
    #[inline(always)]
    unsafe fn run<O: Output, const CHUNKS: u32>(
        &mut self,
        work: Work,
        sums: &mut Halves,
        blocks: &mut Halves,
        ends: bool,
        fresh: bool,
    ) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            let mut slot = self.start_left(blocks);
            if fresh {
                self.fill_last_panel::<O>(sums);
                *sums = Halves::ZERO;
            }
            if CHUNKS == 2 {
                let [s0, s1, s2, s3] = self.wide_scales(work);
                slot = self.step_halves(sums, blocks, slot, s0);
                if fresh {
                    self.send_last_panel();
                }
                slot = self.step_halves(sums, blocks, slot, s1);
                slot = self.step_halves(sums, blocks, slot, s2);
                slot = self.step_halves(sums, blocks, slot, s3);
            }
            let [s0, s1, s2, s3] = self.wide_scales(work);
            slot = self.step_halves(sums, blocks, slot, s0);
            if CHUNKS == 1 && fresh {
                self.send_last_panel();
            }
            slot = self.step_halves(sums, blocks, slot, s1);
            slot = self.step_halves(sums, blocks, slot, s2);
            self.last::<O>(work, sums, blocks, slot, s3, ends);
        }
    }

    /// Executed by: warpgroup, while the left half of the block in `slot` is being multiplied. Multiplies the right one,
    /// promotes both, and starts the left half of the next block.
    #[inline(always)]
    unsafe fn step_halves(
        &mut self,
        sums: &mut Halves,
        blocks: &mut Halves,
        slot: u32,
        scales: Scales,
    ) -> u32 {
        // SAFETY: the warpgroup is converged.
        unsafe {
            self.promote_left(sums, blocks, slot, scales);
            M64N96::landed(&mut sums.left);
            let next = self.start_left(blocks);
            self.promote_right::<1>(sums, blocks, slot, scales);
            M64N96::landed(&mut sums.right);
            next
        }
    }

    /// The same with no block to follow. If the tile `ends`, columns of its left half are stored while the right one is being
    /// multiplied.
    #[inline(always)]
    unsafe fn last<O: Output>(
        &mut self,
        work: Work,
        sums: &mut Halves,
        blocks: &mut Halves,
        slot: u32,
        scales: Scales,
        ends: bool,
    ) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            self.promote_left(sums, blocks, slot, scales);
            if ends {
                self.look_ahead();
                self.panels = Panels::of(work, self.warp);
                if self.panels.wanted {
                    self.fill_panel::<O>([sets(&sums.left)[0], sets(&sums.left)[1]]);
                    self.send_panel(0);
                } else {
                    let above = self.warp * fragment::WARP_ROWS;
                    self.store_sets::<O, 3>(work, [above, 0], sets(&sums.left));
                }
            }
            self.promote_right::<0>(sums, blocks, slot, scales);
        }
    }

    /// Executed by: warpgroup. Waits for the next slot and starts the multiplication of the warpgroup's rows by the left half.
    #[inline(always)]
    unsafe fn start_left(&mut self, blocks: &mut Halves) -> u32 {
        // SAFETY: the slot has landed.
        unsafe {
            let slot = self.next_slot();
            self.start_half(&mut blocks.left, slot, 0);
            slot
        }
    }

    /// Executed by: warpgroup. Starts the multiplication of its rows by half of the weights in a slot that has landed.
    #[inline(always)]
    unsafe fn start_half(&self, block: &mut [f32; HALF_SUMS], slot: u32, half: u32) {
        let rows = self.warpgroup() * (OPERAND_BYTES / 2);
        // SAFETY: the slot has landed, by contract.
        unsafe { self.start_rows(block, slot, [half * HALF_BYTES, rows]) }
    }

    /// Executed by: warpgroup. Waits for the next slot.
    #[inline(always)]
    unsafe fn next_slot(&mut self) -> u32 {
        let slot = self.tiles.slot();
        // SAFETY: the barrier is initialised.
        unsafe { mbarrier::wait(self.smem.tile_full(slot), self.tiles.parity()) }
        self.tiles.advance();
        slot
    }

    /// Executed by: warpgroup. Starts the multiplication of 64 rows by half of the weights in a slot that has landed, each so many
    /// bytes into its operand.
    #[inline(always)]
    unsafe fn start_rows(
        &self,
        block: &mut [f32; HALF_SUMS],
        slot: u32,
        [weights, tokens]: [u32; 2],
    ) {
        let [weights, tokens] = self.operands(slot, [weights, tokens]);
        // SAFETY: both operands are 128-byte swizzled tiles of 128-byte rows.
        unsafe {
            wgmma::fence();
            M64N96::start(block, tokens, weights);
            wgmma::commit();
        }
    }

    /// Executed by: warpgroup. Promotes the left half of a block while the right one is being multiplied.
    #[inline(always)]
    unsafe fn promote_left(
        &self,
        sums: &mut Halves,
        blocks: &mut Halves,
        slot: u32,
        [first, middle, _]: Scales,
    ) {
        // SAFETY: the warpgroup is converged; the wait leaves only the right half in flight.
        unsafe {
            self.start_half(&mut blocks.right, slot, 1);
            wgmma::wait::<1>();
            M64N96::landed(&mut blocks.left);
        }
        promote_sets(&mut sums.left, &blocks.left, [first, first, middle]);
    }

    /// Executed by: warpgroup. Promotes the right half, with so many products in flight behind it, and leaves the slot.
    #[inline(always)]
    unsafe fn promote_right<const BEHIND: i64>(
        &self,
        sums: &mut Halves,
        blocks: &mut Halves,
        slot: u32,
        [_, middle, last]: Scales,
    ) {
        // SAFETY: the warpgroup is converged; after the wait nobody of it reads the slot.
        unsafe {
            wgmma::wait::<BEHIND>();
            M64N96::landed(&mut blocks.right);
            self.release_tile(slot);
        }
        promote_sets(&mut sums.right, &blocks.right, [middle, last, last]);
    }

    /// Executed by: warpgroup. `sa * sb` for each block of the next chunk.
    #[inline(always)]
    unsafe fn wide_scales(&mut self, work: Work) -> [Scales; 4] {
        // SAFETY: the warpgroup is converged.
        let (a, [first, last]) = unsafe { self.chunk_of_scales(self.warp * fragment::WARP_ROWS) };
        // Every other tile begins in the middle of a block of weights.
        let middle = if work.col_block.is_multiple_of(2) { first } else { last };
        of_sets(a, [first, middle, last])
    }

    /// Executed by: warpgroup. The next chunk of scales: of the thread's rows, with so many above the warp's, and of the weights.
    #[inline(always)]
    unsafe fn chunk_of_scales(&mut self, above: u32) -> ([[f32; 4]; 2], [[f32; 4]; 2]) {
        // SAFETY: the chunk has landed.
        unsafe {
            let chunk = self.acquire_scales();
            let row = above + fragment::row(self.lane);
            let a = scale_chunk::load_rows(self.smem.scales_a(chunk).at(row * CHUNK_BYTES));
            let b = self.smem.scales_b(chunk);
            let b = [ldst::load_shared_f32x4(b), ldst::load_shared_f32x4(b.at(CHUNK_BYTES))];
            self.release_scales();
            (a, b)
        }
    }
}

/// `sa * sb` for each block of a chunk, of three groups of columns.
#[inline(always)]
fn of_sets(a: [[f32; 4]; 2], [b0, b1, b2]: [[f32; 4]; 3]) -> [Scales; 4] {
    let [f0, f1, f2, f3] = scale_chunk::of_rows(a, b0);
    let [m0, m1, m2, m3] = scale_chunk::of_rows(a, b1);
    let [l0, l1, l2, l3] = scale_chunk::of_rows(a, b2);
    [[f0, m0, l0], [f1, m1, l1], [f2, m2, l2], [f3, m3, l3]]
}

/// `sum += block * scale` of half a tile, each set of columns with its own scales.
#[inline(always)]
fn promote_sets(
    sums: &mut [f32; HALF_SUMS],
    block: &[f32; HALF_SUMS],
    [first, second, third]: [[f32; 2]; 3],
) {
    let ([s0, s1, s2], [b0, b1, b2]) = (sets_mut(sums), sets(block));
    promote_rows(s0, b0, first);
    promote_rows(s1, b1, second);
    promote_rows(s2, b2, third);
}

/// The accumulators of half a tile, by set of columns.
#[inline(always)]
const fn sets(half: &[f32; HALF_SUMS]) -> [&[f32; SET_SUMS]; 3] {
    let ([first, second, third], []) = half.as_chunks() else { unreachable!() };
    [first, second, third]
}

#[inline(always)]
const fn sets_mut(half: &mut [f32; HALF_SUMS]) -> [&mut [f32; SET_SUMS]; 3] {
    let ([first, second, third], []) = half.as_chunks_mut() else { unreachable!() };
    [first, second, third]
}
