//! Faults of data: wrong addresses, descriptors, coordinates, operands.

use super::line::Line;
use super::{Mutant, neighbour, replace};

/// Constant parts of matrix descriptors of K-major tiles (PTX ISA 9.7.15.5 for Hopper, 9.7.16.4 for Blackwell, which has
/// a version in bit 46): the swizzle in the upper bits, and the distance of groups of eight rows in units of 16 bytes from
/// bit 32 on.
const DESCRIPTORS: [Descriptor; 3] = [
    // Rows of 128 bytes, swizzled.
    Descriptor { constant: 0x4000_0040_0000_0000, swizzles: [0, 0x8000_0000_0000_0000] },
    Descriptor { constant: 0x4000_4040_0000_0000, swizzles: [0, 0x8000_0000_0000_0000] },
    // Atoms of scales: rows of 16 bytes, not swizzled.
    Descriptor {
        constant: 0x0000_4008_0000_0000,
        swizzles: [0x4000_0000_0000_0000, 0xC000_0000_0000_0000],
    },
];

/// The swizzle's bits.
const SWIZZLE: u64 = 0xE000_0000_0000_0000;
/// Bits of the distance of groups of eight rows.
const STRIDE: u64 = 0x0000_3FFF_0000_0000;

struct Descriptor {
    constant: u64,
    /// Others than the right one.
    swizzles: [u64; 2],
}

