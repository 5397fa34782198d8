//! Faults of control: bounds off by one, guards dropped, choices turned round.

use super::line::Line;
use super::{Mutant, drop_line, readers, replace};

pub(super) fn mutants(lines: &[Line<'_>], to: &mut Vec<Mutant>) {
    for (i, line) in lines.iter().enumerate() {
        if line.polls {
            continue;
        }
        bounds(line, to);
        branches(lines, i, to);
        choices(lines, i, to);
    }
}

/// `<` for `<=` and the like.
fn bounds(line: &Line<'_>, to: &mut Vec<Mutant>) {
    const PAIRS: [(&str, &str); 4] = [
        ("setp.lt.", "setp.le."),
        ("setp.le.", "setp.lt."),
        ("setp.gt.", "setp.ge."),
        ("setp.ge.", "setp.gt."),
    ];
    // From this many columns or blocks on a longer loop does the same work: its bound is a matter of speed.
    let unrolls = line.is("setp.lt.u32") && matches!(line.constant(), Some(512 | 1024));
    for (from, other) in PAIRS {
        if line.is(from) && !unrolls {
            let opcode = line.opcode.replace(from, other);
            to.push(replace(line, "bound", line.with_opcode(&opcode)));
        }
    }
    if line.is("min.u32") {
        to.push(replace(line, "clamp", line.with_opcode("max.u32")));
    }
}

/// Branches that are always or never taken, or taken when they should not be.
fn branches(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    let Some(guard) = line.guard else { return };
    if !line.is("bra") {
        return;
    }
    // The guard of a store or of an addition to the status: without it, rows of others are written.
    let guards_store = lines[i + 1..].iter().take(3).any(|line| line.is("st.") || line.is("red."));
    let kind = if guards_store { "drop-guard" } else { "branch" };
    // Without this guard, 0 is ORed into the status.
    let adds_nothing = i > 0
        && lines[i - 1].is("setp.eq.b32")
        && lines[i - 1].constant() == Some(0)
        && lines.get(i + 1).is_some_and(|next| {
            next.is("red.global.or") && next.operands[1] == lines[i - 1].operands[1]
        });
    if !adds_nothing {
        to.push(drop_line(line, kind));
    }
    let turned = match guard.strip_prefix("@!") {
        Some(predicate) => format!("@{predicate}"),
        None => format!("@!{}", &guard[1..]),
    };
    let text = format!("\t{turned} {} \t{};", line.opcode, line.operands.join(", "));
    to.push(replace(line, "branch-turned", text));
}

fn choices(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    // The number of the warp is the same in all of its lanes; and what nobody reads may be anything.
    let uniform = line.is("shfl") && i > 0 && lines[i - 1].is("shr.u32") && {
        let warp = &lines[i - 1];
        warp.operands[0] == line.operands[1] && warp.constant() == Some(5)
    };
    // Counts are 64 bits wide, and none that a test could have needs the upper half.
    let upper_half = line.is("shfl")
        && i > 0
        && lines[i - 1].is("mov.b64")
        && lines[i - 1].operands[0]
            .strip_prefix("{_, ")
            .is_some_and(|register| register.trim_end_matches('}') == line.operands[1]);
    if uniform || upper_half || readers(lines, line).next().is_none() {
        return;
    }
    if line.is("selp.") {
        let [d, yes, no, predicate] = line.operands[..] else { return };
        to.push(replace(line, "choice", line.with_operands(&[d, no, yes, predicate])));
    }
    if line.is("shfl.sync.up") && line.operands.len() == 5 {
        let distance = line.operands[2].parse().unwrap_or(0);
        let other = if distance == 16 { 8 } else { distance * 2 }.to_string();
        to.push(replace(line, "shuffle", line.with_operand(2, &other)));
    }
    if line.is("shfl.sync.idx") {
        let other = if line.operands[2] == "0" { "1" } else { "0" };
        to.push(replace(line, "shuffle", line.with_operand(2, other)));
    }
    if line.is("not.b32") {
        to.push(replace(line, "vote", line.with_opcode("mov.b32")));
    }
}
