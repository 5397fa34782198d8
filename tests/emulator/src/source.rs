//! Places in PTX text: what a report shows, so that nobody has to count lines.

use std::fmt;
use std::sync::Arc;

/// Characters of a line that are shown: a wgmma names up to 128 registers.
const SHOWN: usize = 110;

/// A line of PTX.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Its number, from 1.
    pub line: u32,
    /// What it says, without the spaces around it.
    pub text: String,
    /// File and line of the Rust source, if the PTX was compiled with debug information (`.loc`).
    pub rust: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)?;
        match &self.rust {
            Some(rust) => write!(f, "  ({rust})"),
            None => Ok(()),
        }
    }
}

/// The text of a module.
#[derive(Clone, Debug)]
pub struct Source(Arc<str>);

impl Source {
    /// Keeps a text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// What stands at a line.
    pub fn place(&self, line: u32) -> Place {
        let text = self.0.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = text.chars().take(SHOWN).collect();
        let text = if short.len() < text.len() { short + " ..." } else { short };
        Place { line, text, rust: self.rust(line) }
    }

    /// The last `.loc` above a line in the same function (PTX ISA 11.5.3): `.loc file line column`.
    fn rust(&self, line: u32) -> Option<String> {
        let mut found = None;
        for text in self.0.lines().take(line as usize).map(str::trim_start) {
            if let Some(loc) = text.strip_prefix(".loc") {
                found = Some(loc);
            } else if text.contains(".entry") {
                found = None;
            }
        }
        let mut numbers = found?.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
        let (file, line) = (numbers.next()?, numbers.next()?);
        let name = self.0.lines().find_map(|text| {
            let (number, name) = text.trim().strip_prefix(".file")?.trim_start().split_once(' ')?;
            (number == file).then(|| name.split('"').nth(1).unwrap_or(name))
        })?;
        Some(format!("{name}:{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_its_text_and_the_rust_line_before_it() {
        let text = ".file 1 \"src/a.rs\"\n.file 2 \"src/b.rs\"\n.entry k()\n{\n.loc 2 17 5\n\tmov.u32 \t%r1, 0;\n\
            \tret;\n}\n.entry other()\n{\n\tret;\n}\n";
        let source = Source::new(text);
        assert_eq!(source.place(6).to_string(), "line 6: mov.u32 %r1, 0;  (src/b.rs:17)");
        assert_eq!(source.place(7).rust.as_deref(), Some("src/b.rs:17"));
        assert_eq!(source.place(11).to_string(), "line 11: ret;");
        assert_eq!(source.place(99).to_string(), "line 99: ");
        let long = Source::new(&"x".repeat(500));
        assert_eq!(long.place(1).text.len(), SHOWN + 4);
    }
}
