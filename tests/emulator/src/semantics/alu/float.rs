//! `add`, `sub`, `mul`, `fma`, `min`, `max`, `neg` and `abs` on f32, f16 and bf16 (PTX ISA 9.7.3 to 9.7.5).
//!
//! Without `.ftz` subnormals are kept (PTX ISA 9.7.3). Every operation rounds once, to nearest even. A NaN
//! result is the canonical one, `0x7FFF_FFFF` or `0x7FFF` (H200 measurement for `mul` and `max` of f32).
//! f16 and bf16 travel as their bits.

use super::super::convert::{NAN_F32, bf16_from_f64, f16_from_f64, f32_from_bf16, f32_from_f16};

/// NaN of f16 and bf16.
pub const NAN_16: u16 = 0x7FFF;

/// Any NaN becomes the one that the hardware produces.
pub fn canonical(x: f32) -> f32 {
    // By its bits: asked for `is_nan`, LLVM takes one NaN to be as good as another, and leaves that of `sqrt` alone.
    let bits = x.to_bits();
    f32::from_bits(if bits & 0x7FFF_FFFF > 0x7F80_0000 { NAN_F32 } else { bits })
}

/// `add.rn.f32`.
pub fn add(x: f32, y: f32) -> f32 {
    canonical(x + y)
}

/// `sub.rn.f32`.
pub fn sub(x: f32, y: f32) -> f32 {
    canonical(x - y)
}

/// `mul.rn.f32`.
pub fn mul(x: f32, y: f32) -> f32 {
    canonical(x * y)
}

/// `fma.rn.f32`: `x * y + z`, rounded once.
pub fn fma(x: f32, y: f32, z: f32) -> f32 {
    canonical(x.mul_add(y, z))
}

/// `div.rn.f32`.
pub fn div(x: f32, y: f32) -> f32 {
    canonical(x / y)
}

/// `sqrt.rn.f32`.
pub fn sqrt(x: f32) -> f32 {
    canonical(x.sqrt())
}

/// `rcp.rn.f32`.
pub fn rcp(x: f32) -> f32 {
    canonical(1.0 / x)
}

/// `max.f32`: a NaN gives way to the other operand, and +0 is above -0 (H200 measurement).
pub fn max(x: f32, y: f32) -> f32 {
    match (x.is_nan(), y.is_nan()) {
        (true, _) => canonical(y),
        (_, true) => x,
        _ if order(x) < order(y) => y,
        _ => x,
    }
}

/// `min.f32`: a NaN gives way to the other operand, and -0 is below +0 (PTX ISA 9.7.3.11).
pub fn min(x: f32, y: f32) -> f32 {
    match (x.is_nan(), y.is_nan()) {
        (true, _) => canonical(y),
        (_, true) => x,
        _ if order(x) > order(y) => y,
        _ => x,
    }
}

/// `max.NaN.f32`: a NaN wins (H200 measurement).
pub fn max_nan(x: f32, y: f32) -> f32 {
    if x.is_nan() || y.is_nan() { f32::from_bits(NAN_F32) } else { max(x, y) }
}

/// `min.NaN.f32`: a NaN wins (PTX ISA 9.7.3.11).
pub fn min_nan(x: f32, y: f32) -> f32 {
    if x.is_nan() || y.is_nan() { f32::from_bits(NAN_F32) } else { min(x, y) }
}

/// `max.xorsign.abs.f32`: the larger magnitude, with the exclusive or of the signs; a NaN gives way
/// (H200 measurement).
pub fn max_xorsign_abs(x: f32, y: f32) -> f32 {
    xorsign(x, y, max(x.abs(), y.abs()))
}

/// `min.xorsign.abs.f32`: the smaller magnitude, with the exclusive or of the signs.
pub fn min_xorsign_abs(x: f32, y: f32) -> f32 {
    xorsign(x, y, min(x.abs(), y.abs()))
}

fn xorsign(x: f32, y: f32, magnitude: f32) -> f32 {
    let sign = (x.to_bits() ^ y.to_bits()) & 0x8000_0000;
    canonical(f32::from_bits(magnitude.to_bits() | sign))
}

/// `neg.f32`: flips the sign; of a NaN the ISA leaves the result open, here it is the canonical one.
pub fn neg(x: f32) -> f32 {
    canonical(-x)
}

/// `abs.f32`: clears the sign; of a NaN the ISA leaves the result open, here it is the canonical one.
pub fn abs(x: f32) -> f32 {
    canonical(x.abs())
}

