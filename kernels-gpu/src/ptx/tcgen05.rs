//! The tensor core with a memory of its own (PTX ISA, "`TensorCore` 5th Generation Family Instructions").
//!
//! Tensor memory (TMEM) has 128 lanes x 512 columns of 32-bit words. `GROUP` is the number of CTAs that an instruction
//! works for: [`ONE_CTA`], or [`PAIR`], the two CTAs of a cluster whose ranks differ in the last bit. All instructions of
//! a kernel must say the same (PTX ISA, with each of them; ptxas refuses others from 13.0 on).
//!
//! Where LLVM's intrinsic takes a pointer into shared or tensor memory, Rust cannot declare it: it has no pointers
//! of these address spaces. Those are `asm!`, which LLVM may copy into both arms of a branch; that is harmless as
//! long as whole warps take the branch, and the golden counts show it.

use super::Smem;
use core::arch::asm;

/// `.cta_group::1`.
pub(crate) const ONE_CTA: u32 = 1;
/// `.cta_group::2`.
pub(crate) const PAIR: u32 = 2;

unsafe extern "C" {
    #[link_name = "llvm.nvvm.tcgen05.relinq.alloc.permit.cg1"]
    fn tcgen05_relinquish_alloc_permit_cg1();
    #[link_name = "llvm.nvvm.tcgen05.relinq.alloc.permit.cg2"]
    fn tcgen05_relinquish_alloc_permit_cg2();
    #[link_name = "llvm.nvvm.tcgen05.fence.before.thread.sync"]
    fn tcgen05_fence_before_thread_sync();
    #[link_name = "llvm.nvvm.tcgen05.fence.after.thread.sync"]
    fn tcgen05_fence_after_thread_sync();
}

/// An address in tensor memory: lane in bits 16..32, column in bits 0..16.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tmem(pub(crate) u32);

impl Tmem {
    /// The address so many columns further on.
    #[inline(always)]
    pub(crate) const fn column(self, columns: u32) -> Self {
        Self(self.0 + columns)
    }

    /// The address so many lanes further on.
    #[inline(always)]
    pub(crate) const fn lane(self, lanes: u32) -> Self {
        Self(self.0 + (lanes << 16))
    }
}

/// Executed by: warp, converged; one in each CTA of the group, which wait for each other. Writes the address of
/// `COLUMNS` columns to `target`; waits until they are free.
#[inline(always)]
pub(crate) unsafe fn alloc<const GROUP: u32, const COLUMNS: u32>(target: Smem) {
    const { assert!(COLUMNS.is_power_of_two() && COLUMNS >= 32 && COLUMNS <= 512) }
    // SAFETY: `target` is 4 bytes of shared memory, and the warp gives the columns back, by contract.
    unsafe {
        asm!("tcgen05.alloc.cta_group::{group}.sync.aligned.shared::cta.b32 [{target}], {columns};",
            group = const GROUP, target = in(reg32) target.0, columns = const COLUMNS,
            options(nostack));
    }
}

/// Executed by: as [`alloc`]. Lets other CTAs of the multiprocessor allocate; this one no longer may.
#[inline(always)]
pub(crate) unsafe fn relinquish_alloc_permit<const GROUP: u32>() {
    // SAFETY: the whole warp calls it, by contract.
    unsafe {
        if GROUP == PAIR {
            tcgen05_relinquish_alloc_permit_cg2();
        } else {
            tcgen05_relinquish_alloc_permit_cg1();
        }
    }
}

/// Executed by: the warp that allocated, converged; one in each CTA of the group. Gives the columns back.
#[inline(always)]
pub(crate) unsafe fn dealloc<const GROUP: u32, const COLUMNS: u32>(address: Tmem) {
    // SAFETY: `address` came from `alloc::<COLUMNS>`, and nobody uses it any more, by contract.
    unsafe {
        asm!("tcgen05.dealloc.cta_group::{group}.sync.aligned.b32 {address}, {columns};",
            group = const GROUP, address = in(reg32) address.0, columns = const COLUMNS,
            options(nostack));
    }
}

/// Executed by: any thread, before it arrives somewhere. Orders what it knows of tensor memory before the arrival.
#[inline(always)]
pub(crate) unsafe fn fence_before_thread_sync() {
    // SAFETY: a fence has no operands.
    unsafe { tcgen05_fence_before_thread_sync() }
}

