//! Children that ask, so that a fault or a hang costs one fact and not the rest.
//!
//! A kernel that faults takes the device away from its process for good, and one that hangs never ends. So a child asks
//! one fact after the other and says each answer at once, and the parent starts another child behind the fact at which
//! one ended.

use crate::bench::{Bench, Which};
use crate::fact::{Fact, Verdict};
use crate::report::{Answer, Head};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a child says, a line each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The device is open.
    Opened(Head),
    /// It is not, and why.
    Refused(String),
    /// The answer about a fact, and its milliseconds.
    Answered(String, Verdict, u64),
}

/// How a child ended before its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It said no more and is gone.
    Gone(String),
    /// It said nothing for too long.
    Silent,
}

/// The child's part: asks the facts in turn, and stops where the device is lost.
///
/// # Errors
/// What the output answers.
pub fn ask_all(which: Which, facts: &[Fact]) -> io::Result<()> {
    let say = |line: &Line| {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(line)?)?;
        out.flush()
    };
    let bench = match Bench::open(which) {
        Ok(bench) => bench,
        Err(error) => return say(&Line::Refused(format!("{error:#}"))),
    };
    say(&Line::Opened(Head::new(bench.info())))?;
    for fact in facts {
        let start = Instant::now();
        let verdict = bench.ask(fact);
        let ms = start.elapsed().as_millis() as u64;
        say(&Line::Answered(fact.id.to_owned(), verdict, ms))?;
        if bench.device.is_poisoned() {
            // The parent goes on with a fresh process.
            return Ok(());
        }
    }
    Ok(())
}

/// The parent's part, with children as `start` makes them: it is given the facts that are left, and returns what the
/// child says, then how it ended.
///
/// # Errors
/// Why no child could open the device.
pub fn collect<C: Iterator<Item = Result<Line, End>>>(
    facts: &[Fact],
    mut start: impl FnMut(&[Fact]) -> C,
    mut heard: impl FnMut(&Answer),
) -> Result<(Head, Vec<Answer>), String> {
    let mut head = None;
    let mut answers: Vec<Answer> = Vec::new();
    while answers.len() < facts.len() {
        let before = answers.len();
        let mut end = None;
        for line in start(&facts[before..]) {
            match line {
                Ok(Line::Opened(opened)) => head = head.or(Some(opened)),
                Ok(Line::Refused(why)) if head.is_none() => return Err(why),
                Ok(Line::Refused(why)) => {
                    end = Some(End::Gone(format!("the device could not be opened again: {why}")));
                }
                Ok(Line::Answered(id, verdict, ms)) => {
                    let next = facts.get(answers.len()).filter(|fact| fact.id == id);
                    let Some(fact) = next else { return Err(format!("`{id}` was not asked")) };
                    answers.push(Answer::new(fact, verdict, ms));
                    answers.last().into_iter().for_each(&mut heard);
                }
                Err(ended) => end = Some(ended),
            }
        }
        let Some(fact) = facts.get(answers.len()) else { break };
        let verdict = match end {
            // A child that left after an answer lost the device by it; the next one goes on.
            None | Some(End::Gone(_)) if answers.len() > before => continue,
            Some(End::Silent) => Verdict::broken("no answer in time: the kernel hangs".to_owned()),
            Some(End::Gone(why)) => Verdict::broken(format!("the process ended: {why}")),
            None => Verdict::broken("the process ended without an answer".to_owned()),
        };
        answers.push(Answer::new(fact, verdict, 0));
        answers.last().into_iter().for_each(&mut heard);
    }
    head.map(|head| (head, answers)).ok_or_else(|| "no child has opened the device".to_owned())
}

/// A child process, as an iterator over what it says. It is killed when this value goes away.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    patience: Duration,
    ended: bool,
}

impl Process {
    /// Starts a child that must say something every so often.
    ///
    /// # Errors
    /// What the system answers.
    pub fn start(command: &mut Command, patience: Duration) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                let lines = BufReader::new(out).lines().map_while(Result::ok);
                // Once nobody listens, nobody needs to speak.
                let _ = lines.map(|line| sender.send(line)).find(Result::is_err);
            });
        }
        Ok(Self { child, lines, patience, ended: false })
    }
}

impl Iterator for Process {
    type Item = Result<Line, End>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let end = match self.lines.recv_timeout(self.patience) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(line) => return Some(Ok(line)),
                Err(_) => End::Gone(format!("it said `{line}`")),
            },
            Err(RecvTimeoutError::Timeout) => End::Silent,
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) if status.success() => {
                    self.ended = true;
                    return None;
                }
                Ok(status) => End::Gone(status.to_string()),
                Err(error) => End::Gone(error.to_string()),
            },
        };
        self.ended = true;
        Some(Err(end))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Refused where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm::DeviceInfo;

    fn facts() -> Vec<Fact> {
        crate::facts::all().into_iter().take(4).collect()
    }

    fn opened() -> Line {
        Line::Opened(Head::new(&DeviceInfo::b200()))
    }

    fn yes(fact: &Fact) -> Line {
        Line::Answered(fact.id.to_owned(), Verdict::Confirmed { compared: 1 }, 1)
    }

    /// Answers of children of which each says as many answers as a number says, and then ends as it says.
    fn with(children: &[(usize, Option<End>)]) -> (Vec<bool>, usize) {
        let facts = facts();
        let mut starts = 0;
        let start = |left: &[Fact]| {
            let (count, end) = &children[starts];
            starts += 1;
            let said = [opened()].into_iter().chain(left.iter().take(*count).map(yes));
            said.map(Ok).chain(end.clone().map(Err)).collect::<Vec<_>>().into_iter()
        };
        let (_, answers) = collect(&facts, start, |_| ()).expect("a device");
        assert_eq!(answers.len(), facts.len());
        (answers.iter().map(|answer| answer.verdict.is_confirmed()).collect(), starts)
    }

    #[test]
    fn one_child_is_enough_where_nothing_breaks() {
        assert_eq!(with(&[(4, None)]), (vec![true; 4], 1));
    }

    #[test]
    fn a_fault_or_a_hang_costs_one_fact() {
        let gone = || Some(End::Gone("signal".to_owned()));
        // The first hangs at the third fact, the second breaks at the fourth at once.
        let (answers, starts) = with(&[(2, Some(End::Silent)), (0, gone())]);
        assert_eq!((answers, starts), (vec![true, true, false, false], 2));
        // A child that breaks behind an answer is followed by one that asks the same fact again.
        let (answers, starts) = with(&[(1, gone()), (3, None)]);
        assert_eq!((answers, starts), (vec![true; 4], 2));
    }

    #[test]
    fn no_device_is_no_answer() {
        let refused = |_: &[Fact]| [Ok(Line::Refused("none".to_owned()))].into_iter();
        assert_eq!(collect(&facts(), refused, |_| ()), Err("none".to_owned()));
    }
}
