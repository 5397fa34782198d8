//! Faults of packed elements: 8-bit codes and 16-bit floats, several to a register, and the lanes that share them.

use super::line::Line;
use super::{Mutant, neighbour, readers, replace};

pub(super) fn mutants(lines: &[Line<'_>], to: &mut Vec<Mutant>) {
    for (i, line) in lines.iter().enumerate() {
        fragments(line, to);
        factors(lines, i, to);
        halves(lines, line, to);
        lanes(lines, line, to);
        predicates(line, to);
    }
}

/// wgmma with the first operand in registers: sum, fragment of A, descriptor of B, whether to add, two signs, order of B.
fn fragments(line: &Line<'_>, to: &mut Vec<Mutant>) {
    if !line.is("wgmma.mma_async") || line.operands.len() != 7 {
        return;
    }
    let mut push = |kind, text| to.push(replace(line, kind, text));
    let registers: Vec<&str> = line.operands[1].trim_matches(['{', '}']).split(", ").collect();
    // Registers 0 and 1 are rows, 0 and 2 columns.
    for other in [1, 2] {
        let mut registers = registers.clone();
        registers.swap(0, other);
        push("mma-fragment", line.with_operand(1, &format!("{{{}}}", registers.join(", "))));
    }
    push("mma-accumulate", line.with_operand(3, "0"));
    for sign in [4, 5] {
        push("mma-sign", line.with_operand(sign, "-1"));
    }
    let other = |from, to| line.with_opcode(&line.opcode.replace(from, to));
    let f16 = line.opcode.ends_with(".f16.f16");
    push("mma-type", if f16 { other(".f16.f16", ".bf16.bf16") } else { other(".bf16", ".f16") });
}

/// The codes or the scale of a neighbour.
fn factors(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    if !(line.is("mul.rn.f16x2") || line.is("mul.rn.bf16x2")) {
        return;
    }
    for (kind, operand) in [("packed-code", 1), ("packed-scale", 2)] {
        let other = neighbour(lines, i, 20, |other| {
            other.opcode == line.opcode && other.operands[operand] != line.operands[operand]
        });
        to.extend(
            other.map(|other| {
                replace(line, kind, line.with_operand(operand, other.operands[operand]))
            }),
        );
    }
}

/// Halves and bytes of registers: exchanged, the wrong ones, of the wrong one of two.
fn halves(lines: &[Line<'_>], line: &Line<'_>, to: &mut Vec<Mutant>) {
    let mut push = |kind, text| to.push(replace(line, kind, text));
    let converts = line.is("cvt.rn.f16x2.e4m3x2") || line.is("cvt.f32.f16");
    // Of two halves that are converted together one may be nobody's.
    if converts && readers(lines, line).next().is_some() {
        let other = match line.operands[1] {
            "l" => "h",
            "h" => "l",
            _ => return,
        };
        push("convert-half", line.with_operand(1, other));
    }
    if line.is("cvt.rn.satfinite.e4m3x2.f32") {
        let [d, high, low] = line.operands[..] else { return };
        push("convert-order", line.with_operands(&[d, low, high]));
    }
    if line.is("prmt.b32") {
        let [d, a, b, selector] = line.operands[..] else { return };
        if a != b {
            push("permute-registers", line.with_operands(&[d, b, a, selector]));
        }
        // Another byte in the lowest place, and in the highest.
        for (kind, bits) in [("permute-low", 0x1), ("permute-high", 0x1000)] {
            let changed = format!(
                "\t{{ .reg .b32 changed; xor.b32 changed, {selector}, {bits}; {} {d}, {a}, {b}, changed; }}",
                line.opcode
            );
            push(kind, changed);
        }
    }
    if line.is("max.u16x2") {
        let [d, a, b] = line.operands[..] else { return };
        push("packed-smaller", line.with_opcode("min.u16x2"));
        push("packed-one", line.with_operands(&[d, a, a]));
        push("packed-one", line.with_operands(&[d, b, b]));
    }
}

/// Lanes that exchange with the wrong ones, or find out something else about each other.
fn lanes(lines: &[Line<'_>], line: &Line<'_>, to: &mut Vec<Mutant>) {
    if line.is("shfl.sync.bfly") {
        let distance: u32 = line.operands[2].parse().unwrap_or(1);
        for other in [distance * 2, distance / 2] {
            to.push(replace(line, "exchange", line.with_operand(2, &other.to_string())));
        }
    }
    if line.is("redux.sync.max") {
        let opcode = line.opcode.replace(".max", ".min");
        to.push(replace(line, "warp-smallest", line.with_opcode(&opcode)));
    }
    if line.is("vote.sync.ballot") {
        let mut push = |kind, votes| {
            to.push(replace(line, kind, format!("\tmov.b32 {}, {votes};", line.operands[0])));
        };
        push("ballot-none", 0);
        // Where only none is told from some, the faults are those of the branch.
        let asks_for_none = |reader: &Line<'_>| reader.is("setp.") && reader.constant() == Some(0);
        if !readers(lines, line).all(asks_for_none) {
            push("ballot-all", -1);
        }
    }
    if line.is("elect.sync") {
        let Some((_, chosen)) = line.operands[0].split_once('|') else { return };
        let all = format!("setp.eq.u32 {chosen}, 0, 0;");
        to.push(replace(line, "elect-all", all));
    }
}

/// Loads and stores that happen whatever their condition says, or if it says no.
fn predicates(line: &Line<'_>, to: &mut Vec<Mutant>) {
    let Some(predicate) = line.guard.and_then(|guard| guard.strip_prefix('@')) else { return };
    if line.is("bra") {
        return;
    }
    let operation = format!("{} {};", line.opcode, line.operands.join(", "));
    let turned = match predicate.strip_prefix('!') {
        Some(predicate) => format!("@{predicate} {operation}"),
        None => format!("@!{predicate} {operation}"),
    };
    to.push(replace(line, "drop-predicate", operation));
    to.push(replace(line, "predicate-turned", turned));
}

#[cfg(test)]
mod tests {
    use crate::mutate::with_kinds;

    const KERNEL: &str = "\
.visible .entry k_bf16(
)
{
\tcvt.rn.f16x2.e4m3x2 %r1, l;
\tmul.rn.f16x2 %r2, %r1, %r3;
\tmul.rn.f16x2 %r4, %r5, %r6;
\twgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%r7, %r8}, {%r1, %r2, %r3, %r4}, %rd1, 1, 1, 1, 0;
\tmax.u16x2 %r9, %r1, %r2;
\tprmt.b32 %r9, %r1, %r2, %r3;
\tshfl.sync.bfly.b32 %r9, %r1, 2, 31, -1;
\tvote.sync.ballot.b32 %r9, %p1, -1;
\telect.sync leader|chosen, 0xFFFFFFFF;
@wanted st.global.v2.u32 [%rd2], {%r1, %r2};
\tret;
}
";

    #[test]
    fn each_kind_of_line_has_its_faults() {
        let all = with_kinds(
            KERNEL,
            &[
                "convert-half",
                "packed-code",
                "packed-scale",
                "mma-fragment",
                "mma-accumulate",
                "mma-sign",
                "mma-type",
                "packed-smaller",
                "packed-one",
                "permute-registers",
                "permute-low",
                "exchange",
                "ballot-none",
                "elect-all",
                "drop-predicate",
                "predicate-turned",
            ],
        );
        let type_changed = all.iter().find(|(_, mutant)| mutant.kind == "mma-type");
        assert!(type_changed.is_some_and(|(_, mutant)| mutant.after.contains(".f32.f16.f16 ")));
    }
}
