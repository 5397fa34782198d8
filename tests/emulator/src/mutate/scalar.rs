//! Faults of scalar arithmetic: other constants, operands exchanged, comparisons turned round.

use super::line::Line;
use super::{Mutant, replace};

pub(super) fn mutants(lines: &[Line<'_>], to: &mut Vec<Mutant>) {
    for (i, line) in lines.iter().enumerate() {
        if line.polls {
            continue;
        }
        constants(lines, i, to);
        operands(line, to);
    }
}

fn constants(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    let (Some(constant), last) = (line.constant(), line.operands.len().saturating_sub(1)) else {
        return;
    };
    let mut push = |kind, constant: i64| {
        to.push(replace(line, kind, line.with_operand(last, &constant.to_string())));
    };
    if line.is("shr.u") && (1..=30).contains(&constant) {
        push("shift", constant + 1);
        // Bit 1 of a number without its 30 lowest bits is the sign; of one without 29, a bit that none in range has.
        let sign = lines.get(i + 1).is_some_and(|next| {
            next.is("and.b32") && next.constant() == Some(2) && next.operands[1] == line.operands[0]
        });
        if !sign {
            push("shift", constant - 1);
        }
    }
    if (line.is("add.s32") || line.is("add.s64")) && (1..=65_536).contains(&constant.abs()) {
        push("addend", constant * 2);
    }
    if line.is("mul.") && constant.abs() > 1 {
        push("factor", constant - 1);
    }
    if line.is("mov.b32") {
        push("initial", constant + 1);
    }
}

fn operands(line: &Line<'_>, to: &mut Vec<Mutant>) {
    if line.is("sub.s") && line.operands.len() == 3 {
        let [d, a, b] = line.operands[..] else { return };
        to.push(replace(line, "difference", line.with_operands(&[d, b, a])));
    }
    if line.is("mad.") {
        let [d, a, b, c] = line.operands[..] else { return };
        to.push(replace(line, "sum-operands", line.with_operands(&[d, a, c, b])));
    }
    // Of a number and 0, always 0. 1 makes a predicate, which other faults turn round.
    if line.is("selp.") {
        for operand in [1, 2] {
            if line.operands[operand].parse::<i64>().is_ok_and(|constant| constant > 1) {
                to.push(replace(line, "selected", line.with_operand(operand, "0")));
            }
        }
    }
    for (from, other) in [("setp.eq.", "setp.ne."), ("setp.ne.", "setp.eq.")] {
        if line.is(from) {
            let opcode = line.opcode.replace(from, other);
            to.push(replace(line, "compare", line.with_opcode(&opcode)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::mutate::with_kinds;

    const KERNEL: &str = "\
.visible .entry k(
)
{
\tshr.u32 \t%r1, %r2, 30;
\tand.b32 \t%r3, %r1, 2;
\tadd.s32 \t%r4, %r3, 8;
\tmul.wide.u32 \t%rd1, %r4, 12;
\tmad.lo.s32 \t%r5, %r4, %r3, %r2;
\tsub.s32 \t%r6, %r5, %r4;
\tsetp.eq.b32 \t%p1, %r6, 0;
\tselp.b32 \t%r7, 64, 0, %p1;
\tmov.b32 \t%r8, 0;
\tret;
}
";

    #[test]
    fn each_kind_of_line_has_its_faults() {
        let all = with_kinds(
            KERNEL,
            &[
                "shift",
                "addend",
                "factor",
                "sum-operands",
                "difference",
                "compare",
                "selected",
                "initial",
            ],
        );
        // The shift is by 31, and not by 29.
        assert_eq!(all.iter().filter(|(_, mutant)| mutant.kind == "shift").count(), 1);
    }
}
