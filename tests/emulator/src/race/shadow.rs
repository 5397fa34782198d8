//! Who accessed each word of shared memory last; where somebody accessed a part of a word, each byte of it.

use super::View;
use std::collections::HashMap;

/// An access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Epoch {
    /// The actor.
    pub actor: u32,
    /// Its clock then; 0 stands for no access.
    pub clock: u32,
    /// Line of the PTX text.
    pub line: u32,
    /// Whether it went through the asynchronous proxy.
    pub asynchronous: bool,
    /// Whether it was an atomic operation.
    pub atomic: bool,
}

/// An earlier access that the present one is not ordered after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The earlier access.
    pub earlier: Epoch,
    /// Whether the earlier one wrote.
    pub wrote: bool,
    /// Whether the two are ordered, and only `fence.proxy.async` is missing.
    pub proxy: bool,
}

/// A word, or a byte of one.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    write: Epoch,
    read: Epoch,
    /// There are more readers, see [`Readers`].
    more: bool,
    /// Of a word: its bytes have places of their own.
    split: bool,
}

/// Readers of places beyond the one that a [`Place`] holds.
type Readers = HashMap<u64, Vec<Epoch>>;

/// The shadow.
#[derive(Debug)]
pub struct Shadow {
    words: Vec<Place>,
    bytes: HashMap<u64, [Place; 4]>,
    more: Readers,
}

/// Key of a word among the readers; those of its bytes follow.
const fn key(word: u64) -> u64 {
    word * 5
}

/// 0: ordered; 1: ordered but for the proxy; 2: not ordered.
fn order(earlier: &Epoch, view: &View, needs_fence: bool) -> u8 {
    if earlier.clock == 0 {
        return 0;
    }
    // What the issuer did after it issued an asynchronous operation carries a later clock.
    let own = earlier.actor == view.issuer && earlier.clock <= view.time.own;
    if !own && view.time.base.get(earlier.actor) < earlier.clock {
        return 2;
    }
    let fence = needs_fence && view.asynchronous && !earlier.asynchronous;
    u8::from(fence && view.time.proxy.get(earlier.actor) < earlier.clock)
}

impl Place {
    fn note_read(
        &mut self,
        more: &mut Readers,
        key: u64,
        view: &View,
        now: Epoch,
    ) -> Option<Conflict> {
        let order = order(&self.write, view, true);
        let conflict = (order > 0 && !(now.atomic && self.write.atomic)).then_some(Conflict {
            earlier: self.write,
            wrote: true,
            proxy: order == 1,
        });
        // A reader that comes after the last one covers it.
        let first = self.read.clock == 0 || self.read.actor == now.actor;
        if first || !self.more && self::order(&self.read, view, false) == 0 {
            self.read = now;
            return conflict;
        }
        self.more = true;
        let list = more.entry(key).or_default();
        if let Some(earlier) = list.iter_mut().find(|e| e.actor == now.actor) {
            *earlier = now;
            return conflict;
        }
        if list.len() >= 16 {
            list.retain(|e| self::order(e, view, false) > 0);
        }
        list.push(now);
        conflict
    }

    /// What a write here would not be ordered after.
    fn before_write(&self, more: &Readers, key: u64, view: &View, now: Epoch) -> Option<Conflict> {
        let order = order(&self.write, view, true);
        if order > 0 && !(now.atomic && self.write.atomic) {
            return Some(Conflict { earlier: self.write, wrote: true, proxy: order == 1 });
        }
        let read = |earlier: &Epoch| {
            // A read that was ordered needs no fence before an asynchronous write.
            let found = self::order(earlier, view, false) > 0 && !(now.atomic && earlier.atomic);
            found.then_some(Conflict { earlier: *earlier, wrote: false, proxy: false })
        };
        let others = || more.get(&key).and_then(|list| list.iter().find_map(read));
        read(&self.read).or_else(|| if self.more { others() } else { None })
    }

    fn note_write(&mut self, more: &mut Readers, key: u64, now: Epoch) {
        if self.more {
            more.remove(&key);
        }
        *self = Self { write: now, ..Self::default() };
    }
}

impl Shadow {
    /// A shadow of so many words.
    pub fn new(words: usize) -> Self {
        Self { words: vec![Place::default(); words], bytes: HashMap::new(), more: HashMap::new() }
    }

