//! Lines of PTX, as far as mutants need them: one instruction on each.

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line<'a> {
    /// Index in the text.
    pub(super) index: usize,
    /// The whole line.
    pub(super) text: &'a str,
    /// The kernel around it.
    pub(super) entry: &'a str,
    /// `@%p1` or `@!%p1`.
    pub(super) guard: Option<&'a str>,
    /// Opcode with its modifiers.
    pub(super) opcode: &'a str,
    /// Operands, with braces and brackets.
    pub(super) operands: Vec<&'a str>,
    /// Whether it belongs to a loop that waits for a barrier.
    pub(super) polls: bool,
}

impl Line<'_> {
    /// The line with other operands.
    pub(super) fn with_operands(&self, operands: &[&str]) -> String {
        let guard = self.guard.map_or(String::new(), |guard| format!("{guard} "));
        format!("\t{guard}{} \t{};", self.opcode, operands.join(", "))
    }

    /// The line with one other operand.
    pub(super) fn with_operand(&self, index: usize, operand: &str) -> String {
        let mut operands = self.operands.clone();
        operands[index] = operand;
        self.with_operands(&operands)
    }

    /// The line with another opcode.
    pub(super) fn with_opcode(&self, opcode: &str) -> String {
        let guard = self.guard.map_or(String::new(), |guard| format!("{guard} "));
        format!("\t{guard}{opcode} \t{};", self.operands.join(", "))
    }

    /// Whether the opcode begins so.
    pub(super) fn is(&self, opcode: &str) -> bool {
        self.opcode.starts_with(opcode)
    }

    /// The last operand as a number.
    pub(super) fn constant(&self) -> Option<i64> {
        self.operands.last()?.parse().ok()
    }
}

/// The instructions of every kernel in a text. Lines that hold several or none are left out.
pub(super) fn parse(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut entry = "";
    for (index, text) in text.lines().enumerate() {
        if let Some((_, rest)) = text.split_once(".entry ") {
            entry = rest.split('(').next().unwrap_or_default();
        } else if text == "}" && !lines.is_empty() && !inside(&lines, index) {
            entry = "";
        } else if !entry.is_empty() {
            lines.extend(instruction(index, text, entry));
        }
    }
    mark_polls(&mut lines);
    lines
}

/// Whether a closing brace belongs to a block of the compiler's inline assembly, which follows an instruction that
/// writes the block's own register.
fn inside(lines: &[Line<'_>], index: usize) -> bool {
    lines.last().is_some_and(|last| last.index + 1 == index && !last.text.starts_with('\t'))
}

fn instruction<'a>(index: usize, text: &'a str, entry: &'a str) -> Option<Line<'a>> {
    let code = text.split("//").next().unwrap_or(text);
    let code = code.trim().strip_suffix(';')?;
    if code.starts_with(['.', '{', '}', '$', '/']) || code.contains(';') {
        return None;
    }
    let (guard, code) = match code.strip_prefix('@') {
        Some(_) => {
            let (guard, code) = code.split_once(char::is_whitespace)?;
            (Some(guard), code.trim_start())
        }
        None => (None, code),
    };
    let (opcode, operands) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
    let operands = split(operands.trim());
    Some(Line { index, text, entry, guard, opcode, operands, polls: false })
}

/// Splits at commas outside of braces and brackets.
fn split(operands: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (i, c) in operands.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(operands[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if start < operands.len() {
        parts.push(operands[start..].trim());
    }
    parts
}

/// Marks the test and the branch behind each `try_wait`.
fn mark_polls(lines: &mut [Line<'_>]) {
    let waits: Vec<usize> =
        (0..lines.len()).filter(|&i| lines[i].is("mbarrier.try_wait")).collect();
    for wait in waits {
        for line in lines.iter_mut().skip(wait + 1).take(4) {
            line.polls = true;
            if line.is("bra") {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = ".visible .entry k(\n)\n{\n\t.reg .b32 \t%r<2>;\n\t@!%p1 bra \t$L1;\n\
                    \tld.v2 \t{%r1, %r2}, [%r3+4];\n$L1:\n\tret;\n}\n\tlost;\n";
        let lines = parse(text);
        let opcodes: Vec<&str> = lines.iter().map(|line| line.opcode).collect();
        assert_eq!(opcodes, ["bra", "ld.v2", "ret"]);
        assert_eq!(lines[0].guard, Some("@!%p1"));
        assert_eq!(lines[1].operands, ["{%r1, %r2}", "[%r3+4]"]);
        assert_eq!(lines[1].entry, "k");
        assert_eq!(lines[1].with_operand(1, "[%r3]"), "\tld.v2 \t{%r1, %r2}, [%r3];");
    }

    #[test]
    fn loops_that_wait_are_marked() {
        let text = ".visible .entry k(\n)\n{\n\t{\n.reg .pred done;\nmbarrier.try_wait.x done, [%r1], %r2;\n\
                    selp.u32 %r3, 1, 0, done;\n}\n\tsetp.eq.b32 \t%p1, %r3, 0;\n\t@%p1 bra \t$L;\n\tret;\n}\n";
        let polls: Vec<bool> = parse(text).iter().map(|line| line.polls).collect();
        assert_eq!(polls, [false, true, true, true, false]);
    }
}
