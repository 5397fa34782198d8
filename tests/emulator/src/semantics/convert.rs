//! `cvt` between the narrow floats (PTX ISA 9.7.9.21).
//!
//! Packed conversions put their first source operand into the high half. Subnormals are kept everywhere.

/// The result of converting a NaN to binary32 (H200 measurement of arithmetic; conversions alike).
pub const NAN_F32: u32 = 0x7FFF_FFFF;

/// A format with fewer bits than binary32, with an implicit sign bit above the others.
struct Format {
    mantissa_bits: u32,
    bias: i32,
    /// The code of infinity, or of the first magnitude that rounding must not produce.
    limit: u32,
    /// What a magnitude at or above the limit becomes.
    overflow: u32,
    nan: u32,
    sign: u32,
}

/// Saturating: beyond 448 is 448; any NaN is 0x7F (all 2^32 inputs compared with an H200).
const E4M3: Format =
    Format { mantissa_bits: 3, bias: 7, limit: 0x7F, overflow: 0x7E, nan: 0x7F, sign: 0x80 };
/// Saturating: beyond 57344 is 57344; any NaN is 0x7F.
const E5M2: Format =
    Format { mantissa_bits: 2, bias: 15, limit: 0x7C, overflow: 0x7B, nan: 0x7F, sign: 0x80 };
const F16: Format = Format {
    mantissa_bits: 10,
    bias: 15,
    limit: 0x7C00,
    overflow: 0x7C00,
    nan: 0x7FFF,
    sign: 0x8000,
};
/// All 2^32 inputs compared with an H200.
const BF16: Format = Format {
    mantissa_bits: 7,
    bias: 127,
    limit: 0x7F80,
    overflow: 0x7F80,
    nan: 0x7FFF,
    sign: 0x8000,
};

impl Format {
    /// Rounds to nearest, ties to even.
    fn round(&self, x: f64) -> u32 {
        if x.is_nan() {
            return self.nan;
        }
        let bits = x.to_bits();
        let field = (bits >> 52 & 0x7FF) as i32;
        // `significand * 2^(exponent - 52)`; binary64 subnormals are far below everything here.
        let significand = (bits & ((1 << 52) - 1)) | u64::from(field != 0) << 52;
        let exponent = field.max(1) - 1023;
        let lowest = 1 - self.bias;
        let aligned = exponent.max(lowest);
        let shift = (52 - self.mantissa_bits as i32 + aligned - exponent).min(63) as u32;
        let kept = significand >> shift;
        let rest = significand & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        let up = rest > half || (rest == half && kept & 1 == 1);
        // The hidden bit of `kept` counts as one in the exponent field; so does a carry.
        let magnitude = (((aligned - lowest) as u64) << self.mantissa_bits) + kept + u64::from(up);
        let magnitude =
            if magnitude >= self.limit.into() { self.overflow } else { magnitude as u32 };
        if bits >> 63 != 0 { magnitude | self.sign } else { magnitude }
    }
}

/// The f16 nearest to a binary64 number, ties to even; NaN is 0x7FFF, overflow is infinity.
pub fn f16_from_f64(x: f64) -> u16 {
    F16.round(x) as u16
}

/// The bf16 nearest to a binary64 number, ties to even; NaN is 0x7FFF, overflow is infinity.
pub fn bf16_from_f64(x: f64) -> u16 {
    BF16.round(x) as u16
}

/// `cvt.rn.f16.f32`.
pub fn f16_from_f32(x: f32) -> u16 {
    f16_from_f64(x.into())
}

/// `cvt.rn.bf16.f32`.
pub fn bf16_from_f32(x: f32) -> u16 {
    bf16_from_f64(x.into())
}

/// `cvt.rn.f16x2.f32 d, high, low`.
pub fn f16x2_from_f32(high: f32, low: f32) -> u32 {
    pack16(f16_from_f32(high), f16_from_f32(low))
}

/// `cvt.rn.bf16x2.f32 d, high, low`.
pub fn bf16x2_from_f32(high: f32, low: f32) -> u32 {
    pack16(bf16_from_f32(high), bf16_from_f32(low))
}

/// `cvt.f32.f16`: exact; NaN becomes [`NAN_F32`].
pub fn f32_from_f16(x: u16) -> f32 {
    let (field, fraction) = (u32::from(x >> 10 & 31), u32::from(x & 0x3FF));
    let magnitude = match (field, fraction) {
        (31, 0) => f32::INFINITY,
        (31, _) => return f32::from_bits(NAN_F32),
        (0, _) => fraction as f32 * f32::from_bits((127 - 24) << 23),
        _ => f32::from_bits((field + 127 - 15) << 23 | fraction << 13),
    };
    if x >> 15 != 0 { -magnitude } else { magnitude }
}

