use super::float::{self, Half, NAN_16};
use super::integer::{self, ShiftMode};

const NAN: u32 = 0x7FFF_FFFF;

#[test]
fn nan_is_canonical() {
    let nan = f32::from_bits(0xFFC1_2345);
    for y in [0.0, -1.0, f32::INFINITY, nan] {
        for op in [float::add, float::sub, float::mul, float::div, float::max_nan, float::min_nan] {
            assert_eq!(op(nan, y).to_bits(), NAN);
            assert_eq!(op(y, nan).to_bits(), NAN);
        }
        assert_eq!(float::fma(y, nan, 1.0).to_bits(), NAN);
        assert_eq!(float::fma(1.0, 1.0, nan).to_bits(), NAN);
    }
    for op in [float::max, float::min, float::max_xorsign_abs] {
        assert_eq!(op(nan, nan).to_bits(), NAN);
        assert_eq!(op(nan, 2.0).abs(), 2.0);
        assert_eq!(op(2.0, nan).abs(), 2.0);
    }
    assert_eq!(float::sub(f32::INFINITY, f32::INFINITY).to_bits(), NAN);
    assert_eq!(float::mul(0.0, f32::INFINITY).to_bits(), NAN);
    // Not known to the compiler: a constant and a computed root need not be the same NaN.
    assert_eq!(float::sqrt(std::hint::black_box(-1.0)).to_bits(), NAN);
    assert_eq!([float::neg(nan), float::abs(nan)].map(f32::to_bits), [NAN; 2]);
}

#[test]
fn zeros_and_subnormals() {
    for (x, y) in [(0.0, -0.0), (-0.0, 0.0)] {
        assert_eq!(float::max(x, y).to_bits(), 0);
        assert_eq!(float::min(x, y).to_bits(), 1 << 31);
    }
    let tiny = f32::from_bits(1);
    assert_eq!(float::add(tiny, tiny).to_bits(), 2);
    assert_eq!(float::mul(f32::MIN_POSITIVE, 0.5).to_bits(), 1 << 22);
    assert_eq!(float::max(tiny, 0.0), tiny);
    assert_eq!(float::max(-1.0, -2.0), -1.0);
    assert_eq!(float::min(-1.0, -2.0), -2.0);
    assert_eq!(float::max_xorsign_abs(-3.0, 2.0), -3.0);
    assert_eq!(float::max_xorsign_abs(-3.0, -4.0), 4.0);
    assert_eq!(float::min_xorsign_abs(-3.0, 2.0), -2.0);
    assert_eq!([float::rcp(4.0), float::neg(0.0), float::abs(-0.0)], [0.25, -0.0, 0.0]);
}

#[test]
fn fma_rounds_once() {
    // (1 + 2^-12)^2 - 1: the product's last bit would be lost.
    let x = 1.0 + 2f32.powi(-12);
    assert_eq!(float::fma(x, x, -1.0), 2f32.powi(-11) + 2f32.powi(-24));
    assert_eq!(float::fma(-0.0, 1.0, 0.0).to_bits(), 0);
}

/// Integers in units of `2^unit`, wide enough to be exact; nothing for infinities and NaN.
fn exact(half: Half, x: u16) -> Option<(i128, i32)> {
    let (mantissa, bias) = match half {
        Half::F16 => (10, 15),
        Half::Bf16 => (7, 127),
    };
    let field = i32::from(x & 0x7FFF) >> mantissa;
    if field == (0x7FFF >> mantissa) {
        return None;
    }
    let fraction = i128::from(x & ((1 << mantissa) - 1));
    let significand = if field == 0 { fraction } else { fraction | 1 << mantissa };
    let unit = field.max(1) - bias - mantissa;
    Some((if x >> 15 != 0 { -significand } else { significand }, unit))
}

/// Rounds `value * 2^unit` by comparing with the two nearest codes.
fn nearest(half: Half, value: i128, unit: i32) -> u16 {
    let limit = if half == Half::F16 { 0x7C00 } else { 0x7F80 };
    let sign = if value < 0 { 0x8000 } else { 0 };
    // Finer units than any code near the value has.
    let (magnitude, unit) = (value.abs() << 30, unit - 30);
    // Twice the code's value; codes far above count as large, codes far below as zero.
    let twice = |code: u16| {
        let (s, u) = if code == limit {
            let (s, u) = exact(half, limit - 1).unwrap();
            (s + 1, u)
        } else {
            exact(half, code).unwrap()
        };
        let shift = u - unit + 1;
        match shift {
            115.. => i128::MAX / 4,
            0..115 => s << shift,
            _ => s >> (-shift).min(127),
        }
    };
    let (mut low, mut high) = (0, limit);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if twice(middle) <= 2 * magnitude { low = middle } else { high = middle }
    }
    let (below, above) = (2 * magnitude - twice(low), twice(high) - 2 * magnitude);
    sign | if below < above || (below == above && low % 2 == 0) { low } else { high }
}