/// Executed by: any thread, after it waited somewhere. Orders its later uses of tensor memory after the wait.
#[inline(always)]
pub(crate) unsafe fn fence_after_thread_sync() {
    // SAFETY: a fence has no operands.
    unsafe { tcgen05_fence_after_thread_sync() }
}

/// Executed by: one thread. Copies 32 rows of 16 bytes, described by `source`, to four columns: word `c` of row `r`
/// to column `c` of lanes `r`, `r + 32`, `r + 64` and `r + 96`. Each CTA of a pair copies its own rows, at the same
/// addresses.
///
/// It comes before every later [`mma_block_scaled`] of the thread, without a wait.
#[inline(always)]
pub(crate) unsafe fn copy_32x128b<const GROUP: u32>(target: Tmem, source: u64) {
    // SAFETY: the columns are allocated and free, and the rows have landed, by contract.
    unsafe {
        asm!("tcgen05.cp.cta_group::{group}.32x128b.warpx4 [{target}], {source};",
            group = const GROUP, target = in(reg32) target.0, source = in(reg64) source,
            options(nostack));
    }
}

/// Operands of [`mma_block_scaled`]. Over a pair, every address and descriptor holds in both CTAs; of `a` and `d` each
/// CTA has 128 rows, the even one the first, of `b` each has half of the rows, and of `scales_b` each has all.
#[derive(Clone, Copy)]
pub(crate) struct Scaled {
    /// The accumulator: row `i` of `a` in lane `i`, row `j` of `b` in column `j`.
    pub(crate) d: Tmem,
    /// Shared-memory descriptor of `a`.
    pub(crate) a: u64,
    /// Shared-memory descriptor of `b`.
    pub(crate) b: u64,
    /// Instruction descriptor.
    pub(crate) instruction: u32,
    /// Scales of `a`: row `i` in lane `i % 32`, column `i / 32`.
    pub(crate) scales_a: Tmem,
    /// Scales of `b`, alike.
    pub(crate) scales_b: Tmem,
}

/// Executed by: one thread. `d = a * b^T`, plus the old `d` if `accumulate`, over 32 elements of K with a scale for
/// each row. Asynchronous: see [`commit`].
#[inline(always)]
pub(crate) unsafe fn mma_block_scaled<const GROUP: u32>(operands: Scaled, accumulate: bool) {
    // SAFETY: descriptors and columns are valid and theirs to use, by contract.
    unsafe {
        asm!(
            "{{",
            ".reg .pred accumulate;",
            "setp.ne.u32 accumulate, {accumulate}, 0;",
            "tcgen05.mma.cta_group::{group}.kind::mxf8f6f4.block_scale.block32 [{d}], {a}, {b}, {instruction}, [{scales_a}], [{scales_b}], accumulate;",
            "}}",
            group = const GROUP,
            accumulate = in(reg32) u32::from(accumulate),
            d = in(reg32) operands.d.0,
            a = in(reg64) operands.a,
            b = in(reg64) operands.b,
            instruction = in(reg32) operands.instruction,
            scales_a = in(reg32) operands.scales_a.0,
            scales_b = in(reg32) operands.scales_b.0,
            options(nostack)
        );
    }
}

/// Executed by: one thread. Arrives on `barrier` once, when every earlier copy and product of the thread is done.
#[inline(always)]
pub(crate) unsafe fn commit<const GROUP: u32>(barrier: Smem) {
    // SAFETY: `barrier` is initialised, by contract.
    unsafe {
        asm!("tcgen05.commit.cta_group::{group}.mbarrier::arrive::one.shared::cluster.b64 [{barrier}];",
            group = const GROUP, barrier = in(reg32) barrier.0, options(nostack));
    }
}

/// Executed by: one thread. As [`commit`], on the same barrier of every CTA of the cluster whose bit is set in `ctas`.
#[inline(always)]
pub(crate) unsafe fn commit_multicast<const GROUP: u32>(barrier: Smem, ctas: u16) {
    // SAFETY: `barrier` is initialised in those CTAs, and none of them has exited, by contract.
    unsafe {
        asm!("tcgen05.commit.cta_group::{group}.mbarrier::arrive::one.shared::cluster.multicast::cluster.b64 [{barrier}], {ctas};",
            group = const GROUP, barrier = in(reg32) barrier.0, ctas = in(reg16) ctas,
            options(nostack));
    }
}

