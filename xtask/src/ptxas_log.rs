//! What `ptxas -v` says.

/// One function of a module, as the assembler reports it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Usage {
    /// The symbol.
    pub(crate) name: String,
    /// Registers per thread.
    pub(crate) registers: u32,
    /// Named barriers.
    pub(crate) barriers: u32,
    /// Bytes of stack per thread.
    pub(crate) stack: u32,
    /// Bytes of registers stored to memory for want of room.
    pub(crate) spill_stores: u32,
    /// Bytes of registers loaded back.
    pub(crate) spill_loads: u32,
}

/// A whole report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Report {
    /// Every function.
    pub(crate) functions: Vec<Usage>,
    /// Messages with a code, such as C7508: each says that the assembler did something else than the
    /// kernel asked for.
    pub(crate) messages: Vec<String>,
}

/// Reads a report.
pub(crate) fn parse(log: &str) -> Report {
    let mut report = Report::default();
    for line in log.lines() {
        if let Some((_, name)) = line.split_once("Function properties for ") {
            report.functions.push(Usage { name: name.trim().to_owned(), ..Usage::default() });
        } else if let Some(at) = line.find("(C7") {
            report.messages.push(line[at..].trim().to_owned());
        } else if let Some(function) = report.functions.last_mut() {
            let read = |what| number_before(line, what);
            function.stack = read(" bytes stack frame").unwrap_or(function.stack);
            function.spill_stores = read(" bytes spill stores").unwrap_or(function.spill_stores);
            function.spill_loads = read(" bytes spill loads").unwrap_or(function.spill_loads);
            function.registers = read(" registers").unwrap_or(function.registers);
            function.barriers = read(" barriers").unwrap_or(function.barriers);
        }
    }
    report
}

fn number_before(line: &str, what: &str) -> Option<u32> {
    let (before, _) = line.split_once(what)?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine.
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_90a'
ptxas info    : Function properties for a
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers
ptxas info    : Compile time = 185.932 ms
ptxas info    : Compiling entry function 'b' for 'sm_90a'
ptxas info    : Function properties for b
    512 bytes stack frame, 16 bytes spill stores, 24 bytes spill loads
ptxas info    : Used 255 registers, 576 bytes cmem[0]
";

    #[test]
    fn a_report_is_read_per_function() {
        let report = parse(LOG);
        assert_eq!(report.messages.len(), 1);
        assert!(report.messages[0].starts_with("(C7508) Potential"));
        let a = Usage { name: "a".into(), registers: 168, barriers: 1, ..Usage::default() };
        let b = Usage {
            name: "b".into(),
            registers: 255,
            barriers: 0,
            stack: 512,
            spill_stores: 16,
            spill_loads: 24,
        };
        assert_eq!(report.functions, [a, b]);
    }
}
