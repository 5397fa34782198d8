//! Position in a ring of `STAGES` slots, shared by producers and consumers of a pipeline.

/// A slot, and the parity of the phase that its barriers are in.
///
/// A consumer waits on `full(slot)` with [`Ring::parity`]. A producer waits on `free(slot)` with the
/// opposite parity, which a fresh barrier answers at once: the first pass over empty slots is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring<const STAGES: u32> {
    slot: u32,
    parity: u32,
}

impl<const STAGES: u32> Ring<STAGES> {
    /// The first slot in its first phase.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { slot: 0, parity: 0 }
    }

    /// The position `STEPS` steps before the first. A consumer that waits there is answered at once by a fresh barrier.
    #[inline(always)]
    pub const fn behind<const STEPS: u32>() -> Self {
        const { assert!(STEPS > 0 && STEPS <= STAGES) }
        Self { slot: STAGES - STEPS, parity: 1 }
    }

    /// Index of the slot, below `STAGES`.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// Parity that a consumer waits for.
    #[inline(always)]
    pub const fn parity(self) -> u32 {
        self.parity
    }

    /// Parity that a producer waits for.
    #[inline(always)]
    pub const fn free_parity(self) -> u32 {
        self.parity ^ 1
    }

    /// Moves on to the next slot.
    #[inline(always)]
    pub const fn advance(&mut self) {
        self.slot += 1;
        if self.slot == STAGES {
            self.slot = 0;
            self.parity ^= 1;
        }
    }
}

impl<const STAGES: u32> Default for Ring<STAGES> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parity_flips_once_a_lap() {
        let mut ring = Ring::<3>::new();
        for step in 0..30 {
            assert_eq!((ring.slot(), ring.parity()), (step % 3, step / 3 % 2));
            assert_eq!(ring.free_parity(), 1 - ring.parity());
            ring.advance();
        }
    }

    #[test]
    fn a_ring_that_lags_comes_to_the_first_slot_in_its_first_phase() {
        let rings = [Ring::<6>::behind::<1>(), Ring::behind::<4>(), Ring::behind::<6>()];
        for (steps, mut ring) in [1, 4, 6].into_iter().zip(rings) {
            for _ in 0..steps {
                // The phase before the first, which a fresh barrier says is over.
                assert_eq!(ring.parity(), 1);
                ring.advance();
            }
            assert_eq!(ring, Ring::new());
        }
    }
}
