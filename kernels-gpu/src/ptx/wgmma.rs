//! Warpgroup matrix multiply (PTX ISA, "wgmma"): FP8 e4m3 inputs from shared memory, or 16-bit floats from registers
//! and shared memory; f32 accumulators.
//!
//! The four K = 32 steps of one K = 128 scale block are one `asm!`: between them the accumulator belongs
//! to the tensor core, so nothing may come between. The first step ignores the accumulator (scale-d = 0).
//! It is an input all the same: the chain of one array through its uses is what makes the assembler keep
//! it in one set of registers. NOTE(measured): with fresh outputs, ptxas 13.0 held three accumulators of
//! 64 registers at once and spilled 748 bytes.

use crate::tile::descriptor::moved_on;
use core::arch::asm;

unsafe extern "C" {
    #[link_name = "llvm.nvvm.wgmma.fence.sync.aligned"]
    fn wgmma_fence();
    #[link_name = "llvm.nvvm.wgmma.commit_group.sync.aligned"]
    fn wgmma_commit_group();
    #[link_name = "llvm.nvvm.wgmma.wait_group.sync.aligned"]
    fn wgmma_wait_group(pending: i64);
}

/// Executed by: warpgroup, converged. Orders register accesses before the next `mma`.
#[inline(always)]
pub(crate) unsafe fn fence() {
    // SAFETY: the whole warpgroup calls it, by contract.
    unsafe { wgmma_fence() }
}

/// Executed by: warpgroup, converged. Closes the group of all uncommitted `mma`s.
#[inline(always)]
pub(crate) unsafe fn commit() {
    // SAFETY: the whole warpgroup calls it, by contract.
    unsafe { wgmma_commit_group() }
}

/// Executed by: warpgroup, converged. Waits until at most `PENDING` groups are in flight.
#[inline(always)]
pub(crate) unsafe fn wait<const PENDING: i64>() {
    // SAFETY: the whole warpgroup calls it, by contract.
    unsafe { wgmma_wait_group(PENDING) }
}

/// A 64 x N x 128 multiplication: one K = 128 scale block, with R = N / 2 accumulators per thread.
pub(crate) trait Mma<const R: usize> {
    /// Executed by: warpgroup, converged. Starts `a[64, 128] * b[N, 128]^T`; both are descriptors of
    /// K-major tiles with 128-byte swizzle. `d` is overwritten; it is valid after [`wait`] and
    /// [`Mma::landed`].
    unsafe fn start(d: &mut [f32; R], a: u64, b: u64);

    /// Executed by: any thread. Accumulators of no value, for [`Mma::start`] to overwrite: registers that nobody sets.
    fn unset() -> [f32; R];

    /// Executed by: any thread, after [`wait`]. Keeps the compiler from using `d` any earlier.
    unsafe fn landed(d: &mut [f32; R]);
}

/// A 64 x N x 64 multiplication of 16-bit floats, with R = N / 2 accumulators per thread.
///
/// Both methods are executed by: warpgroup, converged. They start `d += a[64, 64] * b[N, 64]^T`: `a` are the fragments of
/// four K steps of 16, `b` the descriptor of a K-major tile of 128-byte rows with 128-byte swizzle. `d` is valid after
/// [`wait`] and [`Mma::landed`]; until the wait the registers of `a` are in use as well.
pub(crate) trait HalfMma<const R: usize>: Mma<R> {
    /// Of f16.
    unsafe fn add_f16(d: &mut [f32; R], a: &Steps, b: &[u64; 4]);

    /// Of bf16.
    unsafe fn add_bf16(d: &mut [f32; R], a: &Steps, b: &[u64; 4]);
}

/// Fragments of four K steps of 16. Registers 0 and 2 of a step are of the thread's upper row, 1 and 3 of the one 8
/// below; 0 and 1 hold elements `2 t` and `2 t + 1` for lane `t` of four, 2 and 3 the elements 8 further on.
pub(crate) type Steps = [[u32; 4]; 4];

