//! Lowering of what one thread does by itself, and of what a warp does together.

use super::names::Operands;
use crate::ir::{
    Bin, Compare, Fence, Kind, Logic, Op, Pair, Pred, Rmw, Round, Shuffle, Space, Src, Tri, Ty, Un,
    Vote,
};
use crate::syntax::SyntaxError;

type Lowered = Result<Option<Op>, SyntaxError>;

/// Lowers one instruction; `None` if its name belongs elsewhere.
pub(super) fn lower(parts: &[&str], o: &mut Operands<'_>) -> Lowered {
    let ty = parts.last().and_then(|text| Ty::parse(text));
    Ok(Some(match (parts, ty) {
        (["mov", "pred"], _) => Op::MovPred { d: o.p()?, a: o.sp()? },
        (["mov", _], Some(ty)) => return mov(ty, o),
        (
            [
                "add" | "sub" | "mul" | "min" | "max" | "div" | "rem" | "and" | "or" | "xor"
                | "shl" | "shr",
                ..,
                "pred",
            ],
            _,
        ) => {
            let op = logic(parts[0]).filter(|_| parts.len() == 2);
            let Some(op) = op else { return Ok(None) };
            Op::LogicPred { op, d: o.p()?, a: o.sp()?, b: o.sp()? }
        }
        (["not", "pred"], _) => {
            let d = o.p()?;
            let a = match o.sp()? {
                Pred::Reg(slot, negated) => Pred::Reg(slot, !negated),
                Pred::Const(value) => Pred::Const(!value),
            };
            Op::MovPred { d, a }
        }
        (["mul" | "mad", "wide", _], Some(ty)) => {
            let d = o.d()?;
            let (a, b) = (o.s()?, o.s()?);
            if parts[0] == "mul" {
                Op::Bin { op: Bin::MulWide, ty, d, a, b }
            } else {
                Op::Tri { op: Tri::MadWide, ty, d, a, b, c: o.s()? }
            }
        }
        (["mad", half @ ("lo" | "hi"), _], Some(ty)) if ty.kind != Kind::Float => {
            let op = if *half == "lo" { Tri::MadLo } else { Tri::MadHi };
            Op::Tri { op, ty, d: o.d()?, a: o.s()?, b: o.s()?, c: o.s()? }
        }
        (["fma", "rn", "f32" | "f64"], Some(ty)) => {
            Op::Tri { op: Tri::Fma, ty, d: o.d()?, a: o.s()?, b: o.s()?, c: o.s()? }
        }
        (["bfe", _], Some(ty)) => {
            Op::Tri { op: Tri::Bfe, ty, d: o.d()?, a: o.s()?, b: o.s()?, c: o.s()? }
        }
        (["bfi", _], Some(ty)) => {
            Op::Bfi { ty, d: o.d()?, a: o.s()?, b: o.s()?, c: o.s()?, len: o.s()? }
        }
        (["prmt", "b32"], Some(ty)) => {
            Op::Tri { op: Tri::Prmt, ty, d: o.d()?, a: o.s()?, b: o.s()?, c: o.s()? }
        }
        (["shf", side @ ("l" | "r"), mode @ ("wrap" | "clamp"), "b32"], Some(ty)) => {
            let op = match (*side, *mode) {
                ("l", "wrap") => Tri::ShfLeftWrap,
                ("l", _) => Tri::ShfLeftClamp,
                (_, "wrap") => Tri::ShfRightWrap,
                _ => Tri::ShfRightClamp,
            };
            Op::Tri { op, ty, d: o.d()?, a: o.s()?, b: o.s()?, c: o.s()? }
        }
        (["lop3", "b32"], Some(ty)) => {
            let (d, a, b, c) = (o.d()?, o.s()?, o.s()?, o.s()?);
            Op::Tri { op: Tri::Lop3(o.constant()? as u8), ty, d, a, b, c }
        }
        ([name, rest @ .., _], Some(ty)) if bin(name, rest, ty).is_some() => {
            let Some(op) = bin(name, rest, ty) else { return Ok(None) };
            Op::Bin { op, ty, d: o.d()?, a: o.s()?, b: o.s()? }
        }
        ([name, rest @ .., _], Some(ty)) if un(name, rest, ty).is_some() => {
            let Some(op) = un(name, rest, ty) else { return Ok(None) };
            Op::Un { op, ty, d: o.d()?, a: o.s()? }
        }
        (["setp", compare, rest @ .., _], Some(ty)) => return setp(compare, rest, ty, o),
        (["selp", _], Some(ty)) => Op::Selp { ty, d: o.d()?, a: o.s()?, b: o.s()?, p: o.sp()? },
        (["cvt", ..], _) => return cvt(parts, o),
        (["cvta", rest @ .., "u64"], _) => {
            let (to, space) = match rest {
                ["to", space] => (true, *space),
                [space] => (false, *space),
                _ => return Ok(None),
            };
            let Some(space) = self::space(space) else { return Ok(None) };
            Op::Cvta { space, to, d: o.d()?, a: o.s()? }
        }
        (["ld" | "ldu" | "st", ..], Some(_)) => return load_store(parts, o),
        (["atom" | "red", ..], Some(_)) => return atom(parts, o),
        (["bra"] | ["bra", "uni"], _) => Op::Bra { target: o.label()? },
        (["ret" | "exit"] | ["ret", "uni"], _) => Op::Exit,
        (["trap"], _) => Op::Trap,
        (["nanosleep", "u32"], _) => {
            o.s()?;
            Op::Nop
        }
        (["griddepcontrol", "wait" | "launch_dependents"], _) => Op::Nop,
        (
            ["prefetch", "tensormap"] | ["prefetch", "param" | "global", ..] | ["prefetchu", "L1"],
            _,
        ) => {
            o.m()?;
            Op::Nop
        }
        // The second-level cache is not modelled: a policy is a number that nobody looks at.
        (["createpolicy", "fractional", "L2::evict_first" | "L2::evict_last", "b64"], _) => {
            Op::Mov { d: o.d()?, a: Src::Imm(0) }
        }
        (["membar", "cta" | "gl" | "sys"], _) => Op::Fence(Fence::Memory),
        (["fence", rest @ ..], _) => match rest {
            ["acq_rel" | "sc" | "acquire" | "release", "cta" | "cluster" | "gpu" | "sys"] => {
                Op::Fence(Fence::Memory)
            }
            ["proxy", "async"]
            | ["proxy", "async", "shared::cta" | "shared::cluster" | "global"] => {
                Op::Fence(Fence::ProxyAsync)
            }
            ["proxy", "async::generic" | "alias" | "async.shared::cta"] => Op::Fence(Fence::Other),
            ["mbarrier_init", "release", "cluster"] => Op::Fence(Fence::MbarrierInit),
            _ => return Ok(None),
        },
        (["shfl", "sync", how, "b32"], _) => {
            let how = match *how {
                "idx" => Shuffle::Idx,
                "up" => Shuffle::Up,
                "down" => Shuffle::Down,
                "bfly" => Shuffle::Bfly,
                _ => return Ok(None),
            };
            let (d, p) = o.d_pair()?;
            let Some(d) = d else { return o.fail("a register is needed") };
            Op::Shfl { how, d, p, a: o.s()?, b: o.s()?, c: o.s()?, mask: o.s()? }
        }
        (["vote", "sync", "ballot", "b32"], _) => {
            Op::Vote { how: Vote::Ballot, d: o.d()?, a: o.sp()?, mask: o.s()? }
        }
        (["vote", "sync", how @ ("all" | "any" | "uni"), "pred"], _) => {
            let how = match *how {
                "all" => Vote::All,
                "any" => Vote::Any,
                _ => Vote::Uni,
            };
            Op::Vote { how, d: o.p()?, a: o.sp()?, mask: o.s()? }
        }
        (["redux", "sync", op, kind], Some(ty)) => {
            let op = match (*op, *kind) {
                ("add", "u32" | "s32") => Bin::Add,
                ("min", "u32" | "s32") => Bin::Min,
                ("max", "u32" | "s32") => Bin::Max,
                ("and", "b32") => Bin::And,
                ("or", "b32") => Bin::Or,
                ("xor", "b32") => Bin::Xor,
                _ => return Ok(None),
            };
            Op::Redux { op, ty, d: o.d()?, a: o.s()?, mask: o.s()? }
        }
        (["elect", "sync"], _) => {
            let (d, p) = o.d_pair()?;
            let Some(p) = p else { return o.fail("a predicate is needed") };
            Op::Elect { d, p, mask: o.s()? }
        }
        (["activemask", "b32"], _) => Op::Activemask { d: o.d()? },
        (["bar", "warp", "sync"], _) => Op::BarWarp { mask: o.s()? },
        (["bar" | "barrier", rest @ ..], _) if rest.first() != Some(&"cluster") => {
            let rest: Vec<&&str> =
                rest.iter().filter(|part| !matches!(**part, "cta" | "aligned")).collect();
            let arrive_only = match rest[..] {
                [&"sync"] => false,
                [&"arrive"] => true,
                _ => return Ok(None),
            };
            let id = o.s()?;
            let count = if o.left() > 0 { Some(o.s()?) } else { None };
            Op::Bar { id, count, arrive_only }
        }
        _ => return Ok(None),
    }))
}