#[test]
fn half_fma_equals_integers() {
    let mut seed = 5u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as u16
    };
    for half in [Half::F16, Half::Bf16] {
        // Exponents close enough for 128 bits.
        let mut code = |i: u32| match half {
            Half::F16 => next() & 0xBFFF | (u16::from(i.is_multiple_of(3)) << 14 & 0x3FFF),
            Half::Bf16 => (next() & 0x8FFF) | 0x3000,
        };
        for i in 0..500_000 {
            let (x, y, z) = (code(i), code(i), code(i));
            let (sx, ux) = exact(half, x).unwrap();
            let (sy, uy) = exact(half, y).unwrap();
            let (sz, uz) = exact(half, z).unwrap();
            let unit = (ux + uy).min(uz);
            let sum = ((sx * sy) << (ux + uy - unit)) + (sz << (uz - unit));
            let got = half.fma(x, y, z);
            if sum == 0 {
                assert_eq!(got & 0x7FFF, 0);
            } else {
                assert_eq!(got, nearest(half, sum, unit), "{half:?} {x:#x} {y:#x} {z:#x}");
            }
        }
    }
}

#[test]
fn half_arithmetic_with_one_operation_equals_binary32() {
    // f32 has more than twice the bits and one to spare, so rounding twice is innocuous.
    for x in (0..=u16::MAX).step_by(61) {
        for y in (0..=u16::MAX).step_by(67) {
            let (a, b) = (half::f16::from_bits(x), half::f16::from_bits(y));
            let expected =
                |v: f32| if v.is_nan() { NAN_16 } else { half::f16::from_f32(v).to_bits() };
            assert_eq!(Half::F16.add(x, y), expected(a.to_f32() + b.to_f32()));
            assert_eq!(Half::F16.sub(x, y), expected(a.to_f32() - b.to_f32()));
            assert_eq!(Half::F16.mul(x, y), expected(a.to_f32() * b.to_f32()));
            let (a, b) = (half::bf16::from_bits(x), half::bf16::from_bits(y));
            let expected =
                |v: f32| if v.is_nan() { NAN_16 } else { half::bf16::from_f32(v).to_bits() };
            assert_eq!(Half::Bf16.add(x, y), expected(a.to_f32() + b.to_f32()));
            assert_eq!(Half::Bf16.sub(x, y), expected(a.to_f32() - b.to_f32()));
        }
    }
}

/// Every code of f16 and bf16 with some others, among them numbers around 1, so that products are subnormal, tie and
/// overflow.
#[test]
fn half_products_equal_integers() {
    for half in [Half::F16, Half::Bf16] {
        let (one, nan) = if half == Half::F16 { (0x3C00, 0x7C00) } else { (0x3F80, 0x7F80) };
        let others = [
            one,
            one - 1,
            one + 1,
            one / 2,
            one * 3 / 2,
            one - (1 << half.mantissa_bits()),
            1,
            3,
            nan - 1,
        ];
        for x in 0..=u16::MAX {
            for y in others {
                let got = half.mul(x, y);
                let Some((sx, ux)) = exact(half, x) else {
                    let want = if x & 0x7FFF > nan { NAN_16 } else { x & 0x8000 | nan };
                    assert_eq!(got, want, "{half:?} {x:#x} {y:#x}");
                    continue;
                };
                let (sy, uy) = exact(half, y).unwrap();
                let want = if sx == 0 { x & 0x8000 } else { nearest(half, sx * sy, ux + uy) };
                assert_eq!(got, want, "{half:?} {x:#x} {y:#x}");
            }
        }
    }
}

