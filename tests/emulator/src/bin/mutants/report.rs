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
