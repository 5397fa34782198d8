//! Tensor memory of one CTA: its words, what is known of them, and who may still use them.
//!
//! A CTA has the tensor memory of an SM for itself here. On a GPU two CTAs of one SM share it, and the second
//! waits in `tcgen05.alloc`.

use crate::race::{Conflict, Epoch, Shadow, View};
use crate::semantics::tmem::{AllocError, Allocator, COLUMNS, LANES, place};
use std::collections::BTreeMap;

/// Columns that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocation {
    pub(crate) first: u32,
    pub(crate) columns: u32,
    /// The instruction that made it.
    pub(crate) made: Epoch,
    /// Index of the warp that made it.
    pub(crate) warp: u32,
}

#[derive(Debug)]
struct Words {
    bits: Vec<u32>,
    init: Vec<bool>,
    shadow: Shadow,
}

/// The tensor memory.
#[derive(Debug, Default)]
pub(crate) struct TensorMemory {
    allocator: Allocator,
    allocations: Vec<Allocation>,
    /// Made by the first allocation, since most kernels have none.
    words: Option<Box<Words>>,
    /// The last use of this CTA's memory, shared memory included, by each asynchronous actor.
    pub(crate) users: BTreeMap<u32, Epoch>,
}

const fn index(lane: u32, column: u32) -> usize {
    (lane * COLUMNS + column) as usize
}

/// Where a word lies for the shadow, which counts bytes.
const fn shadow_address(lane: u32, column: u32) -> u64 {
    index(lane, column) as u64 * 4
}

impl TensorMemory {
    /// Allocates; nothing while there is no room.
    pub(crate) fn alloc(
        &mut self,
        columns: u32,
        made: Epoch,
        warp: u32,
    ) -> Result<Option<u32>, AllocError> {
        let Some(address) = self.allocator.alloc(columns)? else { return Ok(None) };
        let (_, first) = place(address);
        self.allocations.push(Allocation { first, columns, made, warp });
        self.words.get_or_insert_with(|| {
            let count = index(LANES, 0);
            let (bits, init) = (vec![0xCBCB_CBCB; count], vec![false; count]);
            Box::new(Words { bits, init, shadow: Shadow::new(count) })
        });
        Ok(Some(address))
    }

    /// Whether an allocation would not have to wait.
    pub(crate) fn has_room(&self, columns: u32) -> bool {
        !matches!(self.allocator.clone().alloc(columns), Ok(None))
    }

    /// Takes an allocation back, and returns it.
    pub(crate) fn dealloc(&mut self, address: u32, columns: u32) -> Result<Allocation, AllocError> {
        let error = AllocError::NotAllocated { address, columns };
        self.allocator.dealloc(address, columns)?;
        let same = |a: &Allocation| (a.first, a.columns) == (address, columns);
        let at = self.allocations.iter().position(same).ok_or(error)?;
        Ok(self.allocations.swap_remove(at))
    }

    /// Forgets what was in columns that are given back; a use that `view` does not know is returned.
    pub(crate) fn clear(&mut self, gone: &Allocation, view: &View) -> Option<Conflict> {
        let words = self.words.as_mut()?;
        let mut found = None;
        for lane in 0..LANES {
            let bytes = u64::from(gone.columns) * 4;
            let at = shadow_address(lane, gone.first);
            let conflict = words.shadow.write(at, bytes, view, Epoch::default());
            found = found.or(conflict);
            let first = index(lane, gone.first);
            words.init[first..first + gone.columns as usize].fill(false);
        }
        found
    }

    /// `relinquish_alloc_permit`
    pub(crate) fn relinquish(&mut self) {
        self.allocator.relinquish();
    }

    /// The end of the CTA.
    pub(crate) fn exit(&self) -> Result<(), AllocError> {
        self.allocator.exit()
    }

    /// The allocation that holds a column.
    pub(crate) fn holder(&self, column: u32) -> Option<&Allocation> {
        self.allocations.iter().find(|a| (a.first..a.first + a.columns).contains(&column))
    }

    /// A word, if it was ever written. The place must be allocated.
    pub(crate) fn get(&self, lane: u32, column: u32) -> Option<u32> {
        let words = self.words.as_ref()?;
        let at = index(lane, column);
        (*words.init.get(at)?).then(|| words.bits[at])
    }

    /// Writes a word of an allocated place.
    pub(crate) fn put(&mut self, lane: u32, column: u32, value: u32) {
        let Some(words) = &mut self.words else { return };
        let at = index(lane, column);
        words.bits[at] = value;
        words.init[at] = true;
    }

    /// Notes a read of columns of one lane.
    pub(crate) fn note_read(
        &mut self,
        lane: u32,
        column: u32,
        columns: u32,
        view: &View,
        now: Epoch,
    ) -> Option<Conflict> {
        let at = shadow_address(lane, column);
        self.words.as_mut()?.shadow.read(at, u64::from(columns) * 4, view, now)
    }

    /// Notes a write of columns of one lane, or a read and a write by one instruction.
    pub(crate) fn note_write(
        &mut self,
        lane: u32,
        column: u32,
        columns: u32,
        view: &View,
        now: Epoch,
    ) -> Option<Conflict> {
        let at = shadow_address(lane, column);
        self.words.as_mut()?.shadow.write(at, u64::from(columns) * 4, view, now)
    }
}
