//! Machine code as the disassembler prints it.

use std::collections::BTreeMap;

/// One machine instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Instruction {
    /// Opcode with its modifiers, such as `WARPGROUP.DEPBAR.LE`.
    pub(crate) opcode: String,
    /// Whether a predicate may skip it.
    pub(crate) predicated: bool,
    /// Index of the instruction it jumps to, if it jumps to a label.
    pub(crate) target: Option<usize>,
}

/// One function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Function {
    /// The symbol.
    pub(crate) name: String,
    /// Its instructions in order of address.
    pub(crate) code: Vec<Instruction>,
}

impl Instruction {
    /// Whether the opcode is this one, with any modifiers.
    pub(crate) fn is(&self, opcode: &str) -> bool {
        self.opcode
            .strip_prefix(opcode)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Function {
    /// How often an opcode occurs, with any modifiers.
    pub(crate) fn count(&self, opcode: &str) -> u64 {
        self.code.iter().filter(|instruction| instruction.is(opcode)).count() as u64
    }
}

/// Reads the disassembler's listing.
pub(crate) fn parse(listing: &str) -> Vec<Function> {
    let mut functions: Vec<Draft> = Vec::new();
    for line in listing.lines() {
        let line = line.trim();
        let directive = line.split_once(char::is_whitespace);
        if let Some((".section", section)) = directive {
            // Data sections end a function as well; they draw no instructions.
            let name = section.trim_start().split([',', ' ']).next().unwrap_or_default();
            let name = name.strip_prefix(".text.").unwrap_or_default();
            functions.push(Draft { name: name.to_owned(), ..Draft::default() });
        }
        let Some(function) = functions.last_mut() else { continue };
        if let Some(label) = line.strip_suffix(':') {
            function.labels.insert(label.to_owned(), function.code.len());
        } else if let Some((_, text)) = line.strip_prefix("/*").and_then(|t| t.split_once("*/")) {
            function.push(text);
        }
    }
    functions.into_iter().filter(|f| !f.name.is_empty()).map(Draft::finish).collect()
}

#[derive(Default)]
struct Draft {
    name: String,
    labels: BTreeMap<String, usize>,
    code: Vec<(String, bool, Option<String>)>,
}

impl Draft {
    fn push(&mut self, text: &str) {
        let mut words = text.split_whitespace().peekable();
        let guarded = words.next_if(|word| word.starts_with('@')).is_some();
        let Some(opcode) = words.next() else { return };
        // `BRA.U` branches on a uniform predicate that is an operand, not a guard.
        let condition = words.peek().map_or("", |word| word.trim_start_matches('!'));
        let uniform = opcode == "BRA.U" && condition.starts_with("UP") && condition != "UPT,";
        let predicated = guarded || uniform;
        let label = text.split_once("`(").and_then(|(_, tail)| tail.split_once(')'));
        let opcode = opcode.trim_end_matches(';').to_owned();
        self.code.push((opcode, predicated, label.map(|(label, _)| label.to_owned())));
    }

    fn finish(self) -> Function {
        let code = self
            .code
            .into_iter()
            .map(|(opcode, predicated, label)| Instruction {
                opcode,
                predicated,
                target: label.and_then(|label| self.labels.get(&label).copied()),
            })
            .collect();
        Function { name: self.name, code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = r#"
	.target	sm_90a
//--------------------- .text.k  --------------------------
	.section	.text.k,"ax",@progbits
	.sectionflags	@"SHF_BARRIERS=1"
	.align	128
k:
.text.k:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   QGMMA.64x128x32.F32.E4M3.E4M3 R24, gdesc[UR16], RZ, !UPT ;
        /*0020*/               @P0 BRA.U.ANY `(.L_x_1) ;
        /*0030*/                   EXIT ;
.L_x_2:
        /*0040*/                   BRA `(.L_x_2);
        /*0050*/                   NOP;
	.section	.nv.constant0.k,"a",@progbits
	.align	4
.nv.constant0.k:
	.zero	976
"#;

    #[test]
    fn a_listing_is_read_per_function() {
        let functions = parse(LISTING);
        assert_eq!(functions.len(), 1);
        let k = &functions[0];
        assert_eq!((k.name.as_str(), k.code.len()), ("k", 6));
        assert_eq!(k.count("QGMMA"), 1);
        assert_eq!(k.count("BRA"), 2);
        assert_eq!(k.count("LD"), 0);
        let branch = &k.code[2];
        assert_eq!((branch.predicated, branch.target), (true, Some(1)));
        assert_eq!((k.code[4].predicated, k.code[4].target), (false, Some(4)));
        assert_eq!(k.code[5].opcode, "NOP");
    }

    #[test]
    fn a_branch_on_a_uniform_predicate_may_fall_through() {
        let listing = |operands: &str| {
            let code = format!("/*0000*/ BRA.U {operands}`(.L_x_1) ;\n.L_x_1:\n/*0010*/ EXIT ;\n");
            parse(&format!(".section .text.k,\"ax\"\n{code}")).remove(0).code[0].clone()
        };
        for operands in ["UP3, ", "!UP0, "] {
            assert!(listing(operands).predicated && listing(operands).target == Some(1));
        }
        for operands in ["", "UPT, "] {
            assert!(!listing(operands).predicated, "{operands}");
        }
    }
}