macro_rules! mma {
    ($name:ident, $shape:literal, $half:literal, $first:ident $($register:ident)*; $i0:literal $($i:literal)*) => {
        #[doc = concat!("`wgmma.mma_async.", $shape, "` or `", $half, "`, four times along K.")]
        pub(crate) struct $name;

        impl Mma<{ [$i0 $(, $i)*].len() }> for $name {
            #[inline(always)]
            unsafe fn start(d: &mut [f32; [$i0 $(, $i)*].len()], a: u64, b: u64) {
                // SAFETY: the descriptors address tiles that have landed, by contract.
                unsafe {
                    asm!(
                        concat!("wgmma.mma_async.sync.aligned.", $shape, ".f32.e4m3.e4m3 {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {a0}, {b0}, 0, 1, 1;"),
                        concat!("wgmma.mma_async.sync.aligned.", $shape, ".f32.e4m3.e4m3 {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {a1}, {b1}, 1, 1, 1;"),
                        concat!("wgmma.mma_async.sync.aligned.", $shape, ".f32.e4m3.e4m3 {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {a2}, {b2}, 1, 1, 1;"),
                        concat!("wgmma.mma_async.sync.aligned.", $shape, ".f32.e4m3.e4m3 {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {a3}, {b3}, 1, 1, 1;"),
                        $first = inout(reg32) d[$i0],
                        $($register = inout(reg32) d[$i],)*
                        // 32 bytes along K are two units of a descriptor.
                        a0 = in(reg64) a, a1 = in(reg64) moved_on(a, 2), a2 = in(reg64) moved_on(a, 4), a3 = in(reg64) moved_on(a, 6),
                        b0 = in(reg64) b, b1 = in(reg64) moved_on(b, 2), b2 = in(reg64) moved_on(b, 4), b3 = in(reg64) moved_on(b, 6),
                        options(nostack)
                    );
                }
            }

            #[inline(always)]
            fn unset() -> [f32; [$i0 $(, $i)*].len()] {
                let $first: f32;
                $(let $register: f32;)*
                // SAFETY: no instruction; whatever the registers hold is a float.
                unsafe {
                    asm!(
                        concat!("// {", stringify!($first), "}", $(" {", stringify!($register), "}",)*),
                        $first = out(reg32) $first,
                        $($register = out(reg32) $register,)*
                        options(nostack)
                    );
                }
                [$first $(, $register)*]
            }

            #[inline(always)]
            unsafe fn landed(d: &mut [f32; [$i0 $(, $i)*].len()]) {
                // SAFETY: no instruction; the operands tie every later use to this point.
                unsafe {
                    asm!(
                        concat!("// {", stringify!($first), "}", $(" {", stringify!($register), "}",)*),
                        $first = inout(reg32) d[$i0],
                        $($register = inout(reg32) d[$i],)*
                        options(nostack)
                    );
                }
            }
        }

        impl HalfMma<{ [$i0 $(, $i)*].len() }> for $name {
            mma!(@half add_f16, concat!("wgmma.mma_async.sync.aligned.", $half, ".f32.f16.f16"), $first $($register)*; $i0 $($i)*);
            mma!(@half add_bf16, concat!("wgmma.mma_async.sync.aligned.", $half, ".f32.bf16.bf16"), $first $($register)*; $i0 $($i)*);
        }
    };
    (@half $method:ident, $opcode:expr, $first:ident $($register:ident)*; $i0:literal $($i:literal)*) => {
        #[inline(always)]
        unsafe fn $method(d: &mut [f32; [$i0 $(, $i)*].len()], a: &Steps, b: &[u64; 4]) {
            // SAFETY: the descriptor addresses a tile that has landed, by contract.
            unsafe {
                asm!(
                    concat!($opcode, " {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {{{p0}, {p1}, {p2}, {p3}}}, {b0}, 1, 1, 1, 0;"),
                    concat!($opcode, " {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {{{q0}, {q1}, {q2}, {q3}}}, {b1}, 1, 1, 1, 0;"),
                    concat!($opcode, " {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {{{r0}, {r1}, {r2}, {r3}}}, {b2}, 1, 1, 1, 0;"),
                    concat!($opcode, " {{{", stringify!($first), "}", $(", {", stringify!($register), "}",)* "}}, {{{s0}, {s1}, {s2}, {s3}}}, {b3}, 1, 1, 1, 0;"),
                    $first = inout(reg32) d[$i0],
                    $($register = inout(reg32) d[$i],)*
                    p0 = in(reg32) a[0][0], p1 = in(reg32) a[0][1], p2 = in(reg32) a[0][2], p3 = in(reg32) a[0][3],
                    q0 = in(reg32) a[1][0], q1 = in(reg32) a[1][1], q2 = in(reg32) a[1][2], q3 = in(reg32) a[1][3],
                    r0 = in(reg32) a[2][0], r1 = in(reg32) a[2][1], r2 = in(reg32) a[2][2], r3 = in(reg32) a[2][3],
                    s0 = in(reg32) a[3][0], s1 = in(reg32) a[3][1], s2 = in(reg32) a[3][2], s3 = in(reg32) a[3][3],
                    b0 = in(reg64) b[0], b1 = in(reg64) b[1], b2 = in(reg64) b[2], b3 = in(reg64) b[3],
                    options(nostack)
                );
            }
        }
    };
}

mma!(M64N8, "m64n8k32", "m64n8k16", d0 d1 d2 d3; 0 1 2 3);
mma!(M64N16, "m64n16k32", "m64n16k16", d0 d1 d2 d3 d4 d5 d6 d7; 0 1 2 3 4 5 6 7);
mma!(M64N32, "m64n32k32", "m64n32k16",
    d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 d10 d11 d12 d13 d14 d15;
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
mma!(M64N64, "m64n64k32", "m64n64k16",
    d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 d10 d11 d12 d13 d14 d15
    d16 d17 d18 d19 d20 d21 d22 d23 d24 d25 d26 d27 d28 d29 d30 d31;
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
mma!(M64N96, "m64n96k32", "m64n96k16",
    d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 d10 d11 d12 d13 d14 d15
    d16 d17 d18 d19 d20 d21 d22 d23 d24 d25 d26 d27 d28 d29 d30 d31
    d32 d33 d34 d35 d36 d37 d38 d39 d40 d41 d42 d43 d44 d45 d46 d47;
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
mma!(M64N128, "m64n128k32", "m64n128k16",
    d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 d10 d11 d12 d13 d14 d15
    d16 d17 d18 d19 d20 d21 d22 d23 d24 d25 d26 d27 d28 d29 d30 d31
    d32 d33 d34 d35 d36 d37 d38 d39 d40 d41 d42 d43 d44 d45 d46 d47
    d48 d49 d50 d51 d52 d53 d54 d55 d56 d57 d58 d59 d60 d61 d62 d63;
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47
    48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