/// `cvt.f32.bf16`: the upper half of binary32; NaN becomes [`NAN_F32`].
pub fn f32_from_bf16(x: u16) -> f32 {
    let value = f32::from_bits(u32::from(x) << 16);
    if value.is_nan() { f32::from_bits(NAN_F32) } else { value }
}

/// One half of `cvt.rn.satfinite.e4m3x2.f32`.
pub fn e4m3_from_f32(x: f32) -> u8 {
    E4M3.round(x.into()) as u8
}

/// One half of `cvt.rn.satfinite.e5m2x2.f32`.
pub fn e5m2_from_f32(x: f32) -> u8 {
    E5M2.round(x.into()) as u8
}

/// `cvt.rn.satfinite.e4m3x2.f32 d, high, low`.
pub fn e4m3x2_from_f32(high: f32, low: f32) -> u16 {
    pack8(e4m3_from_f32(high), e4m3_from_f32(low))
}

/// `cvt.rn.satfinite.e5m2x2.f32 d, high, low`.
pub fn e5m2x2_from_f32(high: f32, low: f32) -> u16 {
    pack8(e5m2_from_f32(high), e5m2_from_f32(low))
}

/// `cvt.rn.satfinite.e4m3x2.f16x2`: each half goes where it was.
pub fn e4m3x2_from_f16x2(x: u32) -> u16 {
    e4m3x2_from_f32(f32_from_f16((x >> 16) as u16), f32_from_f16(x as u16))
}

/// `cvt.rn.satfinite.e5m2x2.f16x2`: each half goes where it was.
pub fn e5m2x2_from_f16x2(x: u32) -> u16 {
    e5m2x2_from_f32(f32_from_f16((x >> 16) as u16), f32_from_f16(x as u16))
}

/// One half of `cvt.rn.f16x2.e4m3x2`: exact; both NaNs become 0x7FFF (all codes compared with an H200).
pub fn f16_from_e4m3(code: u8) -> u16 {
    let sign = u16::from(code & 0x80) << 8;
    let (field, fraction) = (u16::from(code >> 3 & 15), u16::from(code & 7));
    match (field, fraction) {
        (15, 7) => 0x7FFF,
        (0, 0) => sign,
        // `fraction * 2^-9`: the highest bit of the fraction becomes the hidden one.
        (0, _) => {
            let top = fraction.ilog2() as u16;
            sign | (top + 15 - 9) << 10 | (fraction << (10 - top) & 0x3FF)
        }
        _ => sign | (field + 15 - 7) << 10 | fraction << 7,
    }
}

/// `cvt.rn.f16x2.e4m3x2`: each half goes where it was.
pub fn f16x2_from_e4m3x2(x: u16) -> u32 {
    pack16(f16_from_e4m3((x >> 8) as u8), f16_from_e4m3(x as u8))
}

/// `cvt.rn.f16x2.e5m2x2`: each half goes where it was. An E5M2 code is the high byte of an f16; NaN
/// becomes 0x7FFF.
pub fn f16x2_from_e5m2x2(x: u16) -> u32 {
    let one = |code: u16| if code & 0x7F > 0x7C { 0x7FFF } else { code << 8 };
    pack16(one(x >> 8), one(x & 0xFF))
}

/// One half of `cvt.rp.satfinite.ue8m0x2.f32`: the smallest power of two that is not below, as
/// `exponent + 127`; 255 for NaN, 254 for all above `2^127`.
///
/// The ISA does not say what a negative number becomes. Here its sign is ignored.
pub fn ue8m0_from_f32(x: f32) -> u8 {
    if x.is_nan() {
        return 255;
    }
    let bits = x.to_bits() & 0x7FFF_FFFF;
    let (field, fraction) = (bits >> 23, bits & 0x7F_FFFF);
    // Code 0 is 2^-127, which binary32 writes as a subnormal number with the fraction 0x400000.
    let up = if field == 0 { fraction > 0x40_0000 } else { fraction != 0 };
    (field + u32::from(up)).min(254) as u8
}

/// `cvt.rp.satfinite.ue8m0x2.f32 d, high, low`.
pub fn ue8m0x2_from_f32(high: f32, low: f32) -> u16 {
    pack8(ue8m0_from_f32(high), ue8m0_from_f32(low))
}

/// One half of `cvt.rn.bf16x2.ue8m0x2`: exact; 255 becomes 0x7FFF.
pub fn bf16_from_ue8m0(code: u8) -> u16 {
    match code {
        255 => 0x7FFF,
        0 => 0x0040,
        _ => u16::from(code) << 7,
    }
}

/// `cvt.rn.bf16x2.ue8m0x2`: each half goes where it was.
pub fn bf16x2_from_ue8m0x2(x: u16) -> u32 {
    pack16(bf16_from_ue8m0((x >> 8) as u8), bf16_from_ue8m0(x as u8))
}

fn pack8(high: u8, low: u8) -> u16 {
    u16::from(high) << 8 | u16::from(low)
}

fn pack16(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

#[cfg(test)]
mod tests;
