//! The 8-bit float of the operands: 1 sign, 4 exponent and 3 mantissa bits, no infinity (`float8_e4m3fn`).
//!
//! Exponent field 0 means `m * 2^-9`, every other field `(1 + m / 8) * 2^(field - 7)`; `0x7F` and `0xFF`
//! are the only NaNs, and 448 is the largest finite value.

/// The largest finite value.
pub const MAX: f32 = 448.0;
/// The code of [`MAX`].
pub const MAX_CODE: u8 = 0x7E;
/// The NaN that conversions produce.
pub const NAN_CODE: u8 = 0x7F;

/// The value of each code.
pub const DECODE: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = decode_one(code as u8);
        code += 1;
    }
    table
};

const fn decode_one(code: u8) -> f32 {
    let magnitude = if is_nan(code) {
        f32::NAN
    } else {
        // `significand * 2^unit` with the power built from its bits.
        let power = f32::from_bits(((exponent(code) - 3 + 127) as u32) << 23);
        significand(code) as f32 * power
    };
    if is_negative(code) { -magnitude } else { magnitude }
}

/// Whether the code is one of the two NaNs.
pub const fn is_nan(code: u8) -> bool {
    code & 0x7F == NAN_CODE
}

/// Whether the sign bit is set; true of negative zero as well.
pub const fn is_negative(code: u8) -> bool {
    code & 0x80 != 0
}

/// The significand in eighths: 0..=7 for subnormals, 8..=15 for normal numbers.
pub const fn significand(code: u8) -> u8 {
    let fraction = code & 7;
    if code & 0x78 == 0 { fraction } else { 8 + fraction }
}

/// The exponent, -6..=8. Subnormals share the exponent of the smallest normal numbers.
pub const fn exponent(code: u8) -> i32 {
    let field = ((code >> 3) & 15) as i32;
    if field == 0 { -6 } else { field - 7 }
}

/// The value of a code.
pub const fn decode(code: u8) -> f32 {
    DECODE[code as usize]
}

/// Rounds to nearest, ties to even, and saturates, as `cvt.rn.satfinite.e4m3x2.f32` does.
///
/// NaN of either sign becomes `0x7F`; whatever lies beyond 448, infinity included, becomes 448 with its
/// sign; subnormal results are kept, and so is the sign of zero.
pub const fn encode(x: f32) -> u8 {
    if x.is_nan() {
        return NAN_CODE;
    }
    let bits = x.to_bits();
    let sign = ((bits >> 24) & 0x80) as u8;
    let magnitude = bits & 0x7FFF_FFFF;
    let code = if magnitude >= 121 << 23 {
        // 2^-6 and more: keep 3 mantissa bits, then move the exponent's bias from 127 to 7.
        let odd = (magnitude >> 20) & 1;
        let rounded = (magnitude + 0x7_FFFF + odd) >> 20;
        let code = rounded - (120 << 3);
        if code > MAX_CODE as u32 { MAX_CODE as u32 } else { code }
    } else {
        // Next to 2^14 neighbours lie 2^-9 apart, the unit of the subnormals: the addition rounds.
        (f32::from_bits(magnitude) + 16384.0).to_bits() - 16384.0f32.to_bits()
    };
    sign | code as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest code by search over all magnitudes, in f64.
    fn encode_by_search(x: f32) -> u8 {
        if x.is_nan() {
            return NAN_CODE;
        }
        // Beyond the largest value the distances of f64 would no longer differ.
        let target = f64::from(x.abs().min(1000.0));
        let distance = |code: u8| (f64::from(decode(code)) - target).abs();
        let nearest = (0..=MAX_CODE)
            .min_by(|&p, &q| {
                let by_distance = distance(p).total_cmp(&distance(q));
                by_distance.then((p & 1).cmp(&(q & 1)))
            })
            .expect("there are codes");
        nearest | if x.is_sign_negative() { 0x80 } else { 0 }
    }

    #[test]
    fn landmarks_decode_as_the_format_says() {
        let landmarks = [(0x00, 0.0), (0x01, 2f32.powi(-9)), (0x07, 7.0 / 512.0)];
        let normal = [(0x08, 2f32.powi(-6)), (0x38, 1.0), (0x39, 1.125), (0x7E, 448.0)];
        for (code, value) in landmarks.into_iter().chain(normal) {
            assert_eq!(decode(code), value, "{code:#04x}");
            assert_eq!(decode(code | 0x80), -value, "{code:#04x} negated");
        }
        assert!(decode(0x7F).is_nan() && decode(0xFF).is_nan());
        assert!(decode(0x80).is_sign_negative());
    }

    #[test]
    fn every_code_follows_the_formula_and_survives_a_round_trip() {
        for code in 0..=255u8 {
            let field = i32::from((code >> 3) & 15);
            let fraction = f64::from(code & 7) / 8.0;
            let magnitude = match field {
                _ if is_nan(code) => f64::NAN,
                0 => fraction * 2f64.powi(-6),
                _ => (1.0 + fraction) * 2f64.powi(field - 7),
            };
            let value = if is_negative(code) { -magnitude } else { magnitude };
            assert_eq!(f64::from(decode(code)).to_bits() << 1, value.to_bits() << 1, "{code:#04x}");
            assert_eq!(encode(decode(code)), if is_nan(code) { NAN_CODE } else { code });
        }
    }

    #[test]
    fn midpoints_and_their_neighbours_round_to_even() {
        for code in 0..MAX_CODE {
            let middle = f32::midpoint(decode(code), decode(code + 1));
            for x in [middle.next_down(), middle, middle.next_up()] {
                assert_eq!(encode(x), encode_by_search(x), "{x:e}");
                assert_eq!(encode(-x), encode_by_search(-x), "{x:e} negated");
            }
            assert_eq!(encode(middle) & 1, 0, "{middle:e} is a tie");
        }
    }

    #[test]
    fn the_ends_saturate_and_the_signs_stay() {
        let cases: [(f32, u8); 12] = [
            (464.0, 0x7E),
            (464.1, 0x7E),
            (f32::MAX, 0x7E),
            (f32::INFINITY, 0x7E),
            (f32::NEG_INFINITY, 0xFE),
            (-1e30, 0xFE),
            (f32::NAN, 0x7F),
            (-f32::NAN, 0x7F),
            (-0.0, 0x80),
            (-1e-30, 0x80),
            (f32::from_bits(1), 0x00),
            (2f32.powi(-10), 0x00),
        ];
        for (x, code) in cases {
            assert_eq!(encode(x), code, "{x:e}");
        }
    }

    #[test]
    fn a_stride_through_all_binary32_agrees_with_the_search() {
        for bits in (0..=u32::MAX).step_by(40_009) {
            let x = f32::from_bits(bits);
            assert_eq!(encode(x), encode_by_search(x), "{bits:#010x}");
        }
    }
}