/// Two's complement bits in the order of the numbers, with -0 directly below +0.
fn order(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    if bits < 0 { bits ^ 0x7FFF_FFFF } else { bits }
}

/// One of the two formats with 16 bits, so that their arithmetic is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
}

impl Half {
    /// Explicit bits of the significand.
    pub const fn mantissa_bits(self) -> u32 {
        match self {
            Self::F16 => 10,
            Self::Bf16 => 7,
        }
    }

    /// What the exponent field of 1.0 holds.
    pub const fn bias(self) -> i32 {
        match self {
            Self::F16 => 15,
            Self::Bf16 => 127,
        }
    }

    /// The value, which binary32 holds exactly; every NaN is the canonical one.
    pub fn value(self, x: u16) -> f32 {
        match self {
            Self::F16 => f32_from_f16(x),
            Self::Bf16 => f32_from_bf16(x),
        }
    }

    fn wide(self, x: u16) -> f64 {
        self.value(x).into()
    }

    fn round(self, x: f64) -> u16 {
        match self {
            Self::F16 => f16_from_f64(x),
            Self::Bf16 => bf16_from_f64(x),
        }
    }

    /// `add`.
    pub fn add(self, x: u16, y: u16) -> u16 {
        self.round(sum_to_odd(self.wide(x), self.wide(y)))
    }

    /// `sub`.
    pub fn sub(self, x: u16, y: u16) -> u16 {
        self.round(sum_to_odd(self.wide(x), -self.wide(y)))
    }

    /// `mul`; the product is exact in binary64.
    pub fn mul(self, x: u16, y: u16) -> u16 {
        self.round(self.wide(x) * self.wide(y))
    }

    /// `fma.rn`: `x * y + z`, rounded once.
    pub fn fma(self, x: u16, y: u16, z: u16) -> u16 {
        self.round(sum_to_odd(self.wide(x) * self.wide(y), self.wide(z)))
    }

    /// `max`: a NaN gives way, +0 is above -0.
    pub fn max(self, x: u16, y: u16) -> u16 {
        self.round(max(self.wide(x) as f32, self.wide(y) as f32).into())
    }

    /// `min`: a NaN gives way, -0 is below +0.
    pub fn min(self, x: u16, y: u16) -> u16 {
        self.round(min(self.wide(x) as f32, self.wide(y) as f32).into())
    }

    /// `max.NaN`: a NaN wins.
    pub fn max_nan(self, x: u16, y: u16) -> u16 {
        self.round(max_nan(self.wide(x) as f32, self.wide(y) as f32).into())
    }

    /// `min.NaN`: a NaN wins.
    pub fn min_nan(self, x: u16, y: u16) -> u16 {
        self.round(min_nan(self.wide(x) as f32, self.wide(y) as f32).into())
    }

    /// `neg`: flips the sign, of a NaN too it is defined only up to its bits; here canonical.
    pub fn neg(self, x: u16) -> u16 {
        self.round(-self.wide(x))
    }

    /// `abs`: clears the sign; a NaN becomes canonical.
    pub fn abs(self, x: u16) -> u16 {
        self.round(self.wide(x).abs())
    }

    /// One operation on both halves of two packed registers (`.f16x2`, `.bf16x2`).
    pub fn pairwise(self, x: u32, y: u32, one: fn(Self, u16, u16) -> u16) -> u32 {
        let high = one(self, (x >> 16) as u16, (y >> 16) as u16);
        u32::from(high) << 16 | u32::from(one(self, x as u16, y as u16))
    }

    /// [`fma`](Self::fma) on both halves of three packed registers.
    pub fn fma_pair(self, x: u32, y: u32, z: u32) -> u32 {
        let high = self.fma((x >> 16) as u16, (y >> 16) as u16, (z >> 16) as u16);
        u32::from(high) << 16 | u32::from(self.fma(x as u16, y as u16, z as u16))
    }
}

/// `x + y`, rounded to odd: a further rounding to far fewer bits then equals one rounding of the exact sum.
fn sum_to_odd(x: f64, y: f64) -> f64 {
    let sum = x + y;
    if !sum.is_finite() {
        return sum;
    }
    // Knuth's exact error of the addition.
    let z = sum - x;
    let error = (x - (sum - z)) + (y - z);
    if error == 0.0 || sum.to_bits() & 1 == 1 {
        return sum;
    }
    // The exact sum lies between two neighbours; one of them is odd.
    let toward_larger_magnitude = (error > 0.0) == (sum > 0.0);
    let bits = sum.to_bits();
    f64::from_bits(if toward_larger_magnitude { bits + 1 } else { bits - 1 })
}
