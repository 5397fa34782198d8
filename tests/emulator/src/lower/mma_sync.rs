//! Lowering of `mma.sync` with E4M3 operands (PTX ISA 9.7.14.5).

use super::names::Operands;
use crate::ir::{MmaSync, Op};
use crate::semantics::tensor::mma_sync::Family;
use crate::syntax::SyntaxError;

/// The family of a `.target` whose rule is known.
pub(super) fn family(target: &str) -> Option<Family> {
    match target.split(',').next().unwrap_or(target) {
        "sm_89" => Some(Family::Ada),
        "sm_120" | "sm_120a" | "sm_120f" | "sm_121" | "sm_121a" | "sm_121f" => {
            Some(Family::BlackwellRtx)
        }
        _ => None,
    }
}

/// Lowers one instruction; `None` if it is not known. The family is the caller's to set.
pub(super) fn lower(parts: &[&str], o: &mut Operands<'_>) -> Result<Option<Op>, SyntaxError> {
    let ["mma", "sync", "aligned", "m16n8k32", "row", "col", rest @ ..] = parts else {
        return Ok(None);
    };
    let rest = if rest.first() == Some(&"kind::f8f6f4") { &rest[1..] } else { rest };
    if rest != ["f32", "e4m3", "e4m3", "f32"] {
        return Ok(None);
    }
    let (d, a, b, c) = (o.registers()?, o.s_list()?, o.s_list()?, o.s_list()?);
    if [d.len(), a.len(), b.len(), c.len()] != [4, 4, 2, 4] {
        return o.fail("4, 4, 2 and 4 registers are needed");
    }
    Ok(Some(Op::MmaSync(MmaSync { family: Family::Ada, d, a, b, c })))
}
