//! Lowering of barriers, asynchronous copies and the tensor core.

use super::names::Operands;
use super::{bulk_store, scalar};
use crate::ir::{MmaA, MmaElement, Op, Src};
use crate::semantics::alu::float::Half;
use crate::syntax::SyntaxError;

type Lowered = Result<Option<Op>, SyntaxError>;

/// Lowers one instruction; `None` if it is not known.
pub(super) fn lower(parts: &[&str], o: &mut Operands<'_>) -> Lowered {
    Ok(Some(match parts {
        ["mbarrier", rest @ .., "b64"] => return mbarrier(rest, o),
        ["mapa", "shared::cluster", "u32"] => Op::Mapa { d: o.d()?, a: o.s()?, rank: o.s()? },
        ["barrier", "cluster", what @ ("arrive" | "wait"), rest @ ..] => {
            let (mut aligned, mut relaxed) = (false, false);
            for part in rest {
                match (*part, *what) {
                    ("aligned", _) => aligned = true,
                    ("relaxed", "arrive") => relaxed = true,
                    ("release", "arrive") | ("acquire", "wait") => {}
                    _ => return Ok(None),
                }
            }
            if *what == "arrive" {
                Op::ClusterArrive { relaxed, aligned }
            } else {
                Op::ClusterWait { aligned }
            }
        }
        ["cp", "async", rest @ ..] => return cp_async(rest, o),
        ["wgmma", "fence", "sync", "aligned"] => Op::WgmmaFence,
        ["wgmma", "commit_group", "sync", "aligned"] => Op::WgmmaCommit,
        ["wgmma", "wait_group", "sync", "aligned"] => Op::WgmmaWait { left: o.constant()? as u32 },
        ["wgmma", "mma_async", "sync", "aligned", shape, "f32", rest @ ..] => {
            return wgmma(shape, rest, o);
        }
        ["stmatrix" | "ldmatrix", "sync", "aligned", "m8n8", count, rest @ .., "b16"] => {
            let count = match *count {
                "x1" => 1,
                "x2" => 2,
                "x4" => 4,
                _ => return Ok(None),
            };
            let transposed = match rest {
                ["shared" | "shared::cta"] => false,
                ["trans", "shared" | "shared::cta"] => true,
                _ => return Ok(None),
            };
            if parts[0] == "stmatrix" {
                let m = o.m()?;
                let a = o.s_list()?;
                if a.len() != count {
                    return o.fail("as many registers as matrices are needed");
                }
                Op::Stmatrix { m, a, transposed }
            } else {
                let d = o.registers()?;
                if d.len() != count {
                    return o.fail("as many registers as matrices are needed");
                }
                Op::Ldmatrix { d, m: o.m()?, transposed }
            }
        }
        ["setmaxnreg", what @ ("inc" | "dec"), "sync", "aligned", "u32"] => {
            let count = o.constant()? as u32;
            // PTX ISA 9.7.19.5.
            if !(24..=256).contains(&count) || !count.is_multiple_of(8) {
                return o.fail("the count is a multiple of 8 from 24 to 256");
            }
            Op::SetMaxNreg { count, increase: *what == "inc" }
        }
        _ => return Ok(None),
    }))
}

/// `wgmma.mma_async` (PTX ISA 9.7.15.5.2): 32 bytes of K, both operands K-major.
fn wgmma(shape: &str, elements: &[&str], o: &mut Operands<'_>) -> Lowered {
    let (element, k) = match elements {
        ["e4m3", "e4m3"] => (MmaElement::E4m3, "k32"),
        ["bf16", "bf16"] => (MmaElement::Half(Half::Bf16), "k16"),
        ["f16", "f16"] => (MmaElement::Half(Half::F16), "k16"),
        _ => return Ok(None),
    };
    let n = shape.strip_prefix("m64n").and_then(|s| s.strip_suffix(k));
    let Some(n) = n.and_then(|n| n.parse::<u32>().ok()) else { return Ok(None) };
    if n == 0 || n > 256 || !n.is_multiple_of(8) {
        return Ok(None);
    }
    let d = o.registers()?;
    if d.len() != n as usize / 2 {
        return o.fail(format!("{} accumulators, {} are needed", d.len(), n / 2));
    }
    let a = if o.is_vector() {
        let Ok(registers) = o.registers()?.try_into() else {
            return o.fail("an operand in registers has four of them");
        };
        MmaA::Registers(registers)
    } else {
        MmaA::Shared(o.s()?)
    };
    let b = o.s()?;
    let scale_d = o.sp()?;
    let mut negate = [false; 2];
    for negate in &mut negate {
        *negate = match o.constant()? as i64 {
            1 => false,
            -1 => true,
            _ => return o.fail("a scale is 1 or -1"),
        };
    }
    // Only 16-bit elements have the choice, and only for operands in shared memory.
    let transposable = match (element, a) {
        (MmaElement::E4m3, _) => 0,
        (MmaElement::Half(_), MmaA::Registers(_)) => 1,
        (MmaElement::Half(_), MmaA::Shared(_)) => 2,
    };
    for _ in 0..transposable {
        if o.constant()? != 0 {
            return o.fail("an operand that is not K-major is not known");
        }
    }
    Ok(Some(Op::Wgmma { element, n, d, a, b, scale_d, negate }))
}

