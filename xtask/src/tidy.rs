//! `cargo xtask tidy`: the house rules that no other tool checks.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::pages::Tree;
use crate::{process, workspace};

// In two halves, so that this file obeys its own rules.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// What the host crate never does outside its tests: a library reports errors, it does not panic.
const PANICS: [&str; 6] =
    [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];

/// Checks every file that git tracks or would track.
pub(crate) fn run() -> Result<()> {
    let mut git = workspace::program("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let (listed, _) = process::capture(&mut git, "listing the files")?;
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let whole = workspace::root().join(path);
        // A file that git still lists may be deleted in the working tree, or be a link to a folder.
        if !whole.is_file() {
            continue;
        }
        let bytes = fs::read(&whole).with_context(|| format!("reading {path}"))?;
        let text = String::from_utf8(bytes).ok();
        faults.extend(text.iter().flat_map(|text| check(path, text)));
        files.push((path.to_owned(), text));
    }
    let count = files.len();
    if count == 0 {
        bail!("git lists no files, so nothing was checked");
    }
    faults.extend(Tree::new(files).faults());
    if faults.is_empty() {
        println!("{count} files obey the house rules");
        return Ok(());
    }
    bail!("the house rules are broken:\n  {}", faults.join("\n  "))
}

/// The faults of one file.
fn check(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let is_rust = path.to_ascii_lowercase().ends_with(".rs");
    let lines = text.lines().count();
    if is_rust && lines > longest(path) {
        faults.push(format!("{path}: {lines} lines, the limit is {}", longest(path)));
    }
    let is_test = path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
    let library = path.starts_with("host/src/") && is_rust && !is_test;
    let in_test = if library { test_lines(text) } else { Vec::new() };
    for (i, line) in text.lines().enumerate() {
        let mut fault = |what: &str| faults.push(format!("{path}:{}: {what}", i + 1));
        for word in UNFINISHED {
            if line.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w == word) {
                fault(&format!("{word}: finish it or leave it out"));
            }
        }
        for machine in MACHINE_PATHS {
            if line.contains(machine) {
                fault(&format!("names {machine}, a path of one machine"));
            }
        }
        let code = line.split("//").next().unwrap_or_default();
        if library && !in_test[i] {
            for panic in PANICS {
                if code.contains(panic) {
                    fault(&format!("{panic} can panic; return an error"));
                }
            }
        }
    }
    faults
}

/// The most lines that a file may have: the closer to the instructions, the shorter.
fn longest(path: &str) -> usize {
    let limits = [("ptx/", 250), ("tile/", 300), ("gemm/", 450)];
    let rung = path.strip_prefix("kernels-gpu/src/");
    limits
        .iter()
        .find(|(folder, _)| rung.is_some_and(|rest| rest.starts_with(folder)))
        .map_or(500, |(_, lines)| *lines)
}

/// For each line, whether it belongs to an item under `#[cfg(test)]`. Braces are counted as they
/// stand; rustfmt keeps the ones that matter balanced by line.
fn test_lines(text: &str) -> Vec<bool> {
    let mut marks = Vec::new();
    let (mut pending, mut depth) = (false, 0i64);
    for line in text.lines() {
        pending |= line.trim_start().starts_with("#[cfg(test)]");
        marks.push(pending || depth > 0);
        if !pending && depth == 0 {
            continue;
        }
        let count = |c| line.matches(c).count() as i64;
        depth += count('{') - count('}');
        let opened = line.contains('{') || line.trim_end().ends_with(';');
        pending &= !opened;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_does_not_panic_but_its_tests_may() {
        let text = "fn f() { x.unwrap(); }\n#[cfg(test)]\nmod tests {\n    fn g() {\n        \
                    y.unwrap();\n    }\n}\nfn h() { panic!(\"no\") }\n/// `x.unwrap()` is gone\n";
        let faults = check("host/src/a.rs", text);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("host/src/a.rs:1:"));
        assert!(faults[1].starts_with("host/src/a.rs:8:"));
        assert!(check("tests/src/a.rs", text).is_empty());
        assert!(check("host/src/b.rs", "#[cfg(test)]\nmod tests;\nfn f() {}\n").is_empty());
        assert!(check("host/src/b/tests.rs", "x.unwrap()").is_empty());
        assert!(check("host/src/b/odd_tests.rs", "x.unwrap()").is_empty());
        assert_eq!(check("host/src/b.rs", "#[cfg(test)]\nmod t;\nx.unwrap()").len(), 1);
    }

    #[test]
    fn unfinished_work_and_machine_paths_are_found_in_any_file() {
        let text = format!("{}: later\nsee {}x\n", UNFINISHED[0], MACHINE_PATHS[0]);
        assert_eq!(check("README.md", &text).len(), 2);
        assert!(check("README.md", "TODOS and frameworks/x").is_empty());
    }

    #[test]
    fn limits_depend_on_the_rung() {
        let text = "x\n".repeat(301);
        assert_eq!(check("kernels-gpu/src/ptx/a.rs", &text).len(), 1);
        assert_eq!(check("kernels-gpu/src/tile/a.rs", &text).len(), 1);
        assert!(check("kernels-gpu/src/gemm/a.rs", &text).is_empty());
        assert_eq!(check("host/src/a.rs", &"x\n".repeat(501)).len(), 1);
        assert!(check("host/ptx/a.ptx", &"x\n".repeat(5000)).is_empty());
    }
}
