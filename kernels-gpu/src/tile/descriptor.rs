//! Shared-memory matrix descriptors of wgmma (PTX ISA, "Matrix Descriptor Format").

/// Constant part for a K-major operand with 128-byte swizzle: 1024 bytes between groups of 8 rows
/// (bits 32-45, in units of 16 bytes), swizzle mode 1 (bits 62-63).
const K_MAJOR_SWIZZLE_128B: u64 = (1 << 62) | ((1024 >> 4) << 32);

/// Descriptor of a K-major tile whose rows are 128 bytes long and 128-byte swizzled, as the tensor
/// memory accelerator writes them.
///
/// `address` is in the CTA's shared window and a multiple of 1024 (the swizzle works on address bits).
#[inline(always)]
pub const fn k_major_128b(address: u32) -> u64 {
    K_MAJOR_SWIZZLE_128B | ((address & 0x3_FFFF) >> 4) as u64
}

/// Bytes of the unit in which [`moved_on`] counts.
pub const UNIT: u32 = 16;

/// The descriptor of a tile `units` of 16 bytes further on, or of the same one so far along K; inside the window.
///
/// The address does not carry into the upper half. The assembler cannot know that, and would add all 64 bits, on the way to
/// every multiplication: about 1 % of prefill on an H200.
#[inline(always)]
pub const fn moved_on(descriptor: u64, units: u32) -> u64 {
    (descriptor & !0xFFFF_FFFF) | (descriptor as u32).wrapping_add(units) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_part_is_the_one_measured_on_hardware() {
        assert_eq!(k_major_128b(0), 0x4000_0040_0000_0000);
    }

    #[test]
    fn the_address_is_in_units_of_sixteen_bytes() {
        assert_eq!(k_major_128b(0x400), 0x4000_0040_0000_0040);
        assert_eq!(k_major_128b(0x400) + 2, k_major_128b(0x420));
        assert_eq!(k_major_128b(227 * 1024) & 0x3FFF, (227 * 1024) >> 4);
    }

    #[test]
    fn moving_on_is_the_descriptor_of_a_later_address() {
        for (address, bytes) in [(0, 0), (0x400, 32), (0x400, 96), (195 * 1024, 32 * 1024)] {
            let later = k_major_128b(address + bytes);
            assert_eq!(moved_on(k_major_128b(address), bytes / UNIT), later);
        }
    }
}