fn mov(ty: Ty, o: &mut Operands<'_>) -> Lowered {
    if o.is_vector() {
        let d = o.d_list()?;
        let bits = ty.bits / d.len() as u32;
        return Ok(Some(Op::Unpack { d, a: o.s()?, bits }));
    }
    let d = o.d()?;
    if o.is_vector() {
        let a = o.s_list()?;
        let bits = ty.bits / a.len() as u32;
        return Ok(Some(Op::Pack { d, a, bits }));
    }
    Ok(Some(Op::Mov { d, a: o.s()? }))
}

fn logic(name: &str) -> Option<Logic> {
    Some(match name {
        "and" => Logic::And,
        "or" => Logic::Or,
        "xor" => Logic::Xor,
        _ => return None,
    })
}

fn bin(name: &str, rest: &[&str], ty: Ty) -> Option<Bin> {
    let float = matches!(ty.kind, Kind::Float | Kind::Bf);
    if float && ty.bits < 32 {
        return None;
    }
    Some(match (name, rest, float) {
        ("add", [], _) | ("add", ["rn"], true) => Bin::Add,
        ("sub", [], _) | ("sub", ["rn"], true) => Bin::Sub,
        ("mul", ["lo"], false) | ("mul", [] | ["rn"], true) => Bin::MulLo,
        ("mul", ["hi"], false) => Bin::MulHi,
        ("div", [], false) | ("div", ["rn"], true) => Bin::Div,
        ("rem", [], false) => Bin::Rem,
        ("min", [], _) => Bin::Min,
        ("max", [], _) => Bin::Max,
        ("min", ["NaN"], true) => Bin::MinNan,
        ("max", ["NaN"], true) => Bin::MaxNan,
        ("and", [], false) => Bin::And,
        ("or", [], false) => Bin::Or,
        ("xor", [], false) => Bin::Xor,
        ("shl", [], false) => Bin::Shl,
        ("shr", [], false) => Bin::Shr,
        _ => return None,
    })
}

