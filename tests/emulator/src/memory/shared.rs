//! Shared memory of one CTA, with a shadow for each word.

use crate::lower::SHARED_BASE;
use crate::race::Shadow;

/// Shared memory. Addresses are those of the 32-bit window.
#[derive(Debug)]
pub struct Shared {
    bytes: Vec<u8>,
    /// Whether each byte was written.
    init: Vec<bool>,
    /// Accesses by word.
    pub shadow: Shadow,
}

impl Shared {
    /// Memory up to the address `end`.
    pub fn new(end: u64, check: bool) -> Self {
        let length = end as usize;
        let words = if check { length.div_ceil(4) } else { 0 };
        Self { bytes: vec![0xCB; length], init: vec![false; length], shadow: Shadow::new(words) }
    }

    /// Whether the range lies inside.
    pub fn holds(&self, address: u64, bytes: u64) -> bool {
        address >= SHARED_BASE && address.saturating_add(bytes) <= self.bytes.len() as u64
    }

    /// The end of the memory.
    pub fn end(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes of a range that lies inside.
    pub fn get(&self, address: u64, bytes: usize) -> &[u8] {
        &self.bytes[address as usize..address as usize + bytes]
    }

    /// Whether a range was written.
    pub fn known(&self, address: u64, bytes: usize) -> bool {
        self.init[address as usize..address as usize + bytes].iter().all(|&known| known)
    }

    /// Writes a range that lies inside.
    pub fn put(&mut self, address: u64, from: &[u8]) {
        let range = address as usize..address as usize + from.len();
        self.bytes[range.clone()].copy_from_slice(from);
        self.init[range].fill(true);
    }
}
