//! Global memory: allocations far apart, in pages that exist once they are written.

use super::MemoryFault;
use crate::report::ReportKind;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

const PAGE: u64 = 1 << 16;
const FIRST: u64 = 0x7f00_0000_0000;
/// Addresses of one device; those of two devices never meet.
const DEVICE: u64 = 1 << 37;
/// Unmapped bytes behind each allocation, at least.
const GUARD: u64 = 1 << 20;

#[derive(Debug)]
struct Page {
    words: Box<[AtomicU32]>,
    /// A bit for each byte: it was written.
    init: Box<[AtomicU64]>,
    /// For each word, the launch and cluster that wrote it last.
    writers: OnceLock<Box<[AtomicU64]>>,
}

impl Page {
    fn new(fill: Option<u8>) -> Self {
        let word = u32::from_le_bytes([fill.unwrap_or(0xCB); 4]);
        let init = if fill.is_some() { u64::MAX } else { 0 };
        Self {
            words: (0..PAGE / 4).map(|_| AtomicU32::new(word)).collect(),
            init: (0..PAGE / 64).map(|_| AtomicU64::new(init)).collect(),
            writers: OnceLock::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// What every byte holds while there is no page; `None` is uninitialised.
    fill: Option<u8>,
    page: OnceLock<Page>,
}

impl Slot {
    fn page(&self) -> &Page {
        self.page.get_or_init(|| Page::new(self.fill))
    }
}

/// An allocation.
#[derive(Debug)]
pub struct Allocation {
    /// First address.
    pub base: u64,
    /// Size in bytes.
    pub bytes: u64,
    slots: Vec<Slot>,
}

/// All of global memory.
#[derive(Debug, Default)]
pub struct Global {
    allocations: BTreeMap<u64, Allocation>,
    next: u64,
}

impl Global {
    /// The memory of one of several devices.
    pub fn of_device(ordinal: i32) -> Self {
        Self { next: DEVICE * u64::from(ordinal.unsigned_abs()), ..Self::default() }
    }

    /// Allocates; addresses are 256-aligned and never used twice.
    pub fn alloc(&mut self, bytes: u64) -> u64 {
        let base = FIRST + self.next;
        self.next += (bytes + 2 * GUARD).next_multiple_of(GUARD);
        let slots = (0..bytes.div_ceil(PAGE)).map(|_| Slot::default()).collect();
        self.allocations.insert(base, Allocation { base, bytes, slots });
        base
    }

    /// Frees; false if nothing begins there.
    pub fn free(&mut self, base: u64) -> bool {
        self.allocations.remove(&base).is_some()
    }

    /// Bytes allocated now.
    pub fn allocated(&self) -> u64 {
        self.allocations.values().map(|a| a.bytes).sum()
    }

    /// The allocation that holds an address: base and size.
    pub fn range(&self, address: u64) -> Option<(u64, u64)> {
        self.find(address).map(|a| (a.base, a.bytes))
    }

    fn find(&self, address: u64) -> Option<&Allocation> {
        let (_, found) = self.allocations.range(..=address).next_back()?;
        (address - found.base < found.bytes).then_some(found)
    }

    fn holder(&self, address: u64, bytes: u64, what: &str) -> Result<&Allocation, MemoryFault> {
        if let Some(found) = self.find(address)
            && found.bytes - (address - found.base) >= bytes
        {
            return Ok(found);
        }
        let nearest = self.allocations.range(..=address).next_back().map(|(_, a)| a);
        let nearest = match nearest {
            Some(a) => format!(
                "the nearest allocation below is {:#x} of {} bytes, and this is byte {} of it",
                a.base,
                a.bytes,
                address - a.base
            ),
            None => "no allocation lies below".to_owned(),
        };
        let message = format!("{what} of {bytes} bytes at global {address:#x}: {nearest}");
        Err(MemoryFault::new(ReportKind::OutOfBounds, message))
    }

    /// Reads, and says whether all of it was ever written.
    ///
    /// # Errors
    ///
    /// Out of bounds.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<bool, MemoryFault> {
        let allocation = self.holder(address, to.len() as u64, "read")?;
        let mut offset = address - allocation.base;
        let mut known = true;
        let mut done = 0;
        while done < to.len() {
            let slot = &allocation.slots[(offset / PAGE) as usize];
            let at = offset % PAGE;
            let length = (to.len() - done).min((PAGE - at) as usize);
            let part = &mut to[done..done + length];
            match slot.page.get() {
                None => {
                    part.fill(slot.fill.unwrap_or(0xCB));
                    known &= slot.fill.is_some();
                }
                Some(page) => known &= read_page(page, at as usize, part),
            }
            done += length;
            offset += length as u64;
        }
        Ok(known)
    }

    /// Writes.
    ///
    /// # Errors
    ///
    /// Out of bounds.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), MemoryFault> {
        let allocation = self.holder(address, from.len() as u64, "write")?;
        let mut offset = address - allocation.base;
        let mut done = 0;
        while done < from.len() {
            let at = offset % PAGE;
            let length = (from.len() - done).min((PAGE - at) as usize);
            let page = allocation.slots[(offset / PAGE) as usize].page();
            write_page(page, at as usize, &from[done..done + length]);
            done += length;
            offset += length as u64;
        }
        Ok(())
    }

