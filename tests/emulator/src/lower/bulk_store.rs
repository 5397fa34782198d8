//! Lowering of bulk copies out of shared memory (PTX ISA 9.7.9.25.4 to 9.7.9.25.6).

use super::names::Operands;
use crate::ir::{BulkStore, Op};
use crate::syntax::SyntaxError;

/// Lowers what follows `cp.async.bulk`; `None` if it is no store.
pub(super) fn lower(rest: &[&str], o: &mut Operands<'_>) -> Result<Option<Op>, SyntaxError> {
    let op = match rest {
        ["commit_group"] => BulkStore::Commit,
        ["wait_group"] => BulkStore::Wait { left: o.constant()? as u32, read: false },
        ["wait_group", "read"] => BulkStore::Wait { left: o.constant()? as u32, read: true },
        ["global", "shared::cta", tail @ ..] => {
            let Some(hint) = hint(tail) else { return Ok(None) };
            let op = BulkStore::Flat { to: o.m()?, from: o.m()?, bytes: o.s()? };
            if hint {
                o.s()?;
            }
            op
        }
        ["tensor", rank, "global", "shared::cta", tail @ ..] => {
            let tail = if tail.first() == Some(&"tile") { &tail[1..] } else { tail };
            let Some(hint) = hint(tail) else { return Ok(None) };
            let Some(rank) = rank_of(rank) else { return Ok(None) };
            let (map, coordinates) = o.m_at()?;
            if coordinates.len() != rank as usize {
                return o.fail(format!("{} coordinates for rank {rank}", coordinates.len()));
            }
            let op = BulkStore::Tile { rank, map, coordinates, from: o.m()? };
            if hint {
                o.s()?;
            }
            op
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::BulkStore(op)))
}

/// Whether a cache policy, which has no effect here, follows the completion mechanism.
fn hint(tail: &[&str]) -> Option<bool> {
    match tail {
        ["bulk_group"] => Some(false),
        ["bulk_group", "L2::cache_hint"] => Some(true),
        _ => None,
    }
}

/// The dimensions that `1d` to `5d` name.
pub(super) fn rank_of(text: &str) -> Option<u32> {
    match text {
        "1d" => Some(1),
        "2d" => Some(2),
        "3d" => Some(3),
        "4d" => Some(4),
        "5d" => Some(5),
        _ => None,
    }
}
