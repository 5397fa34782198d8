//! What instructions are lowered to. Registers are slots of a warp's register file.

mod bulk_store;
mod mma_sync;
mod operand;
mod tcgen05;

pub use bulk_store::BulkStore;
pub use mma_sync::MmaSync;
pub use operand::*;
pub use tcgen05::Tcgen05;

use crate::semantics::alu::float::Half;

/// One instruction of a kernel.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Mov {
        d: u32,
        a: Src,
    },
    /// `mov.pred`
    MovPred {
        d: u32,
        a: Pred,
    },
    /// `mov.b64 {lo, hi}, a`: parts of `bits` each.
    Unpack {
        d: Vec<Option<u32>>,
        a: Src,
        bits: u32,
    },
    /// `mov.b64 d, {lo, hi}`.
    Pack {
        d: u32,
        a: Vec<Src>,
        bits: u32,
    },
    Un {
        op: Un,
        ty: Ty,
        d: u32,
        a: Src,
    },
    Bin {
        op: Bin,
        ty: Ty,
        d: u32,
        a: Src,
        b: Src,
    },
    Tri {
        op: Tri,
        ty: Ty,
        d: u32,
        a: Src,
        b: Src,
        c: Src,
    },
    /// `bfi`
    Bfi {
        ty: Ty,
        d: u32,
        a: Src,
        b: Src,
        c: Src,
        len: Src,
    },
    Setp {
        cmp: Compare,
        ty: Ty,
        d: u32,
        q: Option<u32>,
        a: Src,
        b: Src,
        with: Option<(Logic, Pred)>,
    },
    LogicPred {
        op: Logic,
        d: u32,
        a: Pred,
        b: Pred,
    },
    Selp {
        ty: Ty,
        d: u32,
        a: Src,
        b: Src,
        p: Pred,
    },
    Cvt {
        to: Ty,
        from: Ty,
        round: Round,
        sat: bool,
        d: u32,
        a: Src,
    },
    /// `cvt.rn.{bf16x2,f16x2}.f32 d, high, low`
    CvtPack {
        to: Ty,
        d: u32,
        high: Src,
        low: Src,
    },
    /// Conversions between pairs of 8-bit floats and others.
    CvtPair {
        how: Pair,
        d: u32,
        a: Src,
        b: Src,
    },
    /// `cvta` and `cvta.to`: adds or takes off the window of a space.
    Cvta {
        space: Space,
        to: bool,
        d: u32,
        a: Src,
    },
    Ld {
        space: Space,
        ty: Ty,
        d: Vec<Option<u32>>,
        m: Mem,
    },
    St {
        space: Space,
        ty: Ty,
        a: Vec<Src>,
        m: Mem,
    },
    Atom {
        space: Space,
        op: Rmw,
        ty: Ty,
        d: Option<u32>,
        m: Mem,
        a: Src,
        b: Option<Src>,
    },
    Bra {
        target: u32,
    },
    Exit,
    Trap,
    Nop,
    Shfl {
        how: Shuffle,
        d: u32,
        p: Option<u32>,
        a: Src,
        b: Src,
        c: Src,
        mask: Src,
    },
    Vote {
        how: Vote,
        d: u32,
        a: Pred,
        mask: Src,
    },
    /// `redux.sync`: what the operation makes of the values of all lanes.
    Redux {
        op: Bin,
        ty: Ty,
        d: u32,
        a: Src,
        mask: Src,
    },
    Elect {
        d: Option<u32>,
        p: u32,
        mask: Src,
    },
    Activemask {
        d: u32,
    },
    BarWarp {
        mask: Src,
    },
    /// `bar.sync`, `bar.arrive`.
    Bar {
        id: Src,
        count: Option<Src>,
        arrive_only: bool,
    },
    ClusterArrive {
        relaxed: bool,
        aligned: bool,
    },
    ClusterWait {
        aligned: bool,
    },
    Fence(Fence),
    MbarInit {
        m: Mem,
        count: Src,
    },
    MbarInval {
        m: Mem,
    },
    /// `arrive` with its count; `expect` adds to the bytes first; `drop` lowers the expected count.
    MbarArrive {
        m: Mem,
        count: Src,
        expect: Option<Src>,
        drop: bool,
        state: Option<u32>,
        remote: bool,
    },
    MbarExpectTx {
        m: Mem,
        bytes: Src,
        remote: bool,
    },
    MbarCompleteTx {
        m: Mem,
        bytes: Src,
    },
    /// `try_wait` and `test_wait`, by parity or by state.
    MbarWait {
        m: Mem,
        p: u32,
        what: Src,
        by_parity: bool,
        blocking: bool,
    },
    Mapa {
        d: u32,
        a: Src,
        rank: Src,
    },
    /// `cp.async`
    CpAsync {
        to: Mem,
        from: Mem,
        bytes: u32,
        source_bytes: Option<Src>,
    },
    CpAsyncCommit,
    /// Leaves at most that many groups pending; `None` is `wait_all`.
    CpAsyncWait {
        left: Option<u32>,
    },
    CpAsyncArrive {
        m: Mem,
        noinc: bool,
    },
    /// `cp.async.bulk` global to shared.
    Bulk {
        to: Mem,
        from: Mem,
        bytes: Src,
        barrier: Mem,
        multicast: Option<Src>,
    },
    /// `cp.async.bulk.tensor` tile load.
    Tma {
        rank: u32,
        to: Mem,
        map: Mem,
        coordinates: Vec<Src>,
        barrier: Mem,
        multicast: Option<Src>,
        /// `.cta_group::2`: the mbarrier may lie in either CTA of the pair.
        pair: bool,
    },
    WgmmaFence,
    WgmmaCommit,
    WgmmaWait {
        left: u32,
    },
    /// `m64nN` with 32 bytes of K.
    Wgmma {
        element: MmaElement,
        n: u32,
        d: Vec<u32>,
        a: MmaA,
        b: Src,
        scale_d: Pred,
        negate: [bool; 2],
    },
    Stmatrix {
        m: Mem,
        a: Vec<Src>,
        transposed: bool,
    },
    Ldmatrix {
        m: Mem,
        d: Vec<u32>,
        transposed: bool,
    },
    SetMaxNreg {
        count: u32,
        increase: bool,
    },
    /// Arithmetic on f16 or bf16; on two of them where `pair`. Sources that `op` has not repeat the first.
    Half {
        op: HalfOp,
        half: Half,
        pair: bool,
        d: u32,
        a: Src,
        b: Src,
        c: Src,
    },
    BulkStore(BulkStore),
    MmaSync(MmaSync),
    Tcgen05(Tcgen05),
}

