//! What happens to mbarriers, recorded on request: who arrives when, who waits how long.
//!
//! Time is the number of warp instructions that the cluster has executed. Every change of a barrier goes through
//! [`super::Mbarrier`], which notes it on its own track; the machine only says, before each instruction and each
//! asynchronous copy, whose turn it is.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

/// Who acts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Who {
    Warp {
        cta: usize,
        index: u32,
    },
    /// An asynchronous operation, some time after its issue.
    Asynchronous,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Turn {
    step: u64,
    who: Who,
    line: u32,
}

/// What happens to a barrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Initialised { arrivals: i64 },
    Expects { bytes: i64 },
    Brings { bytes: i64 },
    Arrives { missing: i64 },
    PhaseEnds { phase: u32 },
    WaitBegins { phase: u32 },
    WaitEnds { phase: u32 },
    PassesAtOnce { phase: u32 },
}

#[derive(Debug)]
struct Line {
    cta: usize,
    address: u32,
    /// An event, by whom, and how many times in a row (lanes of a warp).
    events: Vec<(Turn, Event, u32)>,
    waiting: BTreeSet<Who>,
}

#[derive(Debug)]
struct Recording {
    turn: Turn,
    lines: Vec<Line>,
}

/// The recording of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Tape(Rc<RefCell<Recording>>);

/// The part of a recording that belongs to one mbarrier.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    tape: Tape,
    index: usize,
}

impl Tape {
    pub(crate) fn new() -> Self {
        let turn = Turn { step: 0, who: Who::Asynchronous, line: 0 };
        Self(Rc::new(RefCell::new(Recording { turn, lines: Vec::new() })))
    }

    /// Says whose turn it is.
    pub(crate) fn turn(&self, step: u64, who: Who, line: u32) {
        self.0.borrow_mut().turn = Turn { step, who, line };
    }

    /// A track for a fresh barrier.
    pub(crate) fn track(&self, cta: usize, address: u32) -> Track {
        let lines = &mut self.0.borrow_mut().lines;
        lines.push(Line { cta, address, events: Vec::new(), waiting: BTreeSet::new() });
        Track { tape: self.clone(), index: lines.len() - 1 }
    }

    /// The recording in words, a line for each event, barrier by barrier.
    pub(crate) fn text(&self, cluster: u32) -> Vec<String> {
        let mut text = Vec::new();
        for line in &self.0.borrow().lines {
            text.push(format!("cluster {cluster}, CTA {}, mbarrier {:#x}", line.cta, line.address));
            text.extend(line.events.iter().map(|event| describe(line.cta, event)));
        }
        text
    }
}

impl Track {
    pub(crate) fn note(&self, event: Event) {
        let recording = &mut *self.tape.0.borrow_mut();
        recording.lines[self.index].note(recording.turn, event);
    }

    /// Notes what a wait was answered; the barrier is in `phase`.
    pub(crate) fn wait(&self, phase: u32, done: bool) {
        let recording = &mut *self.tape.0.borrow_mut();
        recording.lines[self.index].wait(recording.turn, phase, done);
    }
}

impl Line {
    fn note(&mut self, turn: Turn, event: Event) {
        match self.events.last_mut() {
            Some((last, same, times)) if *last == turn && same_kind(*same, event) => {
                *same = event;
                *times += 1;
            }
            _ => self.events.push((turn, event, 1)),
        }
    }

    fn wait(&mut self, turn: Turn, phase: u32, done: bool) {
        let before = phase.wrapping_sub(1);
        let ended = Event::WaitEnds { phase: before };
        // The first lane of a warp ends the wait for all of them.
        let ends = self.events.last().is_some_and(|last| (last.0, last.1) == (turn, ended));
        let event = if !done {
            self.waiting.insert(turn.who);
            Event::WaitBegins { phase }
        } else if self.waiting.remove(&turn.who) || ends {
            ended
        } else {
            Event::PassesAtOnce { phase: before }
        };
        self.note(turn, event);
    }
}

/// Whether two events of one instruction are one line.
fn same_kind(a: Event, b: Event) -> bool {
    a == b || matches!((a, b), (Event::Arrives { .. }, Event::Arrives { .. }))
}

fn describe(home: usize, &(turn, event, times): &(Turn, Event, u32)) -> String {
    let who = match turn.who {
        Who::Warp { cta, index } if cta == home => format!("warp {index}"),
        Who::Warp { cta, index } => format!("CTA {cta} warp {index}"),
        Who::Asynchronous => "asynchronous".to_owned(),
    };
    let mut text = format!("{:>9}  {who:<13} line {:>5}  ", turn.step, turn.line);
    let _ = match event {
        Event::Initialised { arrivals } => write!(text, "initialised for {arrivals} arrivals"),
        Event::Expects { bytes } => write!(text, "expects {bytes} bytes"),
        Event::Brings { bytes } => write!(text, "brings {bytes} bytes"),
        Event::Arrives { missing } => write!(text, "arrives, {missing} more to come"),
        Event::PhaseEnds { phase } => write!(text, "PHASE {phase} ENDS"),
        Event::WaitBegins { phase } => write!(text, "begins to wait for phase {phase}"),
        Event::WaitEnds { phase } => write!(text, "has waited for phase {phase}"),
        Event::PassesAtOnce { phase: u32::MAX } => write!(text, "need not wait before phase 0"),
        Event::PassesAtOnce { phase } => write!(text, "need not wait for phase {phase}"),
    };
    if times > 1 {
        let _ = write!(text, " ({times} times)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Mbarrier;
    use crate::race::Epoch;

    #[test]
    fn a_phase_reads_like_a_story() {
        let tape = Tape::new();
        let warp = |index| Who::Warp { cta: 0, index };
        tape.turn(3, warp(0), 10);
        let mut barrier = Mbarrier::new(2, 0, Epoch::default()).on(Some(tape.track(0, 0x400)));
        tape.turn(5, warp(4), 20);
        barrier.waited(false);
        barrier.waited(false);
        tape.turn(7, warp(0), 12);
        barrier.change_tx(64).expect("in range");
        barrier.arrive(1).expect("two are expected");
        barrier.arrive(1).expect("two are expected");
        barrier.complete();
        tape.turn(9, Who::Asynchronous, 13);
        barrier.change_tx(-64).expect("in range");
        barrier.complete();
        tape.turn(11, warp(4), 20);
        barrier.waited(true);
        barrier.waited(true);
        tape.turn(12, Who::Warp { cta: 1, index: 5 }, 21);
        barrier.waited(true);
        let lines: Vec<String> = tape.text(6);
        let words = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let wanted = [
            "cluster 6, CTA 0, mbarrier 0x400",
            "3 warp 0 line 10 initialised for 2 arrivals",
            "5 warp 4 line 20 begins to wait for phase 0 (2 times)",
            "7 warp 0 line 12 expects 64 bytes",
            "7 warp 0 line 12 arrives, 0 more to come (2 times)",
            "9 asynchronous line 13 brings 64 bytes",
            "9 asynchronous line 13 PHASE 0 ENDS",
            "11 warp 4 line 20 has waited for phase 0 (2 times)",
            "12 CTA 1 warp 5 line 21 need not wait for phase 0",
        ];
        assert!(words.eq(wanted), "{lines:#?}");
    }
}
