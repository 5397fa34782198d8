//! The figures of a record in the pages of `docs/lessons`.
//!
//! A page holds them between two lines, `<!-- figures KERNEL -->` and `<!-- end -->`; `all` stands for every kernel.

use super::CASES;
use crate::record::{CaseRecord, Record};
use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- figures ";
const END: &str = "<!-- end -->";

/// The rows of a kernel, or of all, as a Markdown table, under the machine and the day.
///
/// # Errors
/// If the record lacks the kernel.
pub fn figures(record: &Record, kernel: &str) -> Result<String> {
    let mut kernels: Vec<&str> = record.cases.iter().map(|case| &*case.kernel).collect();
    kernels.sort_by_key(|name| (!name.starts_with("lesson"), *name));
    kernels.dedup();
    kernels.retain(|name| kernel == "all" || *name == kernel);
    if kernels.is_empty() {
        bail!("the record has nothing of {kernel}");
    }
    let mut text = format!("Measured: {}.\n\n| kernel |", record.meta.title());
    for (name, experts, rows, _) in CASES {
        write!(text, " {name}: {experts} x {rows} rows, us | TFLOP/s | GB/s |")?;
    }
    text += "\n| --- |";
    text += &" --- | --- | --- |".repeat(CASES.len());
    text += "\n";
    for kernel in kernels {
        write!(text, "| `{kernel}` |")?;
        for (name, ..) in CASES {
            let is_it = |case: &&CaseRecord| case.case == format!("{name}/{kernel}");
            match record.cases.iter().find(is_it) {
                Some(case) => write!(
                    text,
                    " {} | {} | {:.0} |",
                    digits(case.us),
                    digits(case.tflops),
                    case.gbps
                )?,
                None => text += " - | - | - |",
            }
        }
        text += "\n";
    }
    Ok(text)
}

/// Three digits, or all before the point.
fn digits(value: f64) -> String {
    let after = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.after$}")
}

/// The page with the figures of a record.
///
/// # Errors
/// If a table has no end, or the record lacks its kernel.
fn filled(page: &str, record: &Record) -> Result<String> {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (kernel, after) = after.split_once(" -->\n").context("a table without a kernel")?;
        let (_, after) = after.split_once(END).context("a table without an end")?;
        let figures = figures(record, kernel)?;
        write!(text, "{before}{BEGIN}{kernel} -->\n{figures}{END}")?;
        rest = after;
    }
    Ok(text + rest)
}

/// Writes the figures of a record into every page of a folder, or says which pages are behind if `check`.
///
/// # Errors
/// If a page cannot be read, or is behind.
pub fn fill_pages(folder: &Path, record: &Record, check: bool) -> Result<()> {
    let mut behind = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let page = fs::read_to_string(&path)?;
            let filled = filled(&page, record).with_context(|| path.display().to_string())?;
            if page != filled && check {
                behind.push(path.display().to_string());
            } else if page != filled {
                fs::write(&path, filled)?;
            }
        }
    }
    if behind.is_empty() { Ok(()) } else { bail!("not the record's: {}", behind.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let case = |case: &str, us| CaseRecord {
            kernel: case.split('/').nth(1).unwrap_or_default().to_owned(),
            case: case.to_owned(),
            us,
            tflops: 12.34,
            gbps: 567.8,
            ..CaseRecord::default()
        };
        let cases = vec![
            case("prefill/shipped", 1234.5),
            case("prefill/lesson_1", 99.95),
            case("decode/lesson_1", 8.0),
        ];
        Record { cases, ..Record::default() }
    }

    #[test]
    fn figures_replace_those_that_stood_there() {
        let page = "a\n<!-- figures lesson_1 -->\nold\n<!-- end -->\nb\n";
        let once = filled(page, &record()).expect("a page");
        assert!(
            once.contains("| `lesson_1` | 100.0 | 12.3 | 568 | 8.00 | 12.3 | 568 | - | - | - |")
        );
        assert!(once.starts_with("a\n") && once.ends_with("<!-- end -->\nb\n"));
        assert!(!once.contains("old") && !once.contains("shipped"));
        assert_eq!(filled(&once, &record()).expect("again"), once);
        assert!(filled("<!-- figures lesson_9 -->\n<!-- end -->", &record()).is_err());
    }

    #[test]
    fn the_shipped_kernel_is_the_last_of_all() {
        let all = figures(&record(), "all").expect("all");
        let at = |name: &str| all.find(name).expect("a row");
        assert!(at("lesson_1") < at("shipped") && all.contains("| 1234 |"), "{all}");
    }

    /// Once there is a record the pages hold its figures and no others.
    #[test]
    fn the_pages_hold_the_figures_of_the_record() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lessons");
        let path = folder.join("h200.json");
        if path.exists() {
            let record = Record::read(&path).expect("a record");
            fill_pages(&folder, &record, true).expect("`lessons --pages` writes them");
        }
    }
}