/// PTX ISA 9.7.4: subnormal numbers are kept; a NaN result is 0x7FFF.
#[test]
fn half_special_values() {
    for (half, infinity) in [(Half::F16, 0x7C00), (Half::Bf16, 0x7F80)] {
        let (least, most) = (1, infinity - 1);
        for nan in [infinity + 1, 0x7FFF, infinity | 0x8001, 0xFFFF] {
            for other in [0, 0x8000, least, most, infinity, nan] {
                for op in [Half::add, Half::sub, Half::mul] {
                    assert_eq!([op(half, nan, other), op(half, other, nan)], [NAN_16; 2]);
                }
                for (x, y, z) in [(nan, other, 1), (other, nan, 1), (1, other, nan)] {
                    assert_eq!(half.fma(x, y, z), NAN_16);
                }
            }
        }
        let minus = infinity | 0x8000;
        assert_eq!([half.mul(infinity, 0), half.mul(0x8000, infinity)], [NAN_16; 2]);
        assert_eq!([half.add(infinity, minus), half.sub(minus, minus)], [NAN_16; 2]);
        assert_eq!([half.fma(infinity, 0, 1), half.fma(infinity, least, minus)], [NAN_16; 2]);
        assert_eq!([half.mul(minus, least), half.fma(minus, minus, most)], [minus, infinity]);
        assert_eq!([half.add(least, least), half.sub(least, 3)], [2, 0x8002]);
        assert_eq!([half.add(most, most), half.sub(most | 0x8000, most)], [infinity, minus]);
        assert_eq!([half.add(0x8000, 0x8000), half.add(0x8000, 0), half.sub(5, 5)], [0x8000, 0, 0]);
        assert_eq!([half.mul(least, least), half.mul(least, least | 0x8000)], [0, 0x8000]);
        assert_eq!(half.fma(least, least, 7), 7);
    }
    // Halfway to the next power of two is infinite, because the largest number is odd.
    assert_eq!([Half::F16.add(0x7BFF, 0x4C00), Half::F16.add(0x7BFF, 0x4BFF)], [0x7C00, 0x7BFF]);
}

#[test]
fn half_min_max_and_pairs() {
    let nan = 0xFFFF;
    for half in [Half::F16, Half::Bf16] {
        assert_eq!([half.max(nan, 5), half.max(5, nan), half.max(nan, nan)], [5, 5, NAN_16]);
        assert_eq!([half.min(nan, 5), half.min(5, nan), half.min(nan, nan)], [5, 5, NAN_16]);
        assert_eq!([half.max_nan(nan, 5), half.min_nan(5, nan)], [NAN_16; 2]);
        assert_eq!([half.max(0, 0x8000), half.min(0, 0x8000)], [0, 0x8000]);
        assert_eq!([half.neg(5), half.abs(0x8005), half.neg(nan)], [0x8005, 5, NAN_16]);
        assert_eq!(half.pairwise(0x0005_8000, 0xFFFF_0001, Half::max), 0x0005_0001);
    }
    assert_eq!(Half::F16.fma_pair(0x3C00_4000, 0x4000_4000, 0x3C00_BC00), 0x4200_4200);
    assert_eq!(Half::Bf16.fma(0x3F80, 0x3F80, 0x3380), 0x3F80);
}

#[test]
fn bit_fields() {
    assert_eq!(integer::bfe_u32(0xABCD_1234, 8, 12), 0xD12);
    assert_eq!(integer::bfe_u32(0xABCD_1234, 28, 12), 0xA);
    assert_eq!(integer::bfe_u32(0xABCD_1234, 0, 32), 0xABCD_1234);
    assert_eq!(integer::bfe_u32(0xABCD_1234, 32, 8), 0);
    assert_eq!(integer::bfe_u32(u32::MAX, 0x100, 0x101), 1);
    assert_eq!(integer::bfe_s32(0x0000_0F00, 8, 4), -1);
    assert_eq!(integer::bfe_s32(0x0000_0700, 8, 4), 7);
    assert_eq!(integer::bfe_s32(-5, 40, 4), -1);
    assert_eq!(integer::bfe_s32(-5, 4, 0), 0);
    assert_eq!(integer::bfe_s32(i32::MIN, 30, 8), -2);
    assert_eq!(integer::bfe_u64(u64::MAX, 4, 64), u64::MAX >> 4);
    assert_eq!(integer::bfe_s64(i64::MIN, 62, 8), -2);
    assert_eq!(integer::bfi_32(0xFF, 0, 4, 4), 0xF0);
    assert_eq!(integer::bfi_32(0xFF, 0x1234_5678, 28, 8), 0xF234_5678);
    assert_eq!(integer::bfi_32(0xFF, 0x1234_5678, 32, 8), 0x1234_5678);
    assert_eq!(integer::bfi_32(0xFF, 0x1234_5678, 8, 0), 0x1234_5678);
    assert_eq!(integer::bfi_32(0xABCD_EF01, 7, 0, 32), 0xABCD_EF01);
    assert_eq!(integer::bfi_64(u64::MAX, 0, 60, 64), 0xF << 60);
}

