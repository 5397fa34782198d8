//! Performs a list of copies and products in tensor memory, and shows what they left.
//!
//! ```text
//! 4 warps      tensor memory = the caller's words; shared memory = the caller's bytes
//! one thread   for each step: copy scales | multiply | copy a box     (descriptors are the caller's)
//!              commit, and wait for it
//! 4 warps      output = tensor memory, by the load that the caller names, or shared memory
//! ```
//!
//! In a pair the even CTA's thread performs the steps for both, and each CTA has memory of its own.
//!
//! It decides nothing: what a kernel assumes about the hardware is in the bits that the caller passes, so that a tile of
//! it can confirm or refute one assumption alone.

use crate::abi::TensorProbeParams;
use crate::abi::tensor_probe::*;
use crate::ptx::tcgen05::{self, PAIR, Scaled, Tmem};
use crate::ptx::tma::{self, MapAddress};
use crate::ptx::{Smem, ldst, mbarrier, sreg, sync, warp};
use core::mem::offset_of;

/// Shared memory behind the caller's: a barrier for the caller's bytes, one for boxes, one for the steps.
const LANDED: u32 = SHARED_BYTES;
const BOXED: u32 = LANDED + 8;
const DONE: u32 = BOXED + 8;
const TENSOR_ADDRESS: u32 = DONE + 8;
const _: () = assert!(TENSOR_ADDRESS + 8 == SMEM_BYTES);

/// Rank of the CTA that performs the steps, and both CTAs, a bit each.
const LEADER: u32 = 0;
const BOTH: u16 = 0b11;

/// Columns that [`tcgen05::load_lanes`] and its kin take at once.
const GROUP: u32 = 8;

/// Executed by: every thread of `GROUP` CTAs. `base` is the generic address of `p` in parameter space.
#[inline(always)]
pub(crate) unsafe fn kernel<const GROUP: u32>(p: &TensorProbeParams, base: u64) {
    let rank = if GROUP == PAIR { sreg::cta_rank() } else { LEADER };
    let p = &of_cta(p, rank);
    let smem = ldst::dynamic_smem();
    let thread = sreg::thread();
    // SAFETY: barriers and tensor memory are made once, before the CTA's barrier and so before any use; every branch
    // is uniform for the warps that take it; the host kept the contract of addresses.
    unsafe {
        let warp = warp::broadcast(thread / 32, 0);
        if thread == 0 {
            for barrier in [LANDED, BOXED, DONE] {
                mbarrier::init(smem.at(barrier), 1);
            }
            sync::fence_mbarrier_init();
            sync::fence_proxy_async();
        }
        if warp == 0 {
            tcgen05::alloc::<GROUP, COLUMNS>(smem.at(TENSOR_ADDRESS));
            tcgen05::relinquish_alloc_permit::<GROUP>();
        }
        meet::<GROUP>();
        let tensor = Tmem(ldst::load_shared_u32(smem.at(TENSOR_ADDRESS)));

        if warp == 0 && warp::elect() {
            mbarrier::arrive_expect(smem.at(LANDED), SHARED_BYTES);
            tma::load_bulk(smem, p.shared, SHARED_BYTES, smem.at(LANDED));
        }
        warp::sync();
        fill(p, tensor.lane(warp * 32), thread);
        mbarrier::wait(smem.at(LANDED), 0);
        meet::<GROUP>();

        if warp == 0 && rank == LEADER {
            if warp::elect() {
                let map = MapAddress(base + offset_of!(TensorProbeParams, map) as u64);
                perform::<GROUP>(p, smem, tensor, map);
                if GROUP == PAIR {
                    tcgen05::commit_multicast::<GROUP>(smem.at(DONE), BOTH);
                } else {
                    tcgen05::commit::<GROUP>(smem.at(DONE));
                }
            }
            warp::sync();
        }
        mbarrier::wait(smem.at(DONE), 0);
        meet::<GROUP>();

        show(p, smem, tensor.lane(warp * 32), thread);
        meet::<GROUP>();
        if warp == 0 {
            tcgen05::dealloc::<GROUP, COLUMNS>(tensor);
        }
    }
}

/// The parameter with the memory of the CTA of that rank.
#[inline(always)]
fn of_cta(p: &TensorProbeParams, rank: u32) -> TensorProbeParams {
    let (tensor, shared) = (u64::from(rank * OUTPUT_WORDS * 4), u64::from(rank * SHARED_BYTES));
    let mut mine = *p;
    mine.shared += shared;
    mine.tensor += tensor;
    mine.output += tensor;
    mine
}

/// Executed by: every thread of the group. A barrier that also orders tensor memory.
#[inline(always)]
unsafe fn meet<const GROUP: u32>() {
    // SAFETY: every thread comes here, by contract.
    unsafe {
        tcgen05::fence_before_thread_sync();
        if GROUP == PAIR {
            sync::cluster_sync();
        } else {
            sync::cta_sync();
        }
        tcgen05::fence_after_thread_sync();
    }
}