    /// Fills, without making pages where whole pages are filled.
    ///
    /// # Errors
    ///
    /// Out of bounds.
    pub fn fill(&mut self, address: u64, value: u8, bytes: u64) -> Result<(), MemoryFault> {
        if bytes == 0 {
            return Ok(());
        }
        let base = self.holder(address, bytes, "fill")?.base;
        let Some(allocation) = self.allocations.get_mut(&base) else { return Ok(()) };
        let end = address - base + bytes;
        let mut offset = address - base;
        let last = allocation.bytes;
        while offset < end {
            let at = offset % PAGE;
            let length = (end - offset).min(PAGE - at);
            let slot = &mut allocation.slots[(offset / PAGE) as usize];
            if at == 0 && (length == PAGE || offset + length == last) {
                *slot = Slot { fill: Some(value), page: OnceLock::new() };
            } else {
                write_page(slot.page(), at as usize, &vec![value; length as usize]);
            }
            offset += length;
        }
        Ok(())
    }

    /// Changes one value of `bytes` bytes, indivisibly, and returns the old one and whether it was known.
    ///
    /// # Errors
    ///
    /// Out of bounds.
    pub fn update(
        &self,
        address: u64,
        bytes: u64,
        change: &mut dyn FnMut(u64) -> u64,
    ) -> Result<(u64, bool), MemoryFault> {
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut value = [0; 8];
        let slice = &mut value[..bytes as usize];
        let known = self.read(address, slice)?;
        let old = u64::from_le_bytes(value);
        self.write(address, &change(old).to_le_bytes()[..bytes as usize])?;
        Ok((old, known))
    }

    /// Marks bytes as written by `cluster` in `launch`, and returns the other cluster that wrote them in the
    /// same launch, if any.
    pub fn mark(&self, address: u64, bytes: u64, launch: u32, cluster: u32) -> Option<u32> {
        let allocation = self.find(address)?;
        let mut other = None;
        let first = (address - allocation.base) / 4;
        let last = (address + bytes - 1 - allocation.base) / 4;
        for word in first..=last {
            let page = allocation.slots.get((word / (PAGE / 4)) as usize)?.page();
            let writers =
                page.writers.get_or_init(|| (0..PAGE / 4).map(|_| AtomicU64::new(0)).collect());
            let tag = u64::from(launch) << 32 | u64::from(cluster);
            let old = writers[(word % (PAGE / 4)) as usize].swap(tag, Relaxed);
            if old >> 32 == u64::from(launch) && old as u32 != cluster {
                other = Some(old as u32);
            }
        }
        other
    }

    /// The cluster that wrote the word at `address` in `launch`, if any.
    pub fn writer(&self, address: u64, launch: u32) -> Option<u32> {
        let allocation = self.find(address)?;
        let word = (address - allocation.base) / 4;
        let page = allocation.slots.get((word / (PAGE / 4)) as usize)?.page.get()?;
        let tag = page.writers.get()?[(word % (PAGE / 4)) as usize].load(Relaxed);
        (tag >> 32 == u64::from(launch)).then_some(tag as u32)
    }
}

fn read_page(page: &Page, at: usize, to: &mut [u8]) -> bool {
    let mut known = true;
    if at.is_multiple_of(4) && to.len().is_multiple_of(4) {
        for (i, part) in to.chunks_exact_mut(4).enumerate() {
            let byte = at + 4 * i;
            part.copy_from_slice(&page.words[byte / 4].load(Relaxed).to_le_bytes());
            known &= page.init[byte / 64].load(Relaxed) >> (byte % 64) & 0xF == 0xF;
        }
        return known;
    }
    for (i, to) in to.iter_mut().enumerate() {
        let byte = at + i;
        *to = (page.words[byte / 4].load(Relaxed) >> (byte % 4 * 8)) as u8;
        known &= page.init[byte / 64].load(Relaxed) >> (byte % 64) & 1 == 1;
    }
    known
}

fn write_page(page: &Page, at: usize, from: &[u8]) {
    if at.is_multiple_of(4) && from.len().is_multiple_of(4) {
        for (i, part) in from.chunks_exact(4).enumerate() {
            let byte = at + 4 * i;
            let word = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
            page.words[byte / 4].store(word, Relaxed);
            page.init[byte / 64].fetch_or(0xF << (byte % 64), Relaxed);
        }
        return;
    }
    for (i, &value) in from.iter().enumerate() {
        let byte = at + i;
        let shift = byte % 4 * 8;
        let change = |word: u32| Some(word & !(0xFF << shift) | u32::from(value) << shift);
        let _ = page.words[byte / 4].fetch_update(Relaxed, Relaxed, change);
        page.init[byte / 64].fetch_or(1 << (byte % 64), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_initialisation_and_sparse_pages() {
        let mut memory = Global::default();
        let big = memory.alloc(6 << 30);
        let small = memory.alloc(10);
        assert_eq!(memory.range(small + 9), Some((small, 10)));
        assert_eq!(memory.range(small + 10), None);
        let mut word = [0; 4];
        assert_eq!(memory.read(small, &mut word), Ok(false));
        memory.write(small + 3, &[1, 2, 3]).expect("inside");
        assert_eq!(memory.read(small + 3, &mut word[..3]), Ok(true));
        assert_eq!(word[..3], [1, 2, 3]);
        assert_eq!(memory.read(small + 3, &mut word), Ok(false));
        assert!(memory.read(small + 7, &mut word).is_err() && memory.write(0, &[0]).is_err());
        memory.write(big + (5 << 30), &[7; 4]).expect("inside");
        memory.fill(big, 9, 6 << 30).expect("inside");
        assert_eq!(memory.read(big + (5 << 30), &mut word), Ok(true));
        assert_eq!(word, [9; 4]);
        assert_eq!(memory.update(big, 4, &mut |x| x | 0x10), Ok((0x0909_0909, true)));
        assert_eq!(memory.mark(big, 16, 1, 0), None);
        assert_eq!(memory.mark(big + 12, 4, 1, 2), Some(0));
        assert_eq!((memory.writer(big + 12, 1), memory.writer(big, 2)), (Some(2), None));
        assert!(memory.free(small) && !memory.free(small));
    }
}
