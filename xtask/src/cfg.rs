//! The loops of a machine-code function.
//!
//! Addresses do not tell: the assembler moves the spinning half of a wait behind the function's end,
//! and its way back would make everything between look like a loop. So loops are found as compilers
//! define them: an edge to a block that dominates its source closes one.

use std::collections::BTreeSet;

use crate::sass::Function;

/// The innermost loops that hold the opcode: no loop inside them holds it too. Each is the set of
/// its instructions' indices.
pub(crate) fn innermost_loops(function: &Function, opcode: &str) -> Vec<BTreeSet<usize>> {
    let holds = |body: &BTreeSet<usize>| body.iter().any(|&i| function.code[i].is(opcode));
    let all: Vec<BTreeSet<usize>> = loops(function).into_iter().filter(holds).collect();
    all.iter()
        .filter(|body| !all.iter().any(|inner| inner.len() < body.len() && inner.is_subset(body)))
        .cloned()
        .collect()
}

/// Every natural loop, as instruction indices; loops with the same head are one.
fn loops(function: &Function) -> Vec<BTreeSet<usize>> {
    let graph = Graph::new(function);
    let dominators = graph.dominators();
    let mut found: Vec<(usize, BTreeSet<usize>)> = Vec::new();
    for (from, successors) in graph.successors.iter().enumerate() {
        for &head in successors {
            if dominators[from].contains(&head) {
                let body = graph.natural_loop(head, from);
                match found.iter_mut().find(|(other, _)| *other == head) {
                    Some((_, whole)) => whole.extend(body),
                    None => found.push((head, body)),
                }
            }
        }
    }
    let instructions = |blocks: BTreeSet<usize>| {
        blocks.into_iter().flat_map(|block| graph.starts[block]..graph.starts[block + 1]).collect()
    };
    found.into_iter().map(|(_, blocks)| instructions(blocks)).collect()
}

/// Basic blocks: block `b` holds the instructions `starts[b]..starts[b + 1]`.
struct Graph {
    starts: Vec<usize>,
    successors: Vec<Vec<usize>>,
    predecessors: Vec<Vec<usize>>,
}

impl Graph {
    fn new(function: &Function) -> Self {
        let code = &function.code;
        let ends = |i: usize| {
            let instruction = &code[i];
            ["BRA", "JMP", "EXIT", "RET", "BRX"].iter().any(|opcode| instruction.is(opcode))
        };
        let mut leaders: BTreeSet<usize> = [0, code.len()].into();
        for (i, instruction) in code.iter().enumerate() {
            if ends(i) {
                leaders.insert(i + 1);
                leaders.extend(instruction.target);
            }
        }
        let starts: Vec<usize> = leaders.into_iter().collect();
        let blocks = starts.len() - 1;
        let block_of = |i: usize| starts.partition_point(|&start| start <= i) - 1;
        let mut successors = vec![Vec::new(); blocks];
        let mut predecessors = vec![Vec::new(); blocks];
        for block in 0..blocks {
            let last = starts[block + 1] - 1;
            let falls_through =
                !ends(last) || code[last].predicated || conditional(&code[last].opcode);
            let mut next: BTreeSet<usize> = BTreeSet::new();
            if ends(last) {
                next.extend(code[last].target.map(block_of));
            }
            if falls_through && block + 1 < blocks {
                next.insert(block + 1);
            }
            for successor in next {
                successors[block].push(successor);
                predecessors[successor].push(block);
            }
        }
        Self { starts, successors, predecessors }
    }

    /// The blocks that every way from the entry to a block passes through.
    fn dominators(&self) -> Vec<BTreeSet<usize>> {
        let blocks = self.successors.len();
        let everything: BTreeSet<usize> = (0..blocks).collect();
        let mut dominators = vec![everything; blocks];
        if let Some(entry) = dominators.first_mut() {
            *entry = [0].into();
        }
        let mut changed = true;
        while changed {
            changed = false;
            for block in 1..blocks {
                let mut common: Option<BTreeSet<usize>> = None;
                for &before in &self.predecessors[block] {
                    common = Some(match common {
                        None => dominators[before].clone(),
                        Some(set) => set.intersection(&dominators[before]).copied().collect(),
                    });
                }
                let mut new = common.unwrap_or_default();
                new.insert(block);
                if new != dominators[block] {
                    dominators[block] = new;
                    changed = true;
                }
            }
        }
        dominators
    }

    /// The head, and every block that reaches the closing edge without passing the head.
    fn natural_loop(&self, head: usize, from: usize) -> BTreeSet<usize> {
        let mut body: BTreeSet<usize> = [head].into();
        let mut open = vec![from];
        while let Some(block) = open.pop() {
            if body.insert(block) {
                open.extend(&self.predecessors[block]);
            }
        }
        body
    }
}

/// `BRA.U.ANY` and its like branch on a uniform predicate that is an operand, not a guard.
fn conditional(opcode: &str) -> bool {
    opcode.contains(".ANY") || opcode.contains(".DIV") || opcode.contains(".CONV")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sass::Instruction;

    /// `"BRA 3"` jumps to instruction 3; a leading `?` makes it conditional.
    fn function(code: &[&str]) -> Function {
        let code = code
            .iter()
            .map(|text| {
                let (predicated, text) =
                    text.strip_prefix('?').map_or((false, *text), |t| (true, t));
                let (opcode, target) = text.split_once(' ').unwrap_or((text, ""));
                Instruction { opcode: opcode.into(), predicated, target: target.parse().ok() }
            })
            .collect();
        Function { name: "k".into(), code }
    }

    #[test]
    fn the_inner_loop_is_found_and_the_outer_is_not() {
        let f = function(&["MEMBAR", "NOP", "QGMMA", "?BRA 2", "MEMBAR", "?BRA 1", "EXIT"]);
        let loops = innermost_loops(&f, "QGMMA");
        assert_eq!(loops, [BTreeSet::from([2, 3])]);
        assert_eq!(innermost_loops(&f, "MEMBAR"), [BTreeSet::from([1, 2, 3, 4, 5])]);
    }

    #[test]
    fn a_wait_moved_behind_the_end_does_not_stretch_the_loop() {
        //  0 try, 1 ?-> 6 (slow path), 2 QGMMA, 3 ?-> 0, 4 MEMBAR, 5 EXIT, 6 try, 7 ?-> 6, 8 -> 2
        let f = function(&[
            "TRY", "?BRA 6", "QGMMA", "?BRA 0", "MEMBAR", "EXIT", "TRY", "?BRA 6", "BRA 2",
        ]);
        let loops = innermost_loops(&f, "QGMMA");
        assert_eq!(loops, [BTreeSet::from([0, 1, 2, 3, 6, 7, 8])]);
    }

    #[test]
    fn straight_code_has_no_loops() {
        assert!(innermost_loops(&function(&["QGMMA", "?BRA 2", "EXIT"]), "QGMMA").is_empty());
        assert!(innermost_loops(&function(&["QGMMA"]), "QGMMA").is_empty());
    }
}
