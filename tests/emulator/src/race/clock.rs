//! Vector clocks that are shared until they change.

use std::rc::Rc;

/// A number for each actor; actors past the end are at 0.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Vec<u32>>);

impl Clock {
    /// The number of an actor.
    pub fn get(&self, actor: u32) -> u32 {
        self.0.get(actor as usize).copied().unwrap_or(0)
    }

    /// Raises the number of an actor.
    pub fn raise(&mut self, actor: u32, to: u32) {
        if self.get(actor) >= to {
            return;
        }
        let clock = Rc::make_mut(&mut self.0);
        if clock.len() <= actor as usize {
            clock.resize(actor as usize + 1, 0);
        }
        clock[actor as usize] = to;
    }

    /// Takes the larger number of each actor.
    pub fn join(&mut self, other: &Self) {
        if Rc::ptr_eq(&self.0, &other.0) || other.0.is_empty() {
            return;
        }
        if self.0.is_empty() {
            self.0 = Rc::clone(&other.0);
            return;
        }
        // Most joins change nothing, or everything: then the other is shared instead of copied.
        let n = self.0.len().min(other.0.len());
        if other.0.len() <= self.0.len()
            && self.0[..n].iter().zip(&other.0[..n]).all(|(a, b)| a >= b)
        {
            return;
        }
        if self.0.len() <= other.0.len()
            && self.0[..n].iter().zip(&other.0[..n]).all(|(a, b)| a <= b)
        {
            self.0 = Rc::clone(&other.0);
            return;
        }
        let clock = Rc::make_mut(&mut self.0);
        if clock.len() < other.0.len() {
            clock.resize(other.0.len(), 0);
        }
        for (a, &b) in clock.iter_mut().zip(other.0.iter()) {
            *a = (*a).max(b);
        }
    }

    /// Takes the smaller number of each actor.
    pub fn meet(&mut self, other: &Self) {
        if Rc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let clock = Rc::make_mut(&mut self.0);
        clock.truncate(other.0.len());
        for (a, &b) in clock.iter_mut().zip(other.0.iter()) {
            *a = (*a).min(b);
        }
    }

    /// Whether both are one in memory.
    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// What a thread knows.
#[derive(Clone, Debug, Default)]
pub struct Time {
    /// What happened before it, other than its own doing.
    pub base: Clock,
    /// Ordinary accesses that the asynchronous proxy sees, by way of `fence.proxy.async`.
    pub proxy: Clock,
    /// Its own clock.
    pub own: u32,
}

/// What an access knows when it happens.
#[derive(Clone, Debug)]
pub struct View {
    /// The thread that acts or issued the action.
    pub issuer: u32,
    /// Its time.
    pub time: Time,
    /// Whether the access goes through the asynchronous proxy.
    pub asynchronous: bool,
}
