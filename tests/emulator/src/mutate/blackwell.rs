//! Faults of tensor memory and of bulk copies out of shared memory.

use super::line::Line;
use super::{Mutant, drop_line, replace};

pub(super) fn mutants(lines: &[Line<'_>], to: &mut Vec<Mutant>) {
    for (i, line) in lines.iter().enumerate() {
        dropped(lines, i, to);
        products(lines, i, to);
        places(line, to);
        commits(line, to);
        stores(line, to);
    }
}

/// Lines whose absence must be noticed. Giving up the permit to allocate is only for others.
fn dropped(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    const DROPPED: [(&str, &str); 8] = [
        ("tcgen05.fence::before", "drop-tensor-fence-before"),
        ("tcgen05.fence::after", "drop-tensor-fence-after"),
        ("tcgen05.wait::", "drop-tensor-wait"),
        ("tcgen05.commit", "drop-tensor-commit"),
        ("tcgen05.dealloc", "drop-dealloc"),
        ("tcgen05.alloc", "drop-alloc"),
        ("tcgen05.cp", "drop-scale-copy"),
        ("tcgen05.mma", "drop-product"),
    ];
    let line = &lines[i];
    // Allocations are not asynchronous (PTX ISA 9.7.16.6.1): no fence has to come between one and another thread.
    let is_tensor = |line: &&Line<'_>| line.is("tcgen05.") && !line.is("tcgen05.fence");
    let last = lines[..i].iter().rev().take(12).find(is_tensor);
    let next = lines[i + 1..].iter().take(2).find(is_tensor);
    let only_allocations = line.is("tcgen05.fence")
        && (last.is_some_and(|last| last.is("tcgen05.alloc") || last.is("tcgen05.relinquish"))
            || line.is("tcgen05.fence::after")
                && next.is_some_and(|next| next.is("tcgen05.dealloc")));
    if only_allocations {
        return;
    }
    for (opcode, kind) in DROPPED {
        if line.is(opcode) {
            to.push(drop_line(line, kind));
        }
    }
}

/// The line with an operand that is computed from the one that stands there.
fn computed(line: &Line<'_>, index: usize, compute: &str) -> String {
    let operand = line.operands[index];
    let class = if line.operands[index].starts_with("%r") && !operand.starts_with("%rd") {
        "b32"
    } else {
        "b64"
    };
    let (operation, by) = compute.split_once(' ').unwrap_or((compute, "0"));
    let inner = line.with_operand(index, "changed");
    format!(
        "\t{{ .reg .{class} changed; {operation}.{class} changed, {operand}, {by}; {} }}",
        inner.trim()
    )
}

/// Operands of products, and fields of their instruction descriptor.
fn products(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    if !line.is("tcgen05.mma") || line.operands.len() < 5 {
        return;
    }
    let mut push = |kind, text| to.push(replace(line, kind, text));
    let exchanged = |i: usize, j: usize| {
        let mut operands = line.operands.clone();
        operands.swap(i, j);
        line.with_operands(&operands)
    };
    push("product-operands", exchanged(1, 2));
    if line.operands.len() == 7 {
        push("product-scales", exchanged(4, 5));
        // The scale ids: bits 29 and 4 (PTX ISA 9.7.16.4.2).
        push("scale-id-a", computed(line, 3, "xor 0x20000000"));
        push("scale-id-b", computed(line, 3, "xor 0x10"));
    }
    // N in steps of 8, and M in steps of 128.
    push("product-n", computed(line, 3, "xor 0x20000"));
    push("product-m", computed(line, 3, "xor 0x18000000"));
    let last = line.operands.len() - 1;
    push("product-sum", line.with_operand(last, "0"));
    if !always_adds(lines, i) {
        push("product-sum", line.with_operand(last, "1"));
    }
}

/// Whether the predicate of a product is known to be true: made from a register that holds 1.
fn always_adds(lines: &[Line<'_>], i: usize) -> bool {
    let Some(made) = i.checked_sub(1).map(|before| &lines[before]) else { return false };
    let writes = |line: &&Line<'_>| line.operands.first() == made.operands.get(1);
    made.is("setp.ne")
        && lines[..i - 1]
            .iter()
            .rev()
            .take(40)
            .find(writes)
            .is_some_and(|line| line.is("mov.b32") && line.constant() == Some(1))
}

/// Where a copy, a product, a load or a store goes.
fn places(line: &Line<'_>, to: &mut Vec<Mutant>) {
    let moved = |index: usize, columns: u32| {
        let operand = line.operands[index].trim_end_matches(']');
        line.with_operand(index, &format!("{operand}+{columns}]"))
    };
    if line.is("tcgen05.cp") {
        to.push(replace(line, "scale-copy-column", moved(0, 4)));
    }
    if line.is("tcgen05.mma") {
        to.push(replace(line, "product-column", moved(0, 8)));
    }
    for (opcode, index) in [("tcgen05.ld", 1), ("tcgen05.st", 0)] {
        if line.is(opcode) && !line.operands[index].contains('+') {
            to.push(replace(line, "tensor-column", moved(index, 1)));
            to.push(replace(line, "tensor-lane", moved(index, 32 << 16)));
        }
    }
    for (opcode, index) in [("tcgen05.alloc", 1), ("tcgen05.dealloc", 1)] {
        if line.is(opcode)
            && let Some(columns) = line.constant()
        {
            let half = (columns / 2).to_string();
            to.push(replace(line, "tensor-columns", line.with_operand(index, &half)));
        }
    }
}

/// Commits to another mbarrier or to one CTA of two.
fn commits(line: &Line<'_>, to: &mut Vec<Mutant>) {
    if line.is("cp.async.bulk.tensor") && line.opcode.contains(".cta_group::2") {
        let own = line.opcode.replace(".cta_group::2", "");
        to.push(replace(line, "signal-own", line.with_opcode(&own)));
    }
    if !line.is("tcgen05.commit") {
        return;
    }
    let barrier = line.operands[0].trim_end_matches(']');
    let moved = line.with_operand(0, &format!("{barrier}+8]"));
    to.push(replace(line, "commit-elsewhere", moved));
    if line.operands.len() == 2 {
        for mask in ["1", "2"] {
            to.push(replace(line, "commit-mask", line.with_operand(1, mask)));
        }
    }
}

/// Waits for bulk copies out of shared memory: for fewer of them, or for their reads only.
fn stores(line: &Line<'_>, to: &mut Vec<Mutant>) {
    if !line.is("cp.async.bulk.wait_group") {
        return;
    }
    if let Some(groups) = line.constant() {
        let groups = (groups + 1).to_string();
        to.push(replace(line, "bulk-wait", line.with_operand(0, &groups)));
    }
}

#[cfg(test)]
mod tests {
    use crate::mutate::with_kinds;

    const KERNEL: &str = "\
.visible .entry k(
)
{
\ttcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 \t[%r1], 512;
\tcp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes.cta_group::2 \t[%r1], [%rd1, {%r2}], [%r3];
\ttcgen05.cp.cta_group::2.32x128b.warpx4 \t[%r4], %rd2;
\ttcgen05.mma.cta_group::2.kind::mxf8f6f4.block_scale \t[%r5], %rd3, %rd4, %r6, [%r7], [%r8], %p1;
\ttcgen05.commit.cta_group::2.mbarrier::arrive::one.shared::cluster.multicast::cluster.b64 \t[%r9], %rs1;
\ttcgen05.ld.sync.aligned.32x32b.x1.b32 \t{%r10}, [%r5];
\ttcgen05.wait::ld.sync.aligned;
\ttcgen05.fence::before_thread_sync;
\tcp.async.bulk.tensor.2d.global.shared::cta.bulk_group \t[%rd1, {%r2, %r3}], [%r1];
\tcp.async.bulk.wait_group.read \t0;
\tret;
}
";

    #[test]
    fn each_kind_of_line_has_its_faults() {
        let all = with_kinds(
            KERNEL,
            &[
                "tensor-columns",
                "signal-own",
                "drop-scale-copy",
                "scale-copy-column",
                "product-scales",
                "scale-id-b",
                "product-n",
                "commit-mask",
                "commit-elsewhere",
                "tensor-lane",
                "drop-tensor-wait",
                "drop-tensor-fence-before",
                "box-coordinates",
                "bulk-wait",
            ],
        );
        // A box has a place in a load's second operand and in a store's first.
        let boxes = all.iter().filter(|(_, mutant)| mutant.kind == "box-coordinates");
        assert_eq!(boxes.count(), 1 + 3);
    }
}
