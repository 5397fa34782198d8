//! Faults of synchronisation: what was dropped, counted wrongly, or told to the wrong one.

use super::line::Line;
use super::{Mutant, drop_line, replace};

pub(super) fn mutants(lines: &[Line<'_>], to: &mut Vec<Mutant>) {
    for (i, line) in lines.iter().enumerate() {
        dropped(line, to);
        waits(lines, i, to);
        arrivals(lines, i, to);
        counts(lines, i, to);
    }
}

/// Lines whose absence must be noticed.
fn dropped(line: &Line<'_>, to: &mut Vec<Mutant>) {
    const DROPPED: [(&str, &str); 10] = [
        ("fence.", "drop-fence"),
        ("wgmma.fence", "drop-wgmma-fence"),
        ("wgmma.commit_group", "drop-commit"),
        ("wgmma.wait_group", "drop-wgmma-wait"),
        ("cp.async.wait", "drop-copy-wait"),
        ("bar.warp.sync", "drop-warp-sync"),
        ("bar.sync", "drop-cta-barrier"),
        ("barrier.cluster", "drop-cluster-barrier"),
        ("mbarrier.init", "drop-init"),
        ("red.global", "drop-status"),
    ];
    for (opcode, kind) in DROPPED {
        if line.is(opcode) {
            to.push(drop_line(line, kind));
        }
    }
    if line.is("mbarrier.arrive") && !line.is("mbarrier.arrive.expect_tx") {
        let remote = line.is("mbarrier.arrive.shared::cluster");
        to.push(drop_line(line, if remote { "drop-remote-arrive" } else { "drop-arrive" }));
    }
    if line.is("mbarrier.arrive.expect_tx") {
        // The arrival without the bytes.
        let arrive = format!("\tmbarrier.arrive.shared::cta.b64 \t_, {};", line.operands[1]);
        to.push(replace(line, "drop-expect", arrive));
    }
    if line.is("cp.async.bulk") {
        to.push(drop_line(line, "drop-copy"));
    }
    // Left out: a wait for fewer groups than asked for only waits longer.
    if line.is("wgmma.wait_group")
        && let Some(groups) = line.constant()
    {
        let groups = (groups + 1).to_string();
        to.push(replace(line, "wait-group", line.with_operand(0, &groups)));
    }
}

/// Waits for a barrier: of the other parity, or not at all.
fn waits(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    if !line.is("mbarrier.try_wait") {
        return;
    }
    let [done, barrier, parity] = line.operands[..] else { return };
    let opcode = line.opcode;
    let flipped = format!(
        "{{ .reg .b32 flipped; xor.b32 flipped, {parity}, 1; {opcode} {done}, {barrier}, flipped; }}"
    );
    to.push(replace(line, "flip-parity", flipped));
    let branch = lines[i + 1..].iter().take(4).find(|line| line.is("bra"));
    to.extend(branch.map(|branch| drop_line(branch, "drop-wait")));
}

/// Arrivals at another barrier or at another CTA's.
fn arrivals(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    if line.is("mapa.") {
        let [remote, own, rank] = line.operands[..] else { return };
        let local = format!("mov.b32 {remote}, {own};");
        to.push(replace(line, "arrive-at-own-cta", local));
        for other in ["0", "1"] {
            let is_that =
                i > 0 && lines[i - 1].is("mov.b32") && lines[i - 1].operands[..] == [rank, other];
            if rank != other && !is_that {
                to.push(replace(line, "arrive-at-one-cta", line.with_operand(2, other)));
            }
        }
    }
    if line.is("mbarrier.arrive.shared::cta") {
        let barrier = line.operands[1].trim_end_matches(']');
        for distance in ["+8", "+-8"] {
            let operand = format!("{barrier}{distance}]");
            to.push(replace(line, "arrive-elsewhere", line.with_operand(1, &operand)));
        }
    }
    if line.is("mbarrier.arrive.expect_tx") {
        let [sink, barrier, bytes] = line.operands[..] else { return };
        for change in ["16", "-16", "128"] {
            let changed = format!(
                "\t{{ .reg .b32 changed; add.s32 changed, {bytes}, {change}; {} {sink}, {barrier}, \
                 changed; }}",
                line.opcode
            );
            to.push(replace(line, "expect-bytes", changed));
        }
    }
}

/// Arrivals that a barrier is made for, and slots of the rings.
fn counts(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    if line.is("mbarrier.init") {
        let [barrier, count] = line.operands[..] else { return };
        for change in ["1", "-1"] {
            let changed = format!(
                "\t{{ .reg .b32 changed; add.s32 changed, {count}, {change}; {} {barrier}, changed; }}",
                line.opcode
            );
            to.push(replace(line, "barrier-count", changed));
        }
    }
    // `next == slots` behind `next = slot + 1`.
    let advances = |source: &str| {
        lines[..i].iter().rev().take(12).any(|before| {
            before.is("add.s32") && before.operands[0] == source && before.constant() == Some(1)
        })
    };
    if line.is("setp.eq.b32")
        && let Some(slots @ 2..=16) = line.constant()
        && advances(line.operands[1])
    {
        for other in [slots - 1, slots + 1] {
            let other = other.to_string();
            to.push(replace(line, "ring-slots", line.with_operand(2, &other)));
        }
    }
    if line.is("setmaxnreg") {
        // A warp that does not ask for more gets along with fewer: the compiler's business, and its budget is held
        // elsewhere.
        if line.is("setmaxnreg.dec") {
            to.push(drop_line(line, "setmaxnreg"));
        }
        if let Some(registers) = line.constant() {
            for other in [registers + 8, registers + 4] {
                let other = other.to_string();
                to.push(replace(line, "setmaxnreg", line.with_operand(0, &other)));
            }
        }
    }
}
