use super::*;

/// A format by the list of its values: rounding is a search for the nearest.
struct Listed {
    /// Magnitudes of the codes 0.., ascending; the last one is where the range ends.
    values: Vec<f64>,
    overflow: u32,
    nan: u32,
    sign: u32,
}

impl Listed {
    fn new(mantissa_bits: i32, bias: i32, codes: u32, overflow: u32, nan: u32, sign: u32) -> Self {
        let value = |code: u32| {
            let (field, fraction) =
                ((code >> mantissa_bits) as i32, code & ((1 << mantissa_bits) - 1));
            let unit = 2f64.powi(field.max(1) - bias - mantissa_bits);
            let hidden = if field == 0 { 0.0 } else { 2f64.powi(mantissa_bits) };
            (hidden + f64::from(fraction)) * unit
        };
        Self { values: (0..=codes).map(value).collect(), overflow, nan, sign }
    }

    fn all() -> [Self; 4] {
        [
            Self::new(3, 7, 0x7F, 0x7E, 0x7F, 0x80),
            Self::new(2, 15, 0x7C, 0x7B, 0x7F, 0x80),
            Self::new(10, 15, 0x7C00, 0x7C00, 0x7FFF, 0x8000),
            Self::new(7, 127, 0x7F80, 0x7F80, 0x7FFF, 0x8000),
        ]
    }

    fn round(&self, x: f32) -> u32 {
        if x.is_nan() {
            return self.nan;
        }
        let magnitude = f64::from(x).abs();
        let above = self.values.partition_point(|&v| v < magnitude);
        let code = if above == self.values.len() {
            above - 1
        } else if above == 0 {
            0
        } else {
            let (low, high) = (self.values[above - 1], self.values[above]);
            match (magnitude - low).partial_cmp(&(high - magnitude)).unwrap() {
                std::cmp::Ordering::Less => above - 1,
                std::cmp::Ordering::Equal => above - above % 2,
                std::cmp::Ordering::Greater => above,
            }
        };
        // An odd code above an even one: on a tie the even one wins.
        let code = if code + 1 == self.values.len() { self.overflow } else { code as u32 };
        if x.is_sign_negative() { code | self.sign } else { code }
    }
}

fn results(x: f32) -> [u32; 4] {
    [
        e4m3_from_f32(x).into(),
        e5m2_from_f32(x).into(),
        f16_from_f32(x).into(),
        bf16_from_f32(x).into(),
    ]
}

#[test]
fn rounding_is_to_the_nearest_listed_value() {
    let formats = Listed::all();
    let check = |bits: u32| {
        let x = f32::from_bits(bits);
        let expected = formats.each_ref().map(|f| f.round(x));
        assert_eq!(results(x), expected, "{x:?} {bits:#x}");
    };
    // A stride through all patterns, coprime to every power of two.
    let mut count = 0;
    for bits in (0..=u32::MAX).step_by(409) {
        check(bits);
        count += 1;
    }
    // Every value, every tie, and their neighbours.
    for format in &formats {
        for pair in format.values.windows(2) {
            for x in [pair[0], f64::midpoint(pair[0], pair[1]), pair[1]] {
                let bits = (x as f32).to_bits();
                for near in bits.saturating_sub(2)..=bits + 2 {
                    check(near);
                    check(near | 1 << 31);
                    count += 2;
                }
            }
        }
    }
    assert!(count > 10_000_000, "{count}");
}

#[test]
fn the_testkit_and_the_half_crate_convert_alike() {
    for bits in (0..=u32::MAX).step_by(2039) {
        let x = f32::from_bits(bits);
        assert_eq!(e4m3_from_f32(x), expert_gemm_tests::e4m3::encode(x));
        if !x.is_nan() {
            assert_eq!(f16_from_f32(x), half::f16::from_f32(x).to_bits());
            assert_eq!(bf16_from_f32(x), half::bf16::from_f32(x).to_bits());
        }
    }
    for x in 0..=u16::MAX {
        let (a, b) = (half::f16::from_bits(x), half::bf16::from_bits(x));
        assert_eq!(
            f32_from_f16(x).to_bits(),
            if a.is_nan() { NAN_F32 } else { a.to_f32().to_bits() }
        );
        assert_eq!(
            f32_from_bf16(x).to_bits(),
            if b.is_nan() { NAN_F32 } else { b.to_f32().to_bits() }
        );
        // And back.
        assert_eq!(f16_from_f32(f32_from_f16(x)), if a.is_nan() { 0x7FFF } else { x });
        assert_eq!(bf16_from_f32(f32_from_bf16(x)), if b.is_nan() { 0x7FFF } else { x });
    }
}

