//! e4m3 numbers as f32, without tables, so that the compiler can decode eight at a time.

/// The value of a byte as e4m3 (`float8_e4m3fn`: no infinity, NaN is 0x7f and 0xff).
#[inline(always)]
pub(crate) const fn decode(byte: u8) -> f32 {
    let sign = (byte as u32 >> 7) << 31;
    let magnitude = byte as u32 & 0x7f;
    // The exponent's bias is 7 instead of 127.
    let normal = (magnitude << 20) + ((127 - 7) << 23);
    let subnormal = (magnitude as i32 as f32 * (1.0 / 512.0)).to_bits();
    let bits = if magnitude < 8 { subnormal } else { normal };
    let bits = if magnitude == 0x7f { 0x7fc0_0000 } else { bits };
    f32::from_bits(bits | sign)
}

/// Transposes 8 x 8 bytes: byte `i` of number `j` becomes byte `j` of number `i`, the lowest byte first.
#[inline(always)]
pub(crate) const fn transpose([a, b, c, d, e, f, g, h]: [u64; 8]) -> [u64; 8] {
    // Quarters of 4 x 4, then 2 x 2 in each, then single bytes.
    let [[a, e], [b, f]] = [swap(a, e, 32, 0xffff_ffff), swap(b, f, 32, 0xffff_ffff)];
    let [[c, g], [d, h]] = [swap(c, g, 32, 0xffff_ffff), swap(d, h, 32, 0xffff_ffff)];
    let mask = 0x0000_ffff_0000_ffff;
    let [[a, c], [b, d]] = [swap(a, c, 16, mask), swap(b, d, 16, mask)];
    let [[e, g], [f, h]] = [swap(e, g, 16, mask), swap(f, h, 16, mask)];
    let mask = 0x00ff_00ff_00ff_00ff;
    let [[a, b], [c, d]] = [swap(a, b, 8, mask), swap(c, d, 8, mask)];
    let [[e, f], [g, h]] = [swap(e, f, 8, mask), swap(g, h, 8, mask)];
    [a, b, c, d, e, f, g, h]
}

/// Exchanges what `mask << shift` covers of `upper` with what `mask` covers of `lower`.
#[inline(always)]
const fn swap(upper: u64, lower: u64, shift: u32, mask: u64) -> [u64; 2] {
    let difference = ((upper >> shift) ^ lower) & mask;
    [upper ^ (difference << shift), lower ^ difference]
}

#[cfg(test)]
mod tests {
    use super::{decode, transpose};

    #[test]
    fn known_values_are_right() {
        for (byte, value) in [
            (0x00, 0.0),
            (0x01, 2f32.powi(-9)),
            (0x07, 7.0 * 2f32.powi(-9)),
            (0x08, 2f32.powi(-6)),
            (0x38, 1.0),
            (0x3c, 1.5),
            (0x7e, 448.0),
            (0xb8, -1.0),
            (0xfe, -448.0),
        ] {
            assert_eq!(decode(byte).to_bits(), f32::to_bits(value), "{byte:#x}");
        }
        assert!(decode(0x7f).is_nan() && decode(0xff).is_nan());
        assert!(decode(0x80) == 0.0 && decode(0x80).is_sign_negative());
        assert_eq!((0..=255).filter(|&byte| decode(byte).is_nan()).count(), 2);
        assert!((0..0x7e).all(|byte| decode(byte) < decode(byte + 1)));
    }

    #[test]
    fn bytes_are_transposed() {
        let rows: [u64; 8] = std::array::from_fn(|row| {
            u64::from_le_bytes(std::array::from_fn(|column| (row * 8 + column) as u8))
        });
        for (row, bytes) in transpose(rows).map(u64::to_le_bytes).iter().enumerate() {
            assert_eq!(*bytes, std::array::from_fn(|column| (column * 8 + row) as u8));
        }
    }
}
