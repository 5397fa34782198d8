//! Lowering of arithmetic on f16 and bf16, alone and in pairs (PTX ISA 9.7.3 and 9.7.4), and of the larger and smaller
//! of pairs of 16-bit integers (9.7.1, `max` and `min`).

use super::names::Operands;
use crate::ir::{HalfOp, Op};
use crate::semantics::alu::float::Half;
use crate::syntax::SyntaxError;

/// Lowers one instruction; `None` if it is none of these.
pub(super) fn lower(parts: &[&str], o: &mut Operands<'_>) -> Result<Option<Op>, SyntaxError> {
    let [name, rest @ .., ty] = parts else { return Ok(None) };
    let (half, pair) = match *ty {
        "f16" => (Half::F16, false),
        "f16x2" => (Half::F16, true),
        "bf16" => (Half::Bf16, false),
        "bf16x2" => (Half::Bf16, true),
        "u16x2" => {
            let op = match (*name, rest) {
                ("max", []) => HalfOp::MaxUnsigned,
                ("min", []) => HalfOp::MinUnsigned,
                _ => return Ok(None),
            };
            let (d, a, b) = (o.d()?, o.s()?, o.s()?);
            // Halves of integers: the kind of float is not looked at.
            return Ok(Some(Op::Half { op, half: Half::F16, pair: true, d, a, b, c: b }));
        }
        _ => return Ok(None),
    };
    let (op, sources) = match (*name, rest) {
        ("add", [] | ["rn"]) => (HalfOp::Add, 2),
        ("sub", [] | ["rn"]) => (HalfOp::Sub, 2),
        ("mul", [] | ["rn"]) => (HalfOp::Mul, 2),
        ("fma", ["rn"]) => (HalfOp::Fma, 3),
        ("min", []) => (HalfOp::Min, 2),
        ("max", []) => (HalfOp::Max, 2),
        ("min", ["NaN"]) => (HalfOp::MinNan, 2),
        ("max", ["NaN"]) => (HalfOp::MaxNan, 2),
        ("neg", []) => (HalfOp::Neg, 1),
        ("abs", []) => (HalfOp::Abs, 1),
        _ => return Ok(None),
    };
    let (d, a) = (o.d()?, o.s()?);
    let b = if sources > 1 { o.s()? } else { a };
    let c = if sources > 2 { o.s()? } else { a };
    Ok(Some(Op::Half { op, half, pair, d, a, b, c }))
}
