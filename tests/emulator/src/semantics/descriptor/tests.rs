use std::collections::HashSet;

use super::*;

const WGMMA_K_MAJOR_128B: u64 = 0x4000_0040_0000_0000;
const TCGEN05_K_MAJOR_128B: u64 = 0x4000_4040_0000_0000;
const TCGEN05_SCALES: u64 = 0x0000_4008_0000_0000;

#[test]
fn constant_parts() {
    let start = 0x1_2C00;
    let layout = Layout { start, leading: 0, stride: 1024, swizzle: Swizzle::B128 };
    let bits = WGMMA_K_MAJOR_128B | encode_field(start);
    assert_eq!(WgmmaDescriptor::decode(bits), Ok(WgmmaDescriptor(layout)));
    let bits = TCGEN05_K_MAJOR_128B | encode_field(start);
    assert_eq!(Tcgen05Descriptor::decode(bits), Ok(Tcgen05Descriptor(layout)));
    let scales = Tcgen05Descriptor::decode(TCGEN05_SCALES | encode_field(start)).unwrap();
    assert_eq!(scales.0, Layout { start, leading: 0, stride: 128, swizzle: Swizzle::None });
    // Rows of 16 bytes, 512 in a row.
    for row in 0..32 {
        assert_eq!(scales.address(row, 5), start + 16 * row + 5);
    }
}

#[test]
fn the_four_slices_of_k_lie_in_one_row() {
    let start = 0x8400;
    let first = WgmmaDescriptor::decode(WGMMA_K_MAJOR_128B | encode_field(start)).unwrap();
    for slice in 0..4 {
        let bits = (WGMMA_K_MAJOR_128B | encode_field(start)) + 2 * u64::from(slice);
        let d = WgmmaDescriptor::decode(bits).unwrap();
        for row in 0..64 {
            for byte in 0..32 {
                let linear = start + row * 128 + slice * 32 + byte;
                assert_eq!(d.address(row, byte), Swizzle::B128.apply(linear));
                assert_eq!(d.address(row, byte), first.address(row, slice * 32 + byte));
            }
        }
    }
}

#[test]
fn every_mode_gives_every_byte_one_address() {
    for (code, stride) in [(0u64, 256), (1, 1024), (2, 512), (3, 256)] {
        // Without swizzle: the two columns of K are 128 bytes apart, groups of rows 256.
        let bits = code << 62 | encode_field(stride) << 32 | encode_field(128) << 16;
        let d = WgmmaDescriptor::decode(bits | encode_field(0x2000)).unwrap();
        let all: HashSet<u32> =
            (0..64).flat_map(|r| (0..32).map(move |b| d.address(r, b))).collect();
        assert_eq!(all.len(), 64 * 32);
        if code == 0 || code == 3 {
            // These two fill the memory without gaps.
            assert!((0x2000..0x2800).all(|address| all.contains(&address)));
        }
        // 16 bytes stay together.
        for row in 0..64 {
            assert_eq!(d.address(row, 15), d.address(row, 0) + 15);
            assert_eq!(d.address(row, 31), d.address(row, 16) + 15);
        }
    }
    let d = WgmmaDescriptor::decode(encode_field(256) << 32 | encode_field(128) << 16).unwrap();
    assert_eq!(d.address(9, 17), 256 + 128 + 16 + 1);
}

#[test]
fn both_kinds_name_the_same_modes_in_the_same_bits() {
    for (code, other) in [(0u64, 0u64), (1, 2), (2, 4), (3, 6)] {
        let wgmma = WgmmaDescriptor::decode(code << 62).unwrap();
        let tcgen05 = Tcgen05Descriptor::decode(other << 61 | 1 << 46).unwrap();
        assert_eq!(wgmma.0, tcgen05.0);
    }
    let atom = Tcgen05Descriptor::decode(1 << 61 | 1 << 46).unwrap();
    assert_eq!(atom.0.swizzle, Swizzle::B128Atom32);
}