/// Executed by: every thread of the CTA; `lanes` are those of its warp.
#[inline(always)]
unsafe fn fill(p: &TensorProbeParams, lanes: Tmem, lane: u32) {
    let (mut column, columns) = (0, p.columns);
    while column < columns {
        let source = p.tensor + u64::from((lane * COLUMNS + column) * 4);
        // SAFETY: the words are inside of the caller's tensor, and the columns inside of the allocation.
        unsafe {
            let (low, high) = (load(source), load(source + 16));
            tcgen05::store_lanes(lanes.column(column), &[low, high]);
        }
        column += GROUP;
    }
}

/// Executed by: one thread.
#[inline(always)]
unsafe fn perform<const GROUP: u32>(
    p: &TensorProbeParams,
    smem: Smem,
    tensor: Tmem,
    map: MapAddress,
) {
    // Descriptors have addresses in units of 16 bytes in their low bits.
    let start = u64::from(smem.0 >> 4);
    let mut boxes = 0;
    let mut step = 0;
    while step < p.count {
        let source = p.steps + u64::from(step) * size_of::<ProbeStep>() as u64;
        // SAFETY: the list has the step, and what it says is the caller's to answer for.
        unsafe {
            let [kind, d, instruction, accumulate] = load(source);
            let [a_low, a_high, b_low, b_high] = load(source + 16);
            let [scales_a, scales_b, ..] = load(source + 32);
            let a = start + (u64::from(a_high) << 32 | u64::from(a_low));
            let b = start + (u64::from(b_high) << 32 | u64::from(b_low));
            if kind == COPY {
                tcgen05::copy_32x128b::<GROUP>(tensor.column(d), a);
            } else if kind == PRODUCT {
                let (scales_a, scales_b) = (tensor.column(scales_a), tensor.column(scales_b));
                let operands =
                    Scaled { d: tensor.column(d), a, b, instruction, scales_a, scales_b };
                tcgen05::mma_block_scaled::<GROUP>(operands, accumulate != 0);
            } else {
                let boxed = smem.at(BOXED);
                mbarrier::arrive_expect(boxed, accumulate);
                tma::load_2d(smem.at(d), map, [0, instruction], boxed);
                mbarrier::wait(boxed, boxes & 1);
                boxes += 1;
            }
        }
        step += 1;
    }
}

/// Executed by: every thread of the CTA; `lanes` are those of its warp.
#[inline(always)]
unsafe fn show(p: &TensorProbeParams, smem: Smem, lanes: Tmem, thread: u32) {
    let (warp, lane) = (thread / 32, thread % 32);
    let output = |word: u32| p.output + u64::from(word) * 4;
    // SAFETY: the output has `OUTPUT_WORDS` words, and every branch is uniform.
    unsafe {
        if p.view == VIEW_LANES {
            let (mut column, columns) = (0, p.columns);
            while column < columns {
                let values = tcgen05::load_lanes(lanes.column(column));
                store(output(thread * COLUMNS + column), &values);
                column += GROUP;
            }
        } else if p.view == VIEW_32_COLUMNS {
            let (mut group, groups) = (0, p.columns / 32);
            while group < groups {
                let values = tcgen05::load_32_columns(lanes.column(group * 32));
                store_halves(output(((warp * 16 + group) * 32 + lane) * 32), &values);
                group += 1;
            }
        } else if p.view == VIEW_16_COLUMNS {
            let (mut group, groups) = (0, p.columns / 16);
            while group < groups {
                let values = tcgen05::load_16_columns(lanes.column(group * 16));
                store_halves(output(((warp * 32 + group) * 32 + lane) * 16), &values);
                group += 1;
            }
        } else {
            let (mut word, words) = (thread * 4, p.shared_words);
            while word < words {
                store(output(word), &[ldst::load_shared_u32x4(smem.at(word * 4))]);
                word += THREADS * 4;
            }
        }
    }
}

/// Executed by: any thread.
#[inline(always)]
unsafe fn load(address: u64) -> [u32; 4] {
    let mut words = [0; 4];
    // SAFETY: `address` is 16-aligned and readable, by contract.
    unsafe { ldst::load_global_u32x4_if(&mut words, address, true) }
    words
}

/// Executed by: any thread.
#[inline(always)]
unsafe fn store<const N: usize>(mut address: u64, words: &[[u32; 4]; N]) {
    for &words in words {
        // SAFETY: `address` is 16-aligned and has room, by contract.
        unsafe { ldst::store_global_u32x4(address, words) }
        address += 16;
    }
}

/// Executed by: any thread. The bits of both halves, one after the other.
#[inline(always)]
unsafe fn store_halves<const N: usize>(mut address: u64, halves: &[[f32; N]; 2]) {
    for half in halves {
        for &[x, y, z, w] in half.as_chunks().0 {
            let words = [x, y, z, w].map(f32::to_bits);
            // SAFETY: `address` is 16-aligned and has room, by contract.
            unsafe { ldst::store_global_u32x4(address, words) }
            address += 16;
        }
    }
}
