//! What became of the mutants of a kernel, in words.

use crate::child::Fate;
use ptx_emulator::mutate::Mutant;
use std::fmt;

/// Why mutants that survive do: a section for each kernel, a row for each name.
const SURVIVORS: &str = include_str!("../../../mutants-survivors.md");

/// Share of mutants that must be killed, in percent.
const WANTED: usize = 95;

/// Mutants killed, and tried.
#[derive(Clone, Copy, Default)]
pub(crate) struct Score {
    killed: usize,
    tried: usize,
}

impl Score {
    /// Whether enough were killed. Of a few, one may survive.
    pub(crate) const fn is_enough(self) -> bool {
        self.killed * 100 >= self.tried * WANTED || self.killed + 1 == self.tried
    }

    /// Adds another kernel's.
    pub(crate) const fn add(&mut self, other: Self) {
        self.killed += other.killed;
        self.tried += other.tried;
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "killed {} of {}", self.killed, self.tried)
    }
}

/// Prints the survivors of a kernel with their reasons, and its score.
pub(crate) fn print(kernel: &str, mutants: &[(String, Mutant)], fates: &[Fate]) -> Score {
    let mut score = Score { killed: 0, tried: mutants.len() };
    for ((name, mutant), fate) in mutants.iter().zip(fates) {
        match fate {
            Fate::Killed(why) => {
                score.killed += 1;
                if mutants.len() <= 20 {
                    println!("killed   {name}: {mutant}\n         {why}");
                }
            }
            Fate::Crashed(why) => {
                score.killed += 1;
                println!("CRASHED  {name}: {mutant}\n         {why}");
            }
            Fate::Survived => {
                let reason = reason(kernel, name).unwrap_or("no reason is known");
                println!("survived {name}: {mutant}\n         {reason}");
            }
        }
    }
    println!("{kernel}: {score}");
    score
}

/// The listed reason: in the kernel's section, the second column of the row that begins with the name.
fn reason(kernel: &str, name: &str) -> Option<&'static str> {
    let mut sections = SURVIVORS.split("\n## ");
    let section = sections.find(|section| section.lines().next() == Some(kernel))?;
    section.lines().find_map(|line| {
        let (listed, reason) = line.strip_prefix("| `")?.split_once("` | ")?;
        (listed == name).then(|| reason.trim_end_matches(['|', ' ']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn every_listed_reason_is_found_by_kernel_and_name() {
        let mut sections = SURVIVORS.split("\n## ");
        let before = sections.next().unwrap_or_default();
        assert!(!before.contains("\n| `"), "a row stands outside of the kernels' sections");
        let mut found = 0;
        for section in sections {
            let kernel = section.lines().next().unwrap_or_default();
            assert!(suite::kernels().any(|variant| variant.module == kernel), "{kernel}");
            for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
                let name = row.split('`').next().unwrap_or_default();
                assert!(reason(kernel, name).is_some_and(|reason| !reason.is_empty()), "{name}");
                found += 1;
            }
        }
        assert!(found > 0);
    }

    #[test]
    fn of_a_few_mutants_one_may_survive_but_of_forty_only_two() {
        let enough = |killed, tried| Score { killed, tried }.is_enough();
        assert!(enough(6, 7) && !enough(5, 7));
        assert!(enough(38, 40) && !enough(37, 40));
    }
}