#[test]
fn codes_to_f16_and_back() {
    for code in 0..=255u8 {
        let wide = f32_from_f16(f16_from_e4m3(code));
        let value = expert_gemm_tests::e4m3::decode(code);
        if value.is_nan() {
            assert_eq!(f16_from_e4m3(code), 0x7FFF);
            assert_eq!(e4m3_from_f32(wide), 0x7F);
        } else {
            assert_eq!(wide.to_bits(), value.to_bits());
            assert_eq!(e4m3_from_f32(wide), code);
        }
        let e5m2 = f16x2_from_e5m2x2(u16::from(code) << 8 | 0x3C);
        assert_eq!(e5m2 & 0xFFFF, 0x3C00);
        let expected = if code & 0x7F > 0x7C { 0x7FFF } else { u32::from(code) << 8 };
        assert_eq!(e5m2 >> 16, expected);
        // Infinity saturates, NaN loses its sign.
        let back = match code & 0x7F {
            0x7C => 0x7B | code & 0x80,
            0x7D.. => 0x7F,
            _ => code,
        };
        assert_eq!(e5m2x2_from_f16x2(e5m2), u16::from(back) << 8 | 0x3C);
    }
}

#[test]
fn special_values_and_the_order_of_halves() {
    let inf = f32::INFINITY;
    assert_eq!(results(f32::NAN), [0x7F, 0x7F, 0x7FFF, 0x7FFF]);
    assert_eq!(results(-f32::NAN), [0x7F, 0x7F, 0x7FFF, 0x7FFF]);
    assert_eq!(results(inf), [0x7E, 0x7B, 0x7C00, 0x7F80]);
    assert_eq!(results(-inf), [0xFE, 0xFB, 0xFC00, 0xFF80]);
    assert_eq!(results(-0.0), [0x80, 0x80, 0x8000, 0x8000]);
    assert_eq!(results(f32::from_bits(0x8000_0001)), [0x80, 0x80, 0x8000, 0x8000]);
    assert_eq!(e4m3x2_from_f32(1.0, -2.0), 0x38C0);
    assert_eq!(e5m2x2_from_f32(1.0, -2.0), 0x3CC0);
    assert_eq!(f16x2_from_f32(1.0, -2.0), 0x3C00_C000);
    assert_eq!(bf16x2_from_f32(1.0, -2.0), 0x3F80_C000);
    assert_eq!(e4m3x2_from_f16x2(0x3C00_C000), 0x38C0);
    assert_eq!(f16x2_from_e4m3x2(0x38C0), 0x3C00_C000);
    assert_eq!(ue8m0x2_from_f32(1.0, 2.0), 0x7F80);
    assert_eq!(bf16x2_from_ue8m0x2(0x7F80), 0x3F80_4000);
}

#[test]
fn powers_of_two_upwards() {
    let value = |code: u8| 2f64.powi(i32::from(code) - 127);
    let values: Vec<f64> = (0..=254).map(value).collect();
    for bits in (0..=0x7F80_0000u32).step_by(101) {
        let x = f32::from_bits(bits);
        let expected = values.partition_point(|&v| v < f64::from(x)).min(254) as u8;
        assert_eq!(ue8m0_from_f32(x), expected, "{x:?}");
    }
    for code in 0..255u8 {
        let exact = f32_from_bf16(bf16_from_ue8m0(code));
        assert_eq!(f64::from(exact), value(code));
        assert_eq!(ue8m0_from_f32(exact), code);
        let above = f32::from_bits(exact.to_bits() + 1);
        assert_eq!(ue8m0_from_f32(above), (code + 1).min(254));
        let below = f32::from_bits(exact.to_bits() - 1);
        assert_eq!(ue8m0_from_f32(below), code);
    }
    assert_eq!(ue8m0_from_f32(f32::INFINITY), 254);
    assert_eq!(ue8m0_from_f32(f32::NAN), 255);
    assert_eq!(ue8m0_from_f32(0.0), 0);
    assert_eq!(bf16_from_ue8m0(255), 0x7FFF);
}
