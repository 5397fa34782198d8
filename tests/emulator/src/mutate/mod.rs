//! Mutants: the text of a module with one deliberate fault.
//!
//! A test suite is worth what it finds. Each mutant changes one line of a PTX text (and keeps the number of lines,
//! so that reports still name the right one), and a suite that lets it pass has a hole, or the mutant makes no
//! difference that anybody could see. Changes of the second kind are left out here where the reason is general:
//! a wait that waits longer, the factors of a product exchanged, a bound that only chooses between two loops
//! with the same result, the upper half of a count that is below 2^32, an OR of nothing, a fence of the tensor core where
//! only allocations come before it.

mod blackwell;
mod control;
mod data;
mod line;
mod packed;
mod scalar;
mod sync;

use line::Line;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// What kind of fault, such as `drop-fence`.
    pub kind: &'static str,
    /// The kernel that it is in.
    pub entry: String,
    /// Index of the changed line.
    pub line: usize,
    /// The line before.
    pub before: String,
    /// The line after.
    pub after: String,
}

impl Mutant {
    /// The text with the fault.
    ///
    /// # Panics
    ///
    /// If the text is not the one that the mutant was made from.
    pub fn apply(&self, text: &str) -> String {
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[self.line], self.before, "the text has changed");
        lines[self.line] = &self.after;
        lines.join("\n") + "\n"
    }

    /// A name that survives changes elsewhere in the file: the kind, the kernel, and a hash of the change and of
    /// how often it stands above.
    fn name(&self, occurrence: usize) -> String {
        let text = format!("{}|{}|{occurrence}", self.before, self.after);
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let kernel = self.entry.rsplit('_').next().unwrap_or_default();
        format!("{}-{kernel}-{:06x}", self.kind, hash & 0xFF_FFFF)
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, entry, line, before, after } = self;
        let (before, after) = (before.trim(), after.trim());
        let after = if after.is_empty() { "(nothing)" } else { after };
        let short = |text: &str| text.chars().take(100).collect::<String>();
        write!(f, "{kind} in {entry}, line {}: {} -> {}", line + 1, short(before), short(after))
    }
}

/// Every mutant of a text, by name, in the order of the lines.
pub fn all(text: &str) -> Vec<(String, Mutant)> {
    let lines = line::parse(text);
    let mut mutants = Vec::new();
    sync::mutants(&lines, &mut mutants);
    data::mutants(&lines, &mut mutants);
    control::mutants(&lines, &mut mutants);
    blackwell::mutants(&lines, &mut mutants);
    packed::mutants(&lines, &mut mutants);
    scalar::mutants(&lines, &mut mutants);
    mutants.retain(|mutant| mutant.before != mutant.after);
    mutants.sort_by_key(|mutant| mutant.line);
    let mut seen = BTreeSet::new();
    mutants.retain(|mutant| seen.insert((mutant.line, mutant.after.clone())));
    let mut occurrences: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    mutants
        .into_iter()
        .map(|mutant| {
            let key = (mutant.entry.clone(), mutant.before.clone(), mutant.after.clone());
            let occurrence = occurrences.entry(key).or_default();
            *occurrence += 1;
            (mutant.name(*occurrence), mutant)
        })
        .collect()
}

/// At most `per_kind` mutants of each kind, drawn with a seed, in the order of the lines.
pub fn select(mutants: &[(String, Mutant)], per_kind: usize, seed: u64) -> Vec<(String, Mutant)> {
    let mut kinds: BTreeMap<&str, Vec<&(String, Mutant)>> = BTreeMap::new();
    for mutant in mutants {
        kinds.entry(mutant.1.kind).or_default().push(mutant);
    }
    let mut chosen: Vec<(String, Mutant)> = Vec::new();
    for (kind, mut mutants) in kinds {
        let salt = kind.bytes().fold(seed, |salt, byte| salt.rotate_left(9) ^ u64::from(byte));
        shuffle(&mut mutants, salt);
        chosen.extend(mutants.into_iter().take(per_kind).cloned());
    }
    chosen.sort_by_key(|(_, mutant)| mutant.line);
    chosen
}

/// A seeded sample of `count`, in the order of the lines.
pub fn sample(
    mut mutants: Vec<(String, Mutant)>,
    count: usize,
    seed: u64,
) -> Vec<(String, Mutant)> {
    shuffle(&mut mutants, seed ^ 0x5A5A);
    mutants.truncate(count);
    mutants.sort_by_key(|(_, mutant)| mutant.line);
    mutants
}