pub(super) fn mutants(lines: &[Line<'_>], to: &mut Vec<Mutant>) {
    for (i, line) in lines.iter().enumerate() {
        descriptors(lines, line, to);
        copies(lines, i, to);
        matrices(lines, i, to);
        arithmetic(lines, i, to);
        memory(lines, i, to);
        addresses(line, to);
    }
}

fn descriptors(lines: &[Line<'_>], line: &Line<'_>, to: &mut Vec<Mutant>) {
    let Some(constant) = line.constant() else { return };
    let described = DESCRIPTORS.iter().find_map(|descriptor| {
        let advance = (constant as u64).wrapping_sub(descriptor.constant);
        (advance < 64).then_some((descriptor, advance))
    });
    if let Some((descriptor, advance)) = described
        && (line.is("or.b64") || line.is("add.s64"))
    {
        let mut push = |kind, constant: u64| {
            let constant = (constant as i64).to_string();
            to.push(replace(line, kind, line.with_operand(2, &constant)));
        };
        let constant = constant as u64;
        for swizzle in descriptor.swizzles {
            push("descriptor-swizzle", constant & !SWIZZLE | swizzle);
        }
        // A tile of eight rows has one group of eight: nothing looks at the distance to the next.
        if !describes_eight_rows(lines, line) {
            let others = constant & !STRIDE;
            push("descriptor-stride", others | (constant & STRIDE) >> 1);
            push("descriptor-stride", others | (constant & STRIDE) << 1);
        }
        push("descriptor-advance", constant + 2);
        if advance > 0 {
            push("descriptor-advance", constant - 1);
        }
    }
    if line.is("bfe.u32") && line.operands.len() == 4 && line.operands[2..] == ["4", "14"] {
        to.push(replace(line, "descriptor-start", line.with_operand(2, "5")));
        to.push(replace(line, "descriptor-start", line.with_operand(3, "11")));
    }
}

/// Whether the register that a line writes describes nothing but the narrowest second operand.
fn describes_eight_rows(lines: &[Line<'_>], line: &Line<'_>) -> bool {
    let register = line.operands[0];
    let mut users = (lines.iter())
        .filter(|user| user.entry == line.entry && user.is("wgmma.mma_async"))
        .filter(|user| user.operands[1] == register || user.operands[2] == register)
        .peekable();
    users.peek().is_some()
        && users.all(|user| user.opcode.contains("m64n8k") && user.operands[1] != register)
}

/// Copies of boxes: coordinates, destination, mask.
fn copies(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    let stores = line.opcode.contains(".global.shared::cta");
    if line.is("cp.async.bulk.tensor") {
        coordinates(line, usize::from(!stores), to);
    }
    if line.is("cp.async.bulk.tensor") && !stores {
        let destination = line.operands[0].trim_end_matches(']');
        let moved = format!("{destination}+1024]");
        to.push(replace(line, "box-destination", line.with_operand(0, &moved)));
    }
    if line.is("cp.async.bulk.shared::cluster.global") {
        let [to_address, from, bytes, barrier] = line.operands[..] else { return };
        let further = |operand: &str| format!("{}+16]", operand.trim_end_matches(']'));
        to.push(replace(line, "bulk-destination", line.with_operand(0, &further(to_address))));
        to.push(replace(line, "bulk-source", line.with_operand(1, &further(from))));
        let changed = format!(
            "\t{{ .reg .b32 changed; add.s32 changed, {bytes}, 16; {} {to_address}, {from}, changed, {barrier}; }}",
            line.opcode
        );
        to.push(replace(line, "bulk-bytes", changed));
    }
    if line.is("mov.b16") {
        for mask in ["1", "2"] {
            to.push(replace(line, "multicast-mask", line.with_operand(1, mask)));
        }
    }
    if line.is("cp.async.ca") && line.operands.len() == 4 {
        let [to_address, from, size, read] = line.operands[..] else { return };
        let constant = lines[..i].last().is_some_and(|before| {
            before.is("mov.b32") && before.operands[0] == read && before.operands[1] == size
        });
        // Saying that all bytes are read is what leaving the number out says.
        if !constant {
            let whole = line.with_operands(&[to_address, from, size]);
            to.push(replace(line, "copy-size", whole));
        }
        let moved = format!("{}+4]", from.trim_end_matches(']'));
        to.push(replace(line, "copy-source", line.with_operand(1, &moved)));
    }
}

/// Coordinates of a box, in an operand: exchanged, and one further.
fn coordinates(line: &Line<'_>, operand: usize, to: &mut Vec<Mutant>) {
    let Some((map, rest)) = line.operands[operand].split_once('{') else { return };
    let Some((axes, end)) = rest.split_once('}') else { return };
    let mut axes: Vec<&str> = axes.split(", ").collect();
    if axes.len() > 1 {
        axes.swap(0, 1);
        let swapped = format!("{map}{{{}}}{end}", axes.join(", "));
        to.push(replace(line, "box-coordinates", line.with_operand(operand, &swapped)));
        axes.swap(0, 1);
    }
    for (axis, coordinate) in axes.iter().enumerate() {
        let mut moved = axes.clone();
        moved[axis] = "moved";
        let changed = format!("{map}{{{}}}{end}", moved.join(", "));
        let text = format!(
            "\t{{ .reg .b32 moved; add.s32 moved, {coordinate}, 1; {} }}",
            line.with_operand(operand, &changed).trim()
        );
        to.push(replace(line, "box-coordinates", text));
    }
}

/// stmatrix and the conversions before it.
fn matrices(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    if line.is("stmatrix") {
        if line.opcode.contains(".trans") {
            let plain = line.opcode.replace(".trans", "");
            to.push(replace(line, "matrix-transpose", line.with_opcode(&plain)));
        } else {
            let transposed = line.opcode.replace(".shared", ".trans.shared");
            to.push(replace(line, "matrix-transpose", line.with_opcode(&transposed)));
        }
        let mut registers: Vec<&str> =
            line.operands[1].trim_matches(['{', '}']).split(", ").collect();
        registers.swap(0, 1);
        let swapped = format!("{{{}}}", registers.join(", "));
        to.push(replace(line, "matrix-order", line.with_operand(1, &swapped)));
    }
    if line.is("cvt.rn.bf16x2.f32") || line.is("cvt.rn.f16x2.f32") {
        let [d, high, low] = line.operands[..] else { return };
        to.push(replace(line, "convert-order", line.with_operands(&[d, low, high])));
        let other = if line.is("cvt.rn.bf16x2") { "cvt.rn.f16x2.f32" } else { "cvt.rn.bf16x2.f32" };
        to.push(replace(line, "convert-type", line.with_opcode(other)));
    }
}

/// Products: the sum exchanged with a factor, the scale of another row or block. The factors exchanged would be
/// the same product.
fn arithmetic(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    if line.is("fma.rn.f32") {
        let [d, a, b, c] = line.operands[..] else { return };
        to.push(replace(line, "swap-operands", line.with_operands(&[d, a, c, b])));
        let other = neighbour(lines, i, 6, |other| {
            other.is("fma.rn.f32") && other.operands[2] != b && other.operands[1] != a
        });
        if let Some(other) = other {
            to.push(replace(line, "scale-row", line.with_operands(&[d, a, other.operands[2], c])));
        }
    }
    if line.is("mul.rn.f32") {
        let [d, a, b] = line.operands[..] else { return };
        for operand in [1, 2] {
            let other = neighbour(lines, i, 6, |other| {
                other.is("mul.rn.f32") && other.operands[operand] != line.operands[operand]
            });
            if let Some(other) = other {
                let mut operands = [d, a, b];
                operands[operand] = other.operands[operand];
                to.push(replace(line, "scale-index", line.with_operands(&operands)));
            }
        }
    }
    if line.is("wgmma.mma_async") && line.operands.len() == 6 {
        let [a, b] = [line.operands[1], line.operands[2]];
        let mut swapped = line.operands.clone();
        (swapped[1], swapped[2]) = (b, a);
        to.push(replace(line, "mma-operands", line.with_operands(&swapped)));
        let accumulate = if line.operands[3] == "0" { "1" } else { "0" };
        to.push(replace(line, "mma-accumulate", line.with_operand(3, accumulate)));
        to.push(replace(line, "mma-sign", line.with_operand(4, "-1")));
    }
}

/// Loads and stores at a neighbouring place.
fn memory(lines: &[Line<'_>], i: usize, to: &mut Vec<Mutant>) {
    let line = &lines[i];
    let moved = |operand: &str, bytes: &str| format!("{}+{bytes}]", operand.trim_end_matches(']'));
    if line.is("ld.shared.v4") {
        let operand = moved(line.operands[1], "16");
        to.push(replace(line, "load-offset", line.with_operand(1, &operand)));
    } else if line.is("ld.shared") {
        let operand = moved(line.operands[1], "4");
        to.push(replace(line, "load-offset", line.with_operand(1, &operand)));
    } else if line.is("ld.global") {
        let operand = moved(line.operands[1], "4");
        to.push(replace(line, "table-offset", line.with_operand(1, &operand)));
    } else if line.is("st.global") || line.is("st.shared") {
        let operand = moved(line.operands[0], "16");
        to.push(replace(line, "store-offset", line.with_operand(0, &operand)));
    }
}

/// Constants that make addresses.
fn addresses(line: &Line<'_>, to: &mut Vec<Mutant>) {
    let Some(constant) = line.constant() else { return };
    let mut push = |kind, constant: i64| {
        let last = line.operands.len() - 1;
        let constant = constant.to_string();
        to.push(replace(line, kind, line.with_operand(last, &constant)));
    };
    if line.is("shl.b32") && (3..=15).contains(&constant) {
        push("stride", constant + 1);
        push("stride", constant - 1);
    }
    if line.is("shr.u") && (1..=30).contains(&constant) {
        push("shift", constant + 1);
        push("shift", constant - 1);
    }
    if line.is("add.s32") && constant > 196_607 {
        push("shared-offset", constant + 16);
        push("shared-offset", constant - 8);
    }
    // Without the lowest bit that the mask keeps; one below it may be zero in any case.
    if line.is("and.b32") && constant > 0 && constant & (constant - 1) != 0 {
        push("index", constant & (constant - 1));
    }
}