/// An instruction with its predicate and its place in the text.
#[derive(Clone, Debug)]
pub struct Inst {
    /// What it does.
    pub op: Op,
    /// Predicate register, and whether it is negated.
    pub guard: Option<(u32, bool)>,
    /// Line of the PTX text.
    pub line: u32,
    /// Index of its opcode in [`Code::opcodes`].
    pub opcode: u16,
    /// Registers that it reads or writes.
    pub touches: Vec<u32>,
}

/// A lowered kernel.
#[derive(Clone, Debug, Default)]
pub struct Code {
    /// Name of the entry.
    pub name: String,
    /// Instructions.
    pub insts: Vec<Inst>,
    /// Opcodes by index.
    pub opcodes: Vec<String>,
    /// Registers of a thread.
    pub registers: u32,
    /// Predicates of a thread.
    pub predicates: u32,
    /// Bytes of parameters.
    pub param_bytes: u64,
    /// Alignment that the parameters are declared with.
    pub param_align: u64,
    /// Bytes of static shared memory.
    pub static_shared: u64,
    /// First address of dynamic shared memory.
    pub dynamic_base: u64,
    /// Bytes of local memory of a thread.
    pub local_bytes: u64,
    /// `.maxntid` or `.reqntid`.
    pub max_threads: Option<[u32; 3]>,
    /// Whether the block must be exactly that.
    pub exact_threads: bool,
    /// `.reqnctapercluster`.
    pub cluster: Option<[u32; 3]>,
    /// `.maxnreg`.
    pub max_registers: Option<u32>,
    /// `.minnctapersm`.
    pub min_ctas: u32,
    /// The module's constants, by address.
    pub constants: Vec<u8>,
}

impl Code {
    /// Registers that each thread of a launch with so many begins with, if the kernel uses `setmaxnreg`: `.maxnreg`, or
    /// what the assembler makes of the launch bounds, an equal share of the register file in multiples of 8.
    pub fn launch_registers(&self, threads: u32) -> u32 {
        let share = REGISTER_FILE / (threads.max(1) * self.min_ctas.max(1));
        self.max_registers.unwrap_or(share.min(255) / 8 * 8)
    }
}

/// Registers of a multiprocessor.
const REGISTER_FILE: u32 = 65_536;
