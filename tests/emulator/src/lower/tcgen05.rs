//! Lowering of `tcgen05` (PTX ISA 9.7.16).

use super::names::Operands;
use crate::ir::{Op, Space, Tcgen05};
use crate::semantics::fragment::TmemShape;
use crate::syntax::SyntaxError;

type Lowered = Result<Option<Op>, SyntaxError>;

/// Whether a `.target` has the family. Plain `sm_100` has not (PTX ISA 9.7.16, target notes).
pub(super) fn exists_on(target: &str) -> bool {
    let target = target.split(',').next().unwrap_or(target);
    matches!(target, "sm_100a" | "sm_100f" | "sm_103a" | "sm_103f")
}

/// Lowers one instruction; `None` if it is not known.
pub(super) fn lower(parts: &[&str], o: &mut Operands<'_>) -> Lowered {
    let ["tcgen05", parts @ ..] = parts else { return Ok(None) };
    let op = match parts {
        ["fence::before_thread_sync"] => Tcgen05::FenceBefore,
        ["fence::after_thread_sync"] => Tcgen05::FenceAfter,
        ["wait::ld", "sync", "aligned"] => Tcgen05::WaitLd,
        ["wait::st", "sync", "aligned"] => Tcgen05::WaitSt,
        [name @ ("ld" | "st"), "sync", "aligned", shape, count, "b32"] => {
            return load_store(name, shape, count, o);
        }
        [name, group, rest @ ..] => {
            let group = match *group {
                "cta_group::1" => 1,
                "cta_group::2" => 2,
                _ => return Ok(None),
            };
            return of_group(name, group, rest, o);
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Tcgen05(op)))
}

/// The instructions that name a `.cta_group`.
fn of_group(name: &str, group: u32, rest: &[&str], o: &mut Operands<'_>) -> Lowered {
    let op = match (name, rest) {
        ("alloc", ["sync", "aligned", space @ .., "b32"]) => {
            let space = match space {
                [] => Space::Generic,
                ["shared::cta"] => Space::Shared,
                _ => return Ok(None),
            };
            Tcgen05::Alloc { group, space, m: o.m()?, columns: o.s()? }
        }
        ("dealloc", ["sync", "aligned", "b32"]) => {
            Tcgen05::Dealloc { group, address: o.s()?, columns: o.s()? }
        }
        ("relinquish_alloc_permit", ["sync", "aligned"]) => Tcgen05::Relinquish { group },
        ("cp", ["32x128b", "warpx4"]) => Tcgen05::Cp { group, m: o.m()?, source: o.s()? },
        ("commit", ["mbarrier::arrive::one", tail @ .., "b64"]) => {
            let multicast = match tail {
                [] | ["shared::cluster"] => false,
                ["multicast::cluster"] | ["shared::cluster", "multicast::cluster"] => true,
                _ => return Ok(None),
            };
            let m = o.m()?;
            let multicast = if multicast { Some(o.s()?) } else { None };
            Tcgen05::Commit { group, m, multicast }
        }
        ("mma", ["kind::f8f6f4"]) => return mma(group, false, o),
        // One spelling for each target, and none where it is the only size: the kind has one scale for 32 elements.
        (
            "mma",
            ["kind::mxf8f6f4", "block_scale"]
            | ["kind::mxf8f6f4", "block_scale", "block32" | "scale_vec::1X"],
        ) => return mma(group, true, o),
        _ => return Ok(None),
    };
    Ok(Some(Op::Tcgen05(op)))
}

fn mma(group: u32, scaled: bool, o: &mut Operands<'_>) -> Lowered {
    let (d, a, b, descriptor) = (o.m()?, o.s()?, o.s()?, o.s()?);
    let scales = if scaled { Some([o.m()?, o.m()?]) } else { None };
    if o.is_vector() {
        return o.fail("disabled output lanes are not known");
    }
    let accumulate = o.sp()?;
    Ok(Some(Op::Tcgen05(Tcgen05::Mma { group, d, a, b, descriptor, scales, accumulate })))
}

fn load_store(name: &str, shape: &str, count: &str, o: &mut Operands<'_>) -> Lowered {
    let Some(count) = count.strip_prefix('x').and_then(|n| n.parse::<u32>().ok()) else {
        return Ok(None);
    };
    let mut shape = match shape {
        "32x32b" => TmemShape::B32x32,
        "16x64b" => TmemShape::B16x64,
        "16x128b" => TmemShape::B16x128,
        "16x256b" => TmemShape::B16x256,
        "16x32bx2" => TmemShape::B16x32x2 { split: 0 },
        _ => return Ok(None),
    };
    if !shape.allows(count) {
        return o.fail(format!("x{count} does not exist for this shape"));
    }
    let needed = (count * shape.registers()) as usize;
    let mut split = |o: &mut Operands<'_>| -> Result<(), SyntaxError> {
        if let TmemShape::B16x32x2 { split } = &mut shape {
            *split = match o.constant()? {
                columns @ 0..=512 => columns as u32,
                _ => return o.fail("the second half begins beyond tensor memory"),
            };
        }
        Ok(())
    };
    let (given, op) = if name == "ld" {
        let d = o.registers()?;
        let m = o.m()?;
        split(o)?;
        (d.len(), Tcgen05::Ld { shape, d, m })
    } else {
        let m = o.m()?;
        split(o)?;
        let a = o.s_list()?;
        (a.len(), Tcgen05::St { shape, a, m })
    };
    if given != needed {
        return o.fail(format!("{given} registers, {needed} are needed"));
    }
    Ok(Some(Op::Tcgen05(op)))
}