#[test]
fn refuses_what_has_no_meaning() {
    use DescriptorError as E;
    for bit in (14..16).chain(30..32).chain(46..49).chain(52..62) {
        let bits = WGMMA_K_MAJOR_128B | 1 << bit;
        assert_eq!(WgmmaDescriptor::decode(bits), Err(E::ReservedBits(1 << bit)), "bit {bit}");
    }
    for bit in (14..16).chain(30..32).chain(53..61) {
        let bits = TCGEN05_K_MAJOR_128B | 1 << bit;
        assert_eq!(Tcgen05Descriptor::decode(bits), Err(E::ReservedBits(1 << bit)), "bit {bit}");
    }
    assert_eq!(Tcgen05Descriptor::decode(WGMMA_K_MAJOR_128B), Err(E::Version(0)));
    assert_eq!(
        Tcgen05Descriptor::decode(TCGEN05_K_MAJOR_128B | 1 << 52),
        Err(E::AbsoluteLeadingDimension)
    );
    for code in [3, 5, 7] {
        assert_eq!(Tcgen05Descriptor::decode(code << 61 | 1 << 46), Err(E::Swizzle(code)));
    }
    assert_eq!(WgmmaDescriptor::decode(WGMMA_K_MAJOR_128B | 3 << 49), Err(E::BaseOffset(3)));
    let off = WGMMA_K_MAJOR_128B | encode_field(0x400 + 256);
    assert_eq!(WgmmaDescriptor::decode(off), Err(E::BaseOffset(256)));
    // The boundary of the narrower patterns is narrower.
    assert!(WgmmaDescriptor::decode(3 << 62 | encode_field(256)).is_ok());
    assert!(WgmmaDescriptor::decode(3 << 62 | encode_field(128)).is_err());
}

#[test]
fn instruction_descriptors() {
    let decode = InstructionDescriptor::decode_block_scaled;
    for (bits, cta_group, m, n) in [
        (0x0890_0000, 1, 128, 64),
        (0x08A0_0000, 1, 128, 128),
        (0x08C0_0000, 1, 128, 256),
        (0x10C0_0000, 2, 256, 256),
    ] {
        for id in 0..4 {
            let expected = InstructionDescriptor { m, n, scale_id_a: id, scale_id_b: id };
            assert_eq!(decode(bits | id << 29 | id << 4, cta_group), Ok(expected));
        }
        let one = InstructionDescriptor { m, n, scale_id_a: 2, scale_id_b: 0 };
        assert_eq!(decode(bits | 2 << 29, cta_group), Ok(one));
    }
    // Every other bit of a good descriptor is either a number or refused.
    for bit in [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 31] {
        assert!(decode(0x08A0_0000 ^ 1 << bit, 1).is_err(), "bit {bit}");
    }
    assert_eq!(decode(0x10C0_0000, 1), Err(DescriptorError::Shape { m: 256, n: 256 }));
    assert_eq!(decode(0x0880_0000, 1), Err(DescriptorError::Shape { m: 128, n: 0 }));
    let too_wide = 0x0880_0000 | 33 << 17;
    assert_eq!(decode(too_wide, 1), Err(DescriptorError::Shape { m: 128, n: 264 }));
    assert!(decode(0x0880_0000 | 3 << 17, 2).is_err() && decode(0x0880_0000 | 3 << 17, 1).is_ok());

    let decode = InstructionDescriptor::decode_unscaled;
    let good = 1 << 4 | (128 >> 3) << 17 | (128 >> 4) << 24;
    let expected = InstructionDescriptor { m: 128, n: 128, scale_id_a: 0, scale_id_b: 0 };
    assert_eq!(decode(good, 1), Ok(expected));
    for bit in [0, 1, 2, 3, 4, 5, 6, 7, 10, 13, 14, 15, 16, 23, 29, 30, 31] {
        assert!(decode(good ^ 1 << bit, 1).is_err(), "bit {bit}");
    }
}
