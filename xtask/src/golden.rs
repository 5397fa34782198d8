//! Golden counts: numbers that change only on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Counts by kernel (`<arch>/<symbol>`) and by instruction.
pub(crate) type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// Holds the counts to the table in `xtask/golden`, or rewrites the table when `bless` is set.
pub(crate) fn hold(table: &str, counts: &Counts, bless: bool, command: &str) -> Result<()> {
    let path = path(table);
    if bless {
        return save(&path, counts);
    }
    let expected = same_families(load(&path)?, counts);
    let lines = differences(&expected, counts);
    if lines.is_empty() {
        return Ok(());
    }
    bail!(
        "the instruction counts differ from {}:\n  {}\nIf the change is meant, run \
         `cargo xtask {command} --bless` and say why in the commit.",
        workspace::shown(&path),
        lines.join("\n  ")
    )
}

/// The rows of the families that were counted: a run for one family says nothing about the others.
fn same_families(mut expected: Counts, counts: &Counts) -> Counts {
    let family = |kernel: &str| kernel.split('/').next().map(str::to_owned);
    let counted: BTreeSet<_> = counts.keys().map(|kernel| family(kernel)).collect();
    expected.retain(|kernel, _| counted.contains(&family(kernel)));
    expected
}

fn path(table: &str) -> PathBuf {
    workspace::root().join("xtask/golden").join(table).with_extension("json")
}

fn load(path: &Path) -> Result<Counts> {
    if !path.exists() {
        return Ok(Counts::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a table", path.display()))
}

fn save(path: &Path, counts: &Counts) -> Result<()> {
    let text = serde_json::to_string_pretty(counts)? + "\n";
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn differences(expected: &Counts, actual: &Counts) -> Vec<String> {
    let none = BTreeMap::new();
    let mut lines = Vec::new();
    let kernels: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
    for kernel in kernels {
        let before = expected.get(kernel).unwrap_or(&none);
        let after = actual.get(kernel).unwrap_or(&none);
        let instructions: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for instruction in instructions {
            let count = |counts: &BTreeMap<String, u64>| counts.get(instruction).copied();
            let (was, is) = (count(before).unwrap_or(0), count(after).unwrap_or(0));
            if was != is {
                lines.push(format!("{kernel}: {instruction} was {was}, is {is}"));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, &str, u64)]) -> Counts {
        let mut counts = Counts::new();
        for (kernel, instruction, n) in rows {
            counts.entry((*kernel).into()).or_default().insert((*instruction).into(), *n);
        }
        counts
    }

    #[test]
    fn other_families_are_left_alone_but_lost_kernels_are_not() {
        let table = counts(&[("sm_1/a", "bar", 1), ("sm_1/b", "bar", 1), ("sm_2/a", "bar", 1)]);
        let expected = same_families(table, &counts(&[("sm_1/a", "bar", 1)]));
        assert_eq!(expected.keys().collect::<Vec<_>>(), ["sm_1/a", "sm_1/b"]);
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let expected = counts(&[("k", "bar.sync", 1), ("k", "fence", 2), ("old", "vote", 3)]);
        let actual = counts(&[("k", "bar.sync", 2), ("k", "fence", 2), ("new", "shfl", 4)]);
        assert_eq!(
            differences(&expected, &actual),
            ["k: bar.sync was 1, is 2", "new: shfl was 0, is 4", "old: vote was 3, is 0"]
        );
        assert!(differences(&actual, &actual).is_empty());
    }
}
