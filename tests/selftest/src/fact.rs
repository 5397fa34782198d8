//! A fact, the evidence that a GPU gives, and the verdict.

use crate::bench::Bench;
use expert_gemm::Error;
use expert_gemm_kernels::abi::Arch;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that is so, or is not.
#[derive(Clone, Copy)]
pub struct Fact {
    /// A short name that never changes.
    pub id: &'static str,
    /// What should be so, in one sentence.
    pub claim: &'static str,
    /// Where the sources rely on it.
    pub relied_on: &'static str,
    /// Whether anything does.
    pub standing: Standing,
    /// The GPU families that can be asked.
    pub families: &'static [Arch],
    /// Asks.
    pub ask: fn(&Bench) -> expert_gemm::Result<Evidence>,
}

/// Whether a kernel relies on a fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A kernel does: if it is refuted, the kernel is wrong.
    Assumed,
    /// None does. The answer says what a kernel could do.
    Open,
}

/// Names a place of the evidence.
pub type Place = Box<dyn Fn(usize) -> String + Send + Sync>;

/// What a GPU left, and what it should have left.
pub struct Evidence {
    /// Words that were found.
    pub got: Vec<u32>,
    /// The same if the fact is so.
    pub want: Vec<u32>,
    /// The same if something else is so, by name. Where a fact is refuted, the one that agrees is the correction.
    pub others: Vec<(String, Vec<u32>)>,
    /// Where a word is.
    pub place: Place,
}

/// The answer to one question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is so.
    Confirmed {
        /// Words compared.
        compared: usize,
    },
    /// It is not so.
    Refuted {
        /// The first difference, or the fault.
        first: String,
        /// Words that differ.
        differing: usize,
        /// Words compared.
        compared: usize,
        /// What agrees with the GPU instead, or comes closest.
        instead: Option<String>,
    },
    /// It was not asked.
    NotRun {
        /// Why not.
        why: String,
    },
}

impl Evidence {
    /// Evidence without known alternatives.
    pub fn new(got: Vec<u32>, want: Vec<u32>, place: Place) -> Self {
        Self { got, want, others: Vec::new(), place }
    }

    /// The same with what would be left if something else were so.
    #[must_use]
    pub fn or(mut self, name: impl Into<String>, words: Vec<u32>) -> Self {
        self.others.push((name.into(), words));
        self
    }

    /// The verdict.
    pub fn judge(&self) -> Verdict {
        let Self { got, want, others, place } = self;
        let compared = want.len();
        if got.len() != compared {
            let first = format!("{} words were left, not {compared}", got.len());
            return Verdict::Refuted { first, differing: compared, compared, instead: None };
        }
        let differing = differences(got, want);
        let Some(at) = got.iter().zip(want).position(|(got, want)| got != want) else {
            return Verdict::Confirmed { compared };
        };
        let first = format!("{}: got {}, want {}", place(at), word(got[at]), word(want[at]));
        let distances = others.iter().map(|(name, other)| (differences(got, other), name));
        let instead = distances.min().filter(|&(distance, _)| distance < differing).map(
            |(distance, name)| match distance {
                0 => format!("agrees with: {name}"),
                _ => format!("closest: {name}, {distance} differ"),
            },
        );
        Verdict::Refuted { first, differing, compared, instead }
    }
}

impl Verdict {
    /// The verdict when asking failed.
    pub fn of_error(error: &Error) -> Self {
        match error {
            // The GPU did not accept what the fact says it does.
            Error::Fault { .. } | Error::Poisoned { .. } => Self::broken(error.to_string()),
            _ => Self::NotRun { why: error.to_string() },
        }
    }

    /// The verdict when the GPU gave no answer.
    pub const fn broken(first: String) -> Self {
        Self::Refuted { first, differing: 0, compared: 0, instead: None }
    }

    /// Whether it is so.
    pub const fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }

    /// Whether it is not so.
    pub const fn is_refuted(&self) -> bool {
        matches!(self, Self::Refuted { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed { compared } => write!(f, "{compared} words agree"),
            Self::Refuted { first, differing: 0, .. } => f.write_str(first),
            Self::Refuted { first, differing, compared, instead } => {
                write!(f, "{differing} of {compared} words differ; first: {first}")?;
                instead.as_ref().map_or(Ok(()), |instead| write!(f, "; {instead}"))
            }
            Self::NotRun { why } => f.write_str(why),
        }
    }
}

fn differences(got: &[u32], want: &[u32]) -> usize {
    let unequal = got.iter().zip(want).filter(|(got, want)| got != want).count();
    unequal + got.len().abs_diff(want.len())
}

/// A word as bits and, where that could be meant, as a number.
fn word(bits: u32) -> String {
    let number = f32::from_bits(bits);
    if number.is_normal() { format!("{bits:#010x} ({number:e})") } else { format!("{bits:#010x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(got: &[u32]) -> Evidence {
        let place = Box::new(|at| format!("word {at}"));
        Evidence::new(got.to_vec(), vec![1, 2, 3, 4], place)
            .or("backwards", vec![4, 3, 2, 1])
            .or("nothing", vec![0; 4])
    }

    #[test]
    fn what_agrees_instead_is_named() {
        assert_eq!(evidence(&[1, 2, 3, 4]).judge(), Verdict::Confirmed { compared: 4 });
        let told = |got: &[u32]| evidence(got).judge().to_string();
        assert_eq!(
            told(&[4, 3, 2, 1]),
            "4 of 4 words differ; first: word 0: got 0x00000004, want 0x00000001; agrees with: backwards"
        );
        assert!(told(&[0, 0, 0, 9]).ends_with("closest: nothing, 1 differ"));
        // Nothing is nearer than the claim itself.
        assert!(told(&[1, 2, 3, 7]).ends_with("got 0x00000007, want 0x00000004"));
        assert!(told(&[1, 2]).starts_with("4 of 4 words differ; first: 2 words were left"));
    }
}
