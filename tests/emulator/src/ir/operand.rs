//! Types, operands and modifiers of instructions.

use crate::semantics::alu::float::Half;

/// How the bits of a register are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Untyped or unsigned.
    Unsigned,
    /// Two's complement.
    Signed,
    /// IEEE 754.
    Float,
    /// bfloat16.
    Bf,
}

/// An instruction type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ty {
    /// How the bits are read.
    pub kind: Kind,
    /// How many there are.
    pub bits: u32,
}

impl Ty {
    /// Reads `b32`, `s64`, `f16` and the like.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, digits) = match text.as_bytes().first()? {
            b'b' if text == "bf16" => return Some(Self { kind: Kind::Bf, bits: 16 }),
            b'b' | b'u' => (Kind::Unsigned, &text[1..]),
            b's' => (Kind::Signed, &text[1..]),
            b'f' => (Kind::Float, &text[1..]),
            _ => return None,
        };
        let bits = match digits {
            "8" => 8,
            "16" => 16,
            "32" => 32,
            "64" => 64,
            _ => return None,
        };
        (kind != Kind::Float || bits > 8).then_some(Self { kind, bits })
    }

    /// Bytes in memory.
    pub const fn bytes(self) -> u64 {
        self.bits as u64 / 8
    }

    /// Clears the bits above the type's own.
    pub const fn mask(self, value: u64) -> u64 {
        if self.bits == 64 { value } else { value & ((1 << self.bits) - 1) }
    }

    /// The value as a signed integer.
    pub const fn signed(self, value: u64) -> i64 {
        let shift = 64 - self.bits;
        ((value << shift) as i64) >> shift
    }
}

/// Special registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    ClusterId(usize),
    NclusterId(usize),
    ClusterCtaid(usize),
    ClusterNctaid(usize),
    ClusterCtarank,
    ClusterNctarank,
    LaneId,
    WarpId,
    NwarpId,
    SmId,
    NsmId,
    LanemaskEq,
    LanemaskLt,
    LanemaskLe,
    LanemaskGt,
    LanemaskGe,
    Clock,
    DynamicSmemSize,
}

/// A source operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Src {
    /// A register.
    Reg(u32),
    /// A constant.
    Imm(u64),
    /// A special register.
    Special(Special),
}

/// A predicate operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pred {
    /// A predicate register, and whether it is negated.
    Reg(u32, bool),
    /// A constant.
    Const(bool),
}

/// `[base + offset]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mem {
    /// Base.
    pub base: Src,
    /// Added to it.
    pub offset: i64,
}

/// State spaces of loads and stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Space {
    Generic,
    Global,
    /// `.shared`, `.shared::cta`, and `.shared::cluster`: one 32-bit window.
    Shared,
    Param,
    Const,
    Local,
}

/// Operations of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Un {
    Abs,
    Neg,
    Not,
    Popc,
    Clz,
    Brev,
    Bfind,
    Rcp,
    Sqrt,
    Ex2,
}

/// Operations of two sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Bin {
    Add,
    Sub,
    MulLo,
    MulHi,
    MulWide,
    Div,
    Rem,
    Min,
    Max,
    MinNan,
    MaxNan,
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

/// Operations of three sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Tri {
    MadLo,
    MadHi,
    MadWide,
    Fma,
    Bfe,
    Prmt,
    ShfLeftWrap,
    ShfLeftClamp,
    ShfRightWrap,
    ShfRightClamp,
    Lop3(u8),
}

/// Comparisons of `setp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    Num,
    Nan,
}

/// Logic on predicates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Logic {
    And,
    Or,
    Xor,
}

/// Read-modify-write operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Rmw {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Inc,
    Dec,
}

/// Rounding of `cvt`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Round {
    None,
    Rn,
    Rz,
    Rm,
    Rp,
    Rni,
    Rzi,
    Rmi,
    Rpi,
}

/// Conversions of pairs; from f32 the first source is the high one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Pair {
    E4m3FromF32,
    E5m2FromF32,
    E4m3FromF16,
    E5m2FromF16,
    F16FromE4m3,
    F16FromE5m2,
    Ue8m0FromF32,
    Bf16FromUe8m0,
}

/// Arithmetic on f16 and bf16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum HalfOp {
    Add,
    Sub,
    Mul,
    Fma,
    Min,
    Max,
    MinNan,
    MaxNan,
    Neg,
    Abs,
    /// The larger as unsigned integers (`max.u16x2`).
    MaxUnsigned,
    /// The smaller as unsigned integers (`min.u16x2`).
    MinUnsigned,
}

/// How `shfl.sync` picks a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Shuffle {
    Idx,
    Up,
    Down,
    Bfly,
}

/// What `vote.sync` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Vote {
    Ballot,
    All,
    Any,
    Uni,
}

/// Fences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fence {
    /// `fence.proxy.async` and its narrower forms.
    ProxyAsync,
    /// `fence.mbarrier_init.release.cluster`.
    MbarrierInit,
    /// `fence.{acq_rel,sc}.scope`, `membar`.
    Memory,
    /// `fence.proxy.tensormap` and others without an effect here.
    Other,
}

/// Elements of the operands of `wgmma`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum MmaElement {
    E4m3,
    Half(Half),
}

impl MmaElement {
    /// Bytes of one.
    pub const fn bytes(self) -> usize {
        match self {
            Self::E4m3 => 1,
            Self::Half(_) => 2,
        }
    }
}

/// Where the first operand of `wgmma` comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmaA {
    /// Shared memory, by a descriptor.
    Shared(Src),
    /// Registers of all threads of the warpgroup.
    Registers([u32; 4]),
}
