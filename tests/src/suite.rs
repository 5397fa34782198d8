//! Many checks at once: on all cores, with one line of totals and the first few complaints.

use crate::gpu::say;
use rayon::prelude::*;
use std::time::Instant;

/// Complaints that are printed.
const SHOWN: usize = 5;

/// Runs a check on every problem. A check answers how many `things` it compared, or what is wrong.
///
/// # Panics
/// If any check complains.
pub fn check_all<P: Sync>(
    name: &str,
    things: &str,
    problems: &[P],
    check: impl Fn(&P) -> Result<u64, String> + Sync + Send,
) {
    let start = Instant::now();
    let results: Vec<Result<u64, String>> = problems.par_iter().map(check).collect();
    let compared: u64 = results.iter().flatten().sum();
    let complaints: Vec<&String> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    say(&format!(
        "{name}: {} of {} problems equal the model in every bit, {compared} {things} compared; {:.1} s",
        problems.len() - complaints.len(),
        problems.len(),
        start.elapsed().as_secs_f64(),
    ));
    for complaint in complaints.iter().take(SHOWN) {
        say(complaint);
    }
    assert!(complaints.is_empty(), "{} of {} problems failed", complaints.len(), problems.len());
}

const SEED: &str = "EXPERT_GEMM_SEED";
const PROBLEMS: &str = "EXPERT_GEMM_PROBLEMS";

/// The seeds of a fuzzing test: `EXPERT_GEMM_SEED` alone if it is set, else as many as `EXPERT_GEMM_PROBLEMS` or
/// `default` say.
pub fn seeds(default: u64) -> Vec<u64> {
    match number(SEED) {
        Some(seed) => vec![seed],
        None => (0..number(PROBLEMS).unwrap_or(default)).collect(),
    }
}

/// Whether somebody asked for other seeds than those that the tests were made for.
pub fn other_seeds() -> bool {
    number(SEED).or(number(PROBLEMS)).is_some()
}

/// A number in the environment, decimal or after `0x` hexadecimal.
///
/// # Panics
/// If the variable holds something else.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "1 of 3 problems failed")]
    fn one_complaint_is_a_failure() {
        check_all("a suite", "things", &[1, 2, 3], |&problem| {
            if problem == 2 { Err("two".to_owned()) } else { Ok(problem) }
        });
    }
}