macro_rules! load {
    ($name:ident, $count:literal, $registers:literal, $columns:literal;
        $low0:ident $($low:ident)*, $high0:ident $($high:ident)*; $i0:literal $($i:literal)*) => {
        #[doc = concat!("Executed by: warp, converged. ", $columns, " columns of its 32 lanes: the lower 16 lanes, then the upper.")]
        ///
        /// Register `4 g + i` of thread `t` is lane `t / 4 + 8 (i / 2)` of the half and column `8 g + 2 (t % 4) + i % 2`,
        /// as in a fragment of `mma`. Two loads and their wait are one function because nobody may touch the registers
        /// between them.
        #[inline(always)]
        pub(crate) unsafe fn $name(address: Tmem) -> [[f32; $registers]; 2] {
            let mut low = [0.0; $registers];
            let mut high = [0.0; $registers];
            // SAFETY: the lanes are the warp's own and the columns hold results, by contract.
            unsafe {
                asm!(
                    concat!("tcgen05.ld.sync.aligned.16x256b.", $count, ".b32 {{{", stringify!($low0), "}", $(", {", stringify!($low), "}",)* "}}, [{low}];"),
                    concat!("tcgen05.ld.sync.aligned.16x256b.", $count, ".b32 {{{", stringify!($high0), "}", $(", {", stringify!($high), "}",)* "}}, [{high}];"),
                    "tcgen05.wait::ld.sync.aligned;",
                    low = in(reg32) address.0,
                    high = in(reg32) address.lane(16).0,
                    $low0 = out(reg32) low[$i0],
                    $($low = out(reg32) low[$i],)*
                    $high0 = out(reg32) high[$i0],
                    $($high = out(reg32) high[$i],)*
                    options(nostack)
                );
            }
            [low, high]
        }
    };
}

load!(load_16_columns, "x2", 8, "16";
    a0 a1 a2 a3 a4 a5 a6 a7, b0 b1 b2 b3 b4 b5 b6 b7; 0 1 2 3 4 5 6 7);
load!(load_32_columns, "x4", 16, "32";
    a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15,
    b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 b10 b11 b12 b13 b14 b15;
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

/// Executed by: warp, converged. 8 columns of its 32 lanes: word `i` of the result is column `i` of the thread's lane.
#[inline(always)]
pub(crate) unsafe fn load_lanes(address: Tmem) -> [[u32; 4]; 2] {
    let (a, b, c, d): (u32, u32, u32, u32);
    let (e, f, g, h): (u32, u32, u32, u32);
    // SAFETY: the lanes are the warp's own and the columns were written, by contract.
    unsafe {
        asm!(
            "tcgen05.ld.sync.aligned.32x32b.x8.b32 {{{a}, {b}, {c}, {d}, {e}, {f}, {g}, {h}}}, [{address}];",
            "tcgen05.wait::ld.sync.aligned;",
            a = out(reg32) a, b = out(reg32) b, c = out(reg32) c, d = out(reg32) d,
            e = out(reg32) e, f = out(reg32) f, g = out(reg32) g, h = out(reg32) h,
            address = in(reg32) address.0, options(nostack)
        );
    }
    [[a, b, c, d], [e, f, g, h]]
}

/// Executed by: warp, converged. The inverse of [`load_lanes`]; returns when the words are there.
#[inline(always)]
pub(crate) unsafe fn store_lanes(address: Tmem, [[a, b, c, d], [e, f, g, h]]: &[[u32; 4]; 2]) {
    // SAFETY: the lanes are the warp's own and nobody uses the columns, by contract.
    unsafe {
        asm!(
            "tcgen05.st.sync.aligned.32x32b.x8.b32 [{address}], {{{a}, {b}, {c}, {d}, {e}, {f}, {g}, {h}}};",
            "tcgen05.wait::st.sync.aligned;",
            a = in(reg32) *a, b = in(reg32) *b, c = in(reg32) *c, d = in(reg32) *d,
            e = in(reg32) *e, f = in(reg32) *f, g = in(reg32) *g, h = in(reg32) *h,
            address = in(reg32) address.0, options(nostack)
        );
    }
}
