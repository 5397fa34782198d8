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
        let (before, after) = compare(&self.0, &other.0);
        if !before && other.0.len() <= self.0.len() {
            return;
        }
        if !after && self.0.len() <= other.0.len() {
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

/// Whether some number of the first is smaller, and whether some is larger, as far as both go.
fn compare(a: &[u32], b: &[u32]) -> (bool, bool) {
    let n = a.len().min(b.len());
    let (mut smaller, mut larger) = (false, false);
    // In pieces without a branch inside, which become vector instructions.
    for (a, b) in a[..n].chunks(64).zip(b[..n].chunks(64)) {
        for (&a, &b) in a.iter().zip(b) {
            smaller |= a < b;
            larger |= a > b;
        }
        if smaller && larger {
            break;
        }
    }
    (smaller, larger)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(numbers: &[u32]) -> Clock {
        Clock(Rc::new(numbers.to_vec()))
    }

    #[test]
    fn a_join_has_the_larger_numbers_and_shares_where_it_can() {
        let (a, b) = (clock(&[1, 5, 2]), clock(&[3, 4]));
        let mut joined = a.clone();
        joined.join(&b);
        assert_eq!(*joined.0, [3, 5, 2]);
        // Nothing new: unchanged. Everything new: shared.
        let mut same = joined.clone();
        same.join(&a);
        assert!(same.same(&joined));
        let mut all = a.clone();
        all.join(&joined);
        assert!(all.same(&joined));
        // A longer one knows of more actors, even if it knows nothing new of the others.
        let mut longer = clock(&[3, 5]);
        longer.join(&a);
        assert_eq!(*longer.0, [3, 5, 2]);
        // A single difference is seen in every piece of the comparison.
        for at in [0, 63, 64, 200] {
            let (mut many, mut more) = (vec![7; 201], vec![7; 201]);
            (many[at], more[100]) = (9, 8);
            let mut joined = clock(&many);
            joined.join(&clock(&more));
            assert_eq!((joined.get(at as u32), joined.get(100), joined.get(150)), (9, 8, 7));
        }
    }
}
