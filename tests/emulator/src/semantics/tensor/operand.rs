//! The operands of the sums, taken apart: E4M3 codes, f16 and bf16 numbers, and binary32 accumulators.

use crate::semantics::alu::float::Half;

/// An E4M3 code as `significand * 2^(exponent - 3)` (PTX ISA 5.2.3; all codes compared with an H200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E4m3 {
    /// The significand in eighths with its sign, -15..=15; zero for zeros and for NaN.
    pub significand: i32,
    /// The exponent of the leading significand place, -6..=8.
    pub exponent: i32,
    /// Whether the code is one of the two NaNs.
    pub nan: bool,
}

impl E4m3 {
    /// Takes a code apart.
    pub const fn decode(code: u8) -> Self {
        let field = (code as i32 >> 3) & 15;
        let fraction = code as i32 & 7;
        let nan = code & 0x7F == 0x7F;
        let magnitude = match (nan, field) {
            (true, _) => 0,
            (false, 0) => fraction,
            (false, _) => 8 | fraction,
        };
        Self {
            significand: if code & 0x80 == 0 { magnitude } else { -magnitude },
            exponent: if field == 0 { -6 } else { field - 7 },
            nan,
        }
    }

    /// The value; zero for NaN, which the callers treat apart.
    pub const fn value(self) -> f32 {
        // Exact: four significand bits, and a power of two in -9..=5.
        self.significand as f32 * f32::from_bits(((self.exponent - 3 + 127) as u32) << 23)
    }
}

/// All codes, taken apart.
pub static E4M3: [E4m3; 256] = {
    let mut table = [E4m3::decode(0); 256];
    let mut code = 0;
    while code < 256 {
        table[code] = E4m3::decode(code as u8);
        code += 1;
    }
    table
};

/// A finite binary32 number as `significand * 2^(exponent - 23)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single {
    /// The significand with the hidden bit, without sign: below `2^24`.
    pub significand: u32,
    /// The exponent of the hidden bit's place, -126..=127; subnormals use -126.
    pub exponent: i32,
    /// Whether the sign bit is set.
    pub negative: bool,
}

impl Single {
    /// Takes a finite number apart.
    pub const fn decode(x: f32) -> Self {
        let bits = x.to_bits();
        let field = ((bits >> 23) & 0xFF) as i32;
        let fraction = bits & 0x7F_FFFF;
        Self {
            significand: if field == 0 { fraction } else { fraction | 0x80_0000 },
            exponent: if field == 0 { -126 } else { field - 127 },
            negative: bits >> 31 != 0,
        }
    }
}

/// A number with 16 bits as `significand * 2^(exponent - mantissa bits)`; `None` for infinities and NaN.
///
/// Subnormal numbers have the exponent of the least normal one, and a significand without the hidden bit.
pub const fn decode_half(half: Half, bits: u16) -> Option<(i64, i32)> {
    let mantissa = half.mantissa_bits();
    let field = (bits & 0x7FFF) >> mantissa;
    if field == 0x7FFF >> mantissa {
        return None;
    }
    let hidden = if field == 0 { 0 } else { 1 << mantissa };
    let magnitude = (bits & ((1 << mantissa) - 1)) as i64 | hidden;
    let exponent = (if field == 0 { 1 } else { field as i32 }) - half.bias();
    Some((if bits >> 15 == 0 { magnitude } else { -magnitude }, exponent))
}

/// `significand * 2^shift`, truncated toward zero. A shift upwards must leave the number in range.
pub(super) const fn shift_toward_zero(significand: i64, shift: i32) -> i64 {
    match shift {
        _ if significand == 0 => 0,
        0.. => significand << shift,
        -62..0 => significand / (1 << -shift),
        _ => 0,
    }
}