fn shuffle<T>(elements: &mut [T], seed: u64) {
    let mut rng = crate::capture::inputs::Rng::new(seed);
    for i in (1..elements.len()).rev() {
        elements.swap(i, rng.below(i as u64 + 1) as usize);
    }
}

/// A mutant that replaces a line.
fn replace(line: &Line, kind: &'static str, after: String) -> Mutant {
    Mutant {
        kind,
        entry: line.entry.to_owned(),
        line: line.index,
        before: line.text.to_owned(),
        after,
    }
}

/// The nearest following line that fits, within a few.
fn neighbour<'a, 'b>(
    lines: &'a [Line<'b>],
    i: usize,
    within: usize,
    fits: impl Fn(&Line<'b>) -> bool,
) -> Option<&'a Line<'b>> {
    lines[i + 1..].iter().take(within).find(|line| fits(line))
}

/// The other lines of the kernel that name the register which a line writes first.
fn readers<'a, 'b>(
    lines: &'a [Line<'b>],
    line: &'a Line<'b>,
) -> impl Iterator<Item = &'a Line<'b>> {
    let register = line.operands.first().copied().unwrap_or_default();
    let names = move |text: &str| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '%').any(|word| word == register)
    };
    lines.iter().filter(move |other| {
        other.entry == line.entry && other.index != line.index && names(other.text)
    })
}

/// A mutant that leaves a line out.
fn drop_line(line: &Line, kind: &'static str) -> Mutant {
    replace(line, kind, String::new())
}

/// All mutants of a text, of which there must be some of each of these kinds.
#[cfg(test)]
fn with_kinds(text: &str, kinds: &[&str]) -> Vec<(String, Mutant)> {
    let all = all(text);
    let found: std::collections::BTreeSet<&str> =
        all.iter().map(|(_, mutant)| mutant.kind).collect();
    for kind in kinds {
        assert!(found.contains(kind), "{kind} in {found:?}");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "\
.visible .entry k_bf16(
)
{
\tfence.proxy.async;
\twgmma.wait_group.sync.aligned \t1;
\tfma.rn.f32 \t%r1, %r2, %r3, %r4;
\tsetp.gt.u32 \t%p1, %r1, 8;
\t@%p1 bra \t$L_2;
\tsetmaxnreg.inc.sync.aligned.u32 \t232;
$L_2:
\tret;
}
";

    #[test]
    fn one_line_changes_and_the_rest_stays() {
        for (_, mutant) in all(KERNEL) {
            let mutated = mutant.apply(KERNEL);
            let differing: Vec<usize> = mutated
                .lines()
                .zip(KERNEL.lines())
                .enumerate()
                .filter_map(|(i, (a, b))| (a != b).then_some(i))
                .collect();
            assert_eq!(differing, [mutant.line], "{mutant}");
            assert_eq!(mutated.lines().count(), KERNEL.lines().count());
        }
    }

    #[test]
    fn each_kind_of_line_has_its_faults() {
        let kinds: BTreeSet<&str> = all(KERNEL).iter().map(|(_, mutant)| mutant.kind).collect();
        for kind in ["drop-fence", "wait-group", "swap-operands", "bound", "branch", "setmaxnreg"] {
            assert!(kinds.contains(kind), "{kind} in {kinds:?}");
        }
    }

    #[test]
    fn a_longer_wait_is_no_mutant() {
        let waits = all(KERNEL).into_iter().filter(|(_, mutant)| mutant.kind == "wait-group");
        let after: Vec<String> = waits.map(|(_, mutant)| mutant.after).collect();
        assert_eq!(after.len(), 1);
        assert!(after[0].contains("\t2;"), "{after:?}");
    }

    #[test]
    fn the_shipped_kernels_have_many_distinct_mutants() {
        let text = include_str!("../../../../host/ptx/sm_90a/fp8_block_sm90.ptx");
        let all = all(text);
        let names: BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() >= 1000, "{} mutants", all.len());
        let selected = select(&all, 12, 1);
        assert!(selected.len() >= 200, "{} selected", selected.len());
        assert_eq!(selected, select(&all, 12, 1));
        assert_eq!(sample(selected, 40, 7).len(), 40);
    }
}