    /// Notes a read of a range, and returns the first conflict.
    pub fn read(&mut self, address: u64, bytes: u64, view: &View, now: Epoch) -> Option<Conflict> {
        let mut conflict = None;
        for word in address / 4..(address + bytes).div_ceil(4) {
            if word as usize >= self.words.len() {
                return conflict;
            }
            let part = part(word, address, bytes);
            if part == (0..4) && !self.words[word as usize].split {
                let place = &mut self.words[word as usize];
                let found = place.note_read(&mut self.more, key(word), view, now);
                conflict = conflict.or(found);
                continue;
            }
            self.split(word);
            let Self { bytes: places, more, .. } = self;
            for byte in part {
                let place = &mut places.entry(word).or_default()[byte as usize];
                let found = place.note_read(more, key(word) + 1 + byte, view, now);
                conflict = conflict.or(found);
            }
        }
        conflict
    }

    /// Notes a write of a range, and returns the first conflict.
    pub fn write(&mut self, address: u64, bytes: u64, view: &View, now: Epoch) -> Option<Conflict> {
        let mut conflict = None;
        for word in address / 4..(address + bytes).div_ceil(4) {
            if word as usize >= self.words.len() {
                return conflict;
            }
            let part = part(word, address, bytes);
            let whole = part == (0..4);
            if !whole {
                self.split(word);
            }
            let Self { words, bytes: places, more } = self;
            let place = &mut words[word as usize];
            if place.split {
                let bytes = places.entry(word).or_default();
                for byte in part {
                    let (place, key) = (&mut bytes[byte as usize], key(word) + 1 + byte);
                    conflict = conflict.or_else(|| place.before_write(more, key, view, now));
                    place.note_write(more, key, now);
                }
                if !whole {
                    continue;
                }
                // One writer again.
                places.remove(&word);
            } else {
                conflict = conflict.or_else(|| place.before_write(more, key(word), view, now));
            }
            place.note_write(more, key(word), now);
        }
        conflict
    }

    /// Gives each byte of a word a place of its own, with the past of the word.
    fn split(&mut self, word: u64) {
        let place = &mut self.words[word as usize];
        if place.split {
            return;
        }
        self.bytes.insert(word, [*place; 4]);
        if let Some(list) = self.more.remove(&key(word)) {
            for byte in 0..4 {
                self.more.insert(key(word) + 1 + byte, list.clone());
            }
        }
        *place = Place { split: true, ..Place::default() };
    }
}

/// The bytes of a word that a range covers.
fn part(word: u64, address: u64, bytes: u64) -> std::ops::Range<u64> {
    let first = word * 4;
    address.max(first) - first..(address + bytes).min(first + 4) - first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::Time;

    fn by(actor: u32) -> (View, Epoch) {
        let time = Time { own: 1, ..Time::default() };
        let view = View { issuer: actor, time, asynchronous: false };
        (view, Epoch { actor, clock: 1, line: actor, ..Epoch::default() })
    }

    #[test]
    fn bytes_of_a_word_are_places_of_their_own() {
        let mut shadow = Shadow::new(2);
        for actor in 0..4 {
            let (view, now) = by(actor);
            assert_eq!(shadow.write(4 + u64::from(actor), 1, &view, now), None);
        }
        let (view, now) = by(9);
        let conflict = shadow.read(6, 2, &view, now).expect("a race with the third writer");
        assert_eq!((conflict.earlier.actor, conflict.wrote), (2, true));
        let conflict = shadow.write(4, 4, &view, now).expect("a race with the first writer");
        assert_eq!(conflict.earlier.actor, 0);
        // The word has one writer again.
        let (view, now) = by(1);
        let conflict = shadow.write(5, 1, &view, now).expect("a race with the last writer");
        assert_eq!(conflict.earlier.actor, 9);
    }

    #[test]
    fn a_word_remembers_its_readers_when_it_is_split() {
        let mut shadow = Shadow::new(1);
        for actor in [3, 4] {
            let (view, now) = by(actor);
            assert_eq!(shadow.read(0, 4, &view, now), None);
        }
        let (view, now) = by(3);
        let conflict = shadow.write(2, 1, &view, now).expect("a race with the other reader");
        assert_eq!((conflict.earlier.actor, conflict.wrote), (4, false));
        assert_eq!(shadow.write(2, 1, &view, now), None);
    }
}
