//! The mbarrier object (PTX ISA 9.7.13.15).

use super::published::Met;
use super::timeline::{Event, Track};
use crate::race::{Clock, Epoch};

/// Largest count and largest number of bytes.
pub(super) const LIMIT: i64 = (1 << 20) - 1;

/// An mbarrier.
#[derive(Clone, Debug)]
pub struct Mbarrier {
    /// Arrivals of each phase.
    pub expected: i64,
    /// Arrivals missing from the present phase.
    pub pending: i64,
    /// Bytes expected and not yet there.
    pub tx: i64,
    /// Phases completed so far.
    pub phase: u32,
    /// Actor of the asynchronous copies that complete here.
    pub actor: u32,
    /// The initialisation.
    pub init: Epoch,
    /// Whether `fence.mbarrier_init` followed it.
    pub published: bool,
    /// What a relaxed arrival at the cluster's barrier makes of that.
    pub(crate) met: Met,
    /// What the arrivals of the present phase release, on top of earlier phases.
    pub gathering: Clock,
    /// What the completed phases released.
    pub completed: Clock,
    /// The same of what the asynchronous proxy sees.
    pub gathering_proxy: Clock,
    /// The same of what the asynchronous proxy sees.
    pub completed_proxy: Clock,
    /// Where its timeline is recorded, if it is.
    track: Option<Track>,
}

impl Mbarrier {
    /// A fresh barrier.
    pub fn new(expected: i64, actor: u32, init: Epoch) -> Self {
        Self {
            expected,
            pending: expected,
            tx: 0,
            phase: 0,
            actor,
            init,
            published: false,
            met: Met::default(),
            gathering: Clock::default(),
            completed: Clock::default(),
            gathering_proxy: Clock::default(),
            completed_proxy: Clock::default(),
            track: None,
        }
    }

    /// The barrier with a timeline, which begins here.
    pub(crate) fn on(self, track: Option<Track>) -> Self {
        let barrier = Self { track, ..self };
        barrier.note(Event::Initialised { arrivals: barrier.expected });
        barrier
    }

    fn note(&self, event: Event) {
        if let Some(track) = &self.track {
            track.note(event);
        }
    }

    /// Notes what a wait for the present phase was answered.
    pub(crate) fn waited(&self, done: bool) {
        if let Some(track) = &self.track {
            track.wait(self.phase, done);
        }
    }

    /// Changes the bytes that are expected.
    ///
    /// # Errors
    ///
    /// Out of range.
    pub fn change_tx(&mut self, by: i64) -> Result<(), String> {
        self.tx += by;
        self.note(if by < 0 { Event::Brings { bytes: -by } } else { Event::Expects { bytes: by } });
        let valid = (-LIMIT..=LIMIT).contains(&self.tx);
        if valid { Ok(()) } else { Err(format!("the tx-count became {}", self.tx)) }
    }

    /// Arrives.
    ///
    /// # Errors
    ///
    /// More arrivals than the phase has left.
    pub fn arrive(&mut self, count: i64) -> Result<(), String> {
        if count < 1 || count > self.pending {
            return Err(format!("{count} arrivals, but {} are pending", self.pending));
        }
        self.pending -= count;
        self.note(Event::Arrives { missing: self.pending });
        Ok(())
    }

    /// Completes the phase if nothing is missing; says whether it did.
    pub fn complete(&mut self) -> bool {
        let done = self.pending == 0 && self.tx == 0;
        if done {
            self.note(Event::PhaseEnds { phase: self.phase });
            self.phase += 1;
            self.pending = self.expected;
            self.completed = self.gathering.clone();
            self.completed_proxy = self.gathering_proxy.clone();
        }
        done
    }

    /// Whether the phase of this parity is the one just completed.
    pub const fn passed(&self, parity: u32) -> bool {
        parity & 1 != self.phase & 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_parities_and_bytes() {
        let mut barrier = Mbarrier::new(1, 0, Epoch::default());
        // Fresh: parity 1 has passed, parity 0 has not (H200 measurement).
        assert!(barrier.passed(1) && !barrier.passed(0));
        barrier.change_tx(-64).expect("bytes may come first");
        barrier.arrive(1).expect("one is expected");
        assert!(!barrier.complete());
        barrier.change_tx(64).expect("in range");
        assert!(barrier.complete() && barrier.passed(0) && !barrier.passed(1));
        assert!(barrier.arrive(2).is_err());
        assert!(barrier.change_tx(1 << 20).is_err());
    }
}