fn mbarrier(rest: &[&str], o: &mut Operands<'_>) -> Lowered {
    let [name, modifiers @ ..] = rest else { return Ok(None) };
    let (mut expect, mut parity, mut remote) = (false, false, false);
    for part in modifiers {
        match *part {
            "expect_tx" if matches!(*name, "arrive" | "arrive_drop") => expect = true,
            "parity" if matches!(*name, "try_wait" | "test_wait") => parity = true,
            "shared" | "shared::cta" => {}
            "shared::cluster"
                if matches!(*name, "arrive" | "arrive_drop" | "expect_tx" | "complete_tx") =>
            {
                remote = true;
            }
            "release" | "acquire" | "relaxed" | "cta" | "cluster"
                if !matches!(*name, "init" | "inval") => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(match *name {
        "init" => Op::MbarInit { m: o.m()?, count: o.s()? },
        "inval" => Op::MbarInval { m: o.m()? },
        "arrive" | "arrive_drop" => {
            let state = o.d_or_sink()?;
            let m = o.m()?;
            let (mut count, mut bytes) = (Src::Imm(1), None);
            if expect {
                bytes = Some(o.s()?);
            } else if o.left() > 0 {
                count = o.s()?;
            }
            let drop = *name == "arrive_drop";
            Op::MbarArrive { m, count, expect: bytes, drop, state, remote }
        }
        "expect_tx" => Op::MbarExpectTx { m: o.m()?, bytes: o.s()?, remote },
        "complete_tx" => Op::MbarCompleteTx { m: o.m()?, bytes: o.s()? },
        "try_wait" | "test_wait" => {
            let p = o.p()?;
            let m = o.m()?;
            let what = o.s()?;
            if o.left() > 0 {
                o.s()?;
            }
            Op::MbarWait { m, p, what, by_parity: parity, blocking: *name == "try_wait" }
        }
        _ => return Ok(None),
    }))
}

fn cp_async(rest: &[&str], o: &mut Operands<'_>) -> Lowered {
    Ok(Some(match rest {
        ["wait_all"] => Op::CpAsyncWait { left: None },
        ["wait_group"] => Op::CpAsyncWait { left: Some(o.constant()? as u32) },
        ["commit_group"] => Op::CpAsyncCommit,
        ["mbarrier", "arrive", tail @ .., "b64"] => {
            let noinc = match tail {
                [] | ["shared" | "shared::cta"] => false,
                ["noinc"] | ["noinc", "shared" | "shared::cta"] => true,
                _ => return Ok(None),
            };
            Op::CpAsyncArrive { m: o.m()?, noinc }
        }
        ["bulk", "tensor", rank, "shared::cluster" | "shared::cta", "global", tail @ ..] => {
            let Some(rank) = bulk_store::rank_of(rank) else { return Ok(None) };
            let tail = if tail.first() == Some(&"tile") { &tail[1..] } else { tail };
            let Some(BulkTail { multicast, pair, hint }) = bulk_tail(tail) else {
                return Ok(None);
            };
            let to = o.m()?;
            let (map, coordinates) = o.m_at()?;
            if coordinates.len() != rank as usize {
                return o.fail(format!("{} coordinates for rank {rank}", coordinates.len()));
            }
            let barrier = o.m()?;
            let multicast = if multicast { Some(o.s()?) } else { None };
            if hint {
                o.s()?;
            }
            Op::Tma { rank, to, map, coordinates, barrier, multicast, pair }
        }
        ["bulk", "shared::cluster" | "shared::cta", "global", tail @ ..] => {
            let Some(BulkTail { multicast, pair: false, hint }) = bulk_tail(tail) else {
                return Ok(None);
            };
            let (to, from, bytes, barrier) = (o.m()?, o.m()?, o.s()?, o.m()?);
            let multicast = if multicast { Some(o.s()?) } else { None };
            if hint {
                o.s()?;
            }
            Op::Bulk { to, from, bytes, barrier, multicast }
        }
        ["bulk", rest @ ..] => return bulk_store::lower(rest, o),
        [how @ ("ca" | "cg"), space, "global", tail @ ..]
            if scalar::space(space) == Some(crate::ir::Space::Shared) =>
        {
            if !tail.iter().all(|part| matches!(*part, "L2::64B" | "L2::128B" | "L2::256B")) {
                return Ok(None);
            }
            let (to, from) = (o.m()?, o.m()?);
            let bytes = o.constant()? as u32;
            let possible = if *how == "cg" { bytes == 16 } else { matches!(bytes, 4 | 8 | 16) };
            if !possible {
                return o.fail(format!("{bytes} bytes are not possible"));
            }
            let source_bytes = if o.left() > 0 { Some(o.s()?) } else { None };
            Op::CpAsync { to, from, bytes, source_bytes }
        }
        _ => return Ok(None),
    }))
}

/// What follows the completion mechanism.
struct BulkTail {
    multicast: bool,
    /// `.cta_group::2`
    pair: bool,
    hint: bool,
}

fn bulk_tail(tail: &[&str]) -> Option<BulkTail> {
    let ["mbarrier::complete_tx::bytes", tail @ ..] = tail else { return None };
    let (multicast, tail) = match tail {
        ["multicast::cluster", tail @ ..] => (true, tail),
        _ => (false, tail),
    };
    let (pair, tail) = match tail {
        ["cta_group::2", tail @ ..] => (true, tail),
        ["cta_group::1", tail @ ..] => (false, tail),
        _ => (false, tail),
    };
    let hint = match tail {
        [] => false,
        ["L2::cache_hint"] => true,
        _ => return None,
    };
    Some(BulkTail { multicast, pair, hint })
}
