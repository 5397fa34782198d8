//! Who accessed each word of shared memory last.
//!
//! Words are the grain: accesses to different bytes of one word count as the same place.

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

#[derive(Clone, Copy, Debug, Default)]
struct Word {
    write: Epoch,
    read: Epoch,
    more: bool,
}

/// The shadow.
#[derive(Debug)]
pub struct Shadow {
    words: Vec<Word>,
    more: HashMap<u32, Vec<Epoch>>,
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

impl Shadow {
    /// A shadow of so many words.
    pub fn new(words: usize) -> Self {
        Self { words: vec![Word::default(); words], more: HashMap::new() }
    }

    /// Notes a read of a range, and returns the first conflict.
    pub fn read(&mut self, address: u64, bytes: u64, view: &View, now: Epoch) -> Option<Conflict> {
        let mut conflict = None;
        for index in address / 4..(address + bytes).div_ceil(4) {
            let Some(word) = self.words.get_mut(index as usize) else { return conflict };
            let order = order(&word.write, view, true);
            if order > 0 && conflict.is_none() && !(now.atomic && word.write.atomic) {
                conflict = Some(Conflict { earlier: word.write, wrote: true, proxy: order == 1 });
            }
            // A reader that comes after the last one covers it.
            let first = word.read.clock == 0 || word.read.actor == now.actor;
            if first || !word.more && self::order(&word.read, view, false) == 0 {
                word.read = now;
                continue;
            }
            word.more = true;
            let list = self.more.entry(index as u32).or_default();
            if let Some(earlier) = list.iter_mut().find(|e| e.actor == now.actor) {
                *earlier = now;
                continue;
            }
            if list.len() >= 16 {
                list.retain(|e| self::order(e, view, false) > 0);
            }
            list.push(now);
        }
        conflict
    }

    /// Notes a write of a range, and returns the first conflict.
    pub fn write(&mut self, address: u64, bytes: u64, view: &View, now: Epoch) -> Option<Conflict> {
        let mut conflict = None;
        for index in address / 4..(address + bytes).div_ceil(4) {
            let Some(word) = self.words.get_mut(index as usize) else { return conflict };
            if conflict.is_none() {
                let order = order(&word.write, view, true);
                if order > 0 && !(now.atomic && word.write.atomic) {
                    conflict =
                        Some(Conflict { earlier: word.write, wrote: true, proxy: order == 1 });
                }
                let read = |earlier: &Epoch| {
                    // A read that was ordered needs no fence before an asynchronous write.
                    let found =
                        self::order(earlier, view, false) > 0 && !(now.atomic && earlier.atomic);
                    found.then_some(Conflict { earlier: *earlier, wrote: false, proxy: false })
                };
                conflict = conflict.or_else(|| read(&word.read));
                if word.more && conflict.is_none() {
                    let list = self.more.get(&(index as u32));
                    conflict = list.and_then(|list| list.iter().find_map(read));
                }
            }
            if word.more {
                self.more.remove(&(index as u32));
            }
            *word = Word { write: now, read: Epoch::default(), more: false };
        }
        conflict
    }
}