#[test]
fn permutes_and_shifts() {
    assert_eq!(integer::prmt(0x3322_1100, 0x7766_5544, 0x7531), 0x7755_3311);
    assert_eq!(integer::prmt(0x0000_8000, 0, 0x9998), 0xFFFF_FF00);
    assert_eq!(integer::lop3(0xF0, 0xCC, 0xAA, 0x96), 0x96);
    assert_eq!(integer::lop3(0xC, 0xA, 6, 0xC0), 0xC & 0xA);
    assert_eq!(integer::lop3(0xC, 0xA, 6, 0xFE), 0xC | 0xA | 6);
    assert_eq!(integer::shf_l(0x8000_0001, 0x1, 1, ShiftMode::Wrap), 3);
    assert_eq!(integer::shf_l(0x8000_0001, 0x1, 33, ShiftMode::Wrap), 3);
    assert_eq!(integer::shf_l(0x8000_0001, 0x1, 33, ShiftMode::Clamp), 0x8000_0001);
    assert_eq!(integer::shf_r(0x8000_0001, 0x1, 1, ShiftMode::Wrap), 0xC000_0000);
    assert_eq!(integer::shf_r(0x8000_0001, 0x1, 77, ShiftMode::Clamp), 1);
    assert_eq!(integer::shf_r(5, 9, 0, ShiftMode::Clamp), 5);
    assert_eq!([integer::shl_32(1, 32), integer::shr_u32(u32::MAX, 99)], [0, 0]);
    assert_eq!([integer::shr_s32(-8, 1), integer::shr_s32(-8, 64)], [-4, -1]);
    assert_eq!([integer::shl_64(1, 63), integer::shr_u64(1, 64)], [1 << 63, 0]);
    assert_eq!([integer::shr_s64(-8, 1), integer::shr_s64(-8, 64)], [-4, -1]);
}

#[test]
fn products_carries_and_quotients() {
    assert_eq!(integer::mul_hi_u32(u32::MAX, u32::MAX), u32::MAX - 1);
    assert_eq!(integer::mul_hi_s32(i32::MIN, i32::MIN), 1 << 30);
    assert_eq!(integer::mul_hi_u64(u64::MAX, 2), 1);
    assert_eq!(integer::mul_hi_s64(-1, 2), -1);
    assert_eq!(integer::mul_wide_s32(-3, 5), -15);
    assert_eq!(integer::mul_wide_u32(u32::MAX, 2), 0x1_FFFF_FFFE);
    assert_eq!(integer::mul_wide_s16(-3, 5), -15);
    assert_eq!(integer::mul_wide_u16(0xFFFF, 2), 0x1_FFFE);
    assert_eq!(integer::mad_lo_32(u32::MAX, 3, 10), 7);
    assert_eq!(integer::mad_lo_64(u64::MAX, 3, 10), 7);
    assert_eq!(integer::mad_hi_u32(u32::MAX, 2, u32::MAX), 0);
    assert_eq!(integer::mad_hi_s32(-1, 1, 5), 4);
    assert_eq!(integer::mad_wide_u32(u32::MAX, u32::MAX, u64::MAX), 0xFFFF_FFFE_0000_0000);
    assert_eq!(integer::mad_wide_s32(-2, 3, -1), -7);
    assert_eq!(integer::add_carry_u32(u32::MAX, 0, true), (0, true));
    assert_eq!(integer::add_carry_u32(1, 2, true), (4, false));
    assert_eq!(integer::sub_borrow_u32(0, u32::MAX, true), (0, true));
    assert_eq!(integer::sub_borrow_u32(3, 2, false), (1, false));
    assert_eq!([integer::div_u32(7, 2), integer::div_u32(7, 0)], [Some(3), None]);
    assert_eq!([integer::div_s32(-7, 2), integer::div_s32(7, 0)], [Some(-3), None]);
    assert_eq!(integer::div_s32(i32::MIN, -1), Some(i32::MIN));
    assert_eq!([integer::rem_s32(-7, 2), integer::rem_s32(7, 0)], [Some(-1), None]);
    assert_eq!(integer::rem_s32(i32::MIN, -1), Some(0));
    assert_eq!([integer::rem_u32(7, 4), integer::rem_u32(7, 0)], [Some(3), None]);
    assert_eq!([integer::div_u64(7, 2), integer::rem_u64(7, 0)], [Some(3), None]);
    assert_eq!(integer::div_s64(i64::MIN, -1), Some(i64::MIN));
    assert_eq!([integer::rem_s64(-7, 2), integer::rem_s64(7, 0)], [Some(-1), None]);
}

#[test]
fn counts() {
    assert_eq!([integer::popc_32(0xF0F0), integer::popc_64(u64::MAX)], [8, 64]);
    assert_eq!([integer::clz_32(0), integer::clz_32(1), integer::clz_64(0)], [32, 31, 64]);
    assert_eq!(integer::brev_32(1), 1 << 31);
    assert_eq!(integer::brev_64(1), 1 << 63);
    assert_eq!([integer::bfind_u32(0), integer::bfind_u32(0x80)], [u32::MAX, 7]);
    assert_eq!([integer::bfind_s32(-1), integer::bfind_s32(-256)], [u32::MAX, 7]);
    assert_eq!([integer::bfind_u64(0), integer::bfind_u64(1 << 40)], [u32::MAX, 40]);
}
