//! One function per PTX instruction, filed as the ISA manual files them.
//!
//! The first doc line of each says who executes it. Collective instructions go through `llvm.nvvm.*`
//! intrinsics where LLVM has one, because it knows those as convergent and never duplicates them into
//! two branches; where only `asm!` can say it (`wgmma.mma_async`, `stmatrix`, most of `tcgen05`), `cargo xtask build-ptx`
//! counts the mnemonic in the final PTX against a golden number.

pub(crate) mod cp_async;
pub(crate) mod cvt;
pub(crate) mod ldst;
pub(crate) mod mbarrier;
pub(crate) mod simd;
pub(crate) mod sreg;
pub(crate) mod stmatrix;
pub(crate) mod sync;
pub(crate) mod tcgen05;
pub(crate) mod tma;
pub(crate) mod warp;
pub(crate) mod wgmma;

/// An address in the CTA's shared window, in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Smem(pub(crate) u32);

impl Smem {
    /// The address `bytes` further on.
    #[inline(always)]
    pub(crate) const fn at(self, bytes: u32) -> Self {
        Self(self.0 + bytes)
    }
}