fn un(name: &str, rest: &[&str], ty: Ty) -> Option<Un> {
    let float = matches!(ty.kind, Kind::Float | Kind::Bf);
    if float && ty.bits != 32 {
        return None;
    }
    Some(match (name, rest, float) {
        ("abs", [], _) => Un::Abs,
        ("neg", [], _) => Un::Neg,
        ("not", [], false) => Un::Not,
        ("popc", [], false) => Un::Popc,
        ("clz", [], false) => Un::Clz,
        ("brev", [], false) => Un::Brev,
        ("bfind", [], false) => Un::Bfind,
        ("rcp", ["rn"], true) => Un::Rcp,
        ("sqrt", ["rn"], true) => Un::Sqrt,
        _ => return None,
    })
}

fn setp(compare: &str, rest: &[&str], ty: Ty, o: &mut Operands<'_>) -> Lowered {
    let cmp = match compare {
        "eq" => Compare::Eq,
        "ne" => Compare::Ne,
        "lt" | "lo" => Compare::Lt,
        "le" | "ls" => Compare::Le,
        "gt" | "hi" => Compare::Gt,
        "ge" | "hs" => Compare::Ge,
        "equ" => Compare::Equ,
        "neu" => Compare::Neu,
        "ltu" => Compare::Ltu,
        "leu" => Compare::Leu,
        "gtu" => Compare::Gtu,
        "geu" => Compare::Geu,
        "num" => Compare::Num,
        "nan" => Compare::Nan,
        _ => return Ok(None),
    };
    let logic = match rest {
        [] => None,
        [name] => match logic(name) {
            Some(op) => Some(op),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let (d, q) = o.p_pair()?;
    let (a, b) = (o.s()?, o.s()?);
    let with = match logic {
        Some(op) => Some((op, o.sp()?)),
        None => None,
    };
    Ok(Some(Op::Setp { cmp, ty, d, q, a, b, with }))
}

fn cvt(parts: &[&str], o: &mut Operands<'_>) -> Lowered {
    if let ["cvt", "rn", to @ ("bf16x2" | "f16x2"), "f32"] = parts {
        let kind = if *to == "bf16x2" { Kind::Bf } else { Kind::Float };
        let to = Ty { kind, bits: 16 };
        return Ok(Some(Op::CvtPack { to, d: o.d()?, high: o.s()?, low: o.s()? }));
    }
    // PTX ISA 9.7.9.21: the 8-bit formats travel in pairs.
    let pair = match parts[1..] {
        ["rn", "satfinite", "e4m3x2", "f32"] => Some((Pair::E4m3FromF32, true)),
        ["rn", "satfinite", "e5m2x2", "f32"] => Some((Pair::E5m2FromF32, true)),
        ["rn", "satfinite", "e4m3x2", "f16x2"] => Some((Pair::E4m3FromF16, false)),
        ["rn", "satfinite", "e5m2x2", "f16x2"] => Some((Pair::E5m2FromF16, false)),
        ["rn", "f16x2", "e4m3x2"] => Some((Pair::F16FromE4m3, false)),
        ["rn", "f16x2", "e5m2x2"] => Some((Pair::F16FromE5m2, false)),
        ["rp", "satfinite", "ue8m0x2", "f32"] => Some((Pair::Ue8m0FromF32, true)),
        ["rn", "bf16x2", "ue8m0x2"] => Some((Pair::Bf16FromUe8m0, false)),
        _ => None,
    };
    if let Some((how, two)) = pair {
        let (d, a) = (o.d()?, o.s()?);
        let b = if two { o.s()? } else { a };
        return Ok(Some(Op::CvtPair { how, d, a, b }));
    }
    let mut round = Round::None;
    let mut sat = false;
    let [middle @ .., to, from] = &parts[1..] else { return Ok(None) };
    for part in middle {
        match *part {
            "rn" => round = Round::Rn,
            "rz" => round = Round::Rz,
            "rm" => round = Round::Rm,
            "rp" => round = Round::Rp,
            "rni" => round = Round::Rni,
            "rzi" => round = Round::Rzi,
            "rmi" => round = Round::Rmi,
            "rpi" => round = Round::Rpi,
            "sat" => sat = true,
            _ => return Ok(None),
        }
    }
    let (Some(to), Some(from)) = (Ty::parse(to), Ty::parse(from)) else { return Ok(None) };
    let to_float = matches!(to.kind, Kind::Float | Kind::Bf);
    let from_float = matches!(from.kind, Kind::Float | Kind::Bf);
    // PTX ISA 9.7.9.21: a rounding modifier is mandatory where bits can be lost, and forbidden elsewhere.
    let known = match (from_float, to_float) {
        (false, false) => round == Round::None,
        (false, true) => round == Round::Rn && to.bits >= 16,
        (true, false) => matches!(round, Round::Rni | Round::Rzi | Round::Rmi | Round::Rpi),
        (true, true) if to.bits < from.bits => round == Round::Rn && !sat,
        (true, true) => round == Round::None && !sat,
    };
    if !known {
        return Ok(None);
    }
    Ok(Some(Op::Cvt { to, from, round, sat, d: o.d()?, a: o.s()? }))
}

pub(super) fn space(text: &str) -> Option<Space> {
    Some(match text {
        "global" => Space::Global,
        "shared" | "shared::cta" | "shared::cluster" => Space::Shared,
        "param" | "param::entry" => Space::Param,
        "const" => Space::Const,
        "local" => Space::Local,
        _ => return None,
    })
}

fn load_store(parts: &[&str], o: &mut Operands<'_>) -> Lowered {
    let [name, middle @ .., ty] = parts else { return Ok(None) };
    let Some(ty) = Ty::parse(ty) else { return Ok(None) };
    let (mut space, mut lanes) = (Space::Generic, 1);
    for part in middle {
        match *part {
            "v2" => lanes = 2,
            "v4" => lanes = 4,
            "v8" => lanes = 8,
            "nc" | "weak" | "volatile" | "relaxed" | "acquire" | "release" | "cta" | "cluster"
            | "gpu" | "sys" | "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt"
            | "L1::no_allocate" | "L1::evict_last" | "L1::evict_first" | "L2::64B" | "L2::128B"
            | "L2::256B" => {}
            other => match self::space(other) {
                Some(found) => space = found,
                None => return Ok(None),
            },
        }
    }
    if *name == "st" {
        let m = o.m()?;
        let a = o.s_list()?;
        if a.len() != lanes {
            return o.fail(format!("{} values for {lanes}", a.len()));
        }
        return Ok(Some(Op::St { space, ty, a, m }));
    }
    let d = o.d_list()?;
    if d.len() != lanes {
        return o.fail(format!("{} registers for {lanes}", d.len()));
    }
    Ok(Some(Op::Ld { space, ty, d, m: o.m()? }))
}

fn atom(parts: &[&str], o: &mut Operands<'_>) -> Lowered {
    let [name, middle @ .., ty] = parts else { return Ok(None) };
    let Some(ty) = Ty::parse(ty) else { return Ok(None) };
    let (mut space, mut op) = (Space::Generic, None);
    for part in middle {
        match *part {
            "relaxed" | "acquire" | "release" | "acq_rel" | "cta" | "cluster" | "gpu" | "sys" => {}
            "add" => op = Some(Rmw::Add),
            "min" => op = Some(Rmw::Min),
            "max" => op = Some(Rmw::Max),
            "and" => op = Some(Rmw::And),
            "or" => op = Some(Rmw::Or),
            "xor" => op = Some(Rmw::Xor),
            "exch" => op = Some(Rmw::Exch),
            "cas" => op = Some(Rmw::Cas),
            "inc" => op = Some(Rmw::Inc),
            "dec" => op = Some(Rmw::Dec),
            other => match self::space(other) {
                Some(found) => space = found,
                None => return Ok(None),
            },
        }
    }
    let Some(op) = op else { return Ok(None) };
    let d = if *name == "atom" { o.d_or_sink()? } else { None };
    let (m, a) = (o.m()?, o.s()?);
    let b = if op == Rmw::Cas { Some(o.s()?) } else { None };
    Ok(Some(Op::Atom { space, op, ty, d, m, a, b }))
}
