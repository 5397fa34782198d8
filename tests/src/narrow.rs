//! The last step of every kernel: binary32 to the element type of the output.

use expert_gemm_kernels::abi::ElementType;
use half::{bf16, f16};

/// What the hardware's conversions to bf16 and f16 make of any NaN.
pub const NAN_BITS: u16 = 0x7FFF;

/// Converts as `cvt.rn.bf16.f32` and `cvt.rn.f16.f32` do, to the bits of the result.
///
/// Round to nearest, ties to even; overflow gives infinity; subnormal results are kept. Every NaN becomes
/// `0x7FFF`, where a CPU conversion would keep its sign and payload.
///
/// # Panics
/// If `output` is not bf16 or f16: no kernel writes anything else.
pub fn narrow(x: f32, output: ElementType) -> u16 {
    match output {
        _ if x.is_nan() => NAN_BITS,
        ElementType::Bf16 => bf16::from_f32(x).to_bits(),
        ElementType::F16 => f16::from_f32(x).to_bits(),
        other => panic!("{} is not an element type of outputs", other.name()),
    }
}

/// The value of an output's bits.
///
/// # Panics
/// As [`narrow`].
pub fn widen(bits: u16, output: ElementType) -> f32 {
    match output {
        ElementType::Bf16 => bf16::from_bits(bits).to_f32(),
        ElementType::F16 => f16::from_bits(bits).to_f32(),
        other => panic!("{} is not an element type of outputs", other.name()),
    }
}

/// Half a unit in the last place of the output type at `x`: the rounding error of [`narrow`] in range.
pub fn half_ulp(x: f64, output: ElementType) -> f64 {
    let (fraction_bits, min_exponent) =
        if output == ElementType::F16 { (10, -14) } else { (7, -126) };
    let exponent = if x == 0.0 { min_exponent } else { x.abs().log2().floor() as i32 };
    2f64.powi(exponent.max(min_exponent) - fraction_bits - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ElementType::{Bf16, F16};

    #[test]
    fn ties_go_to_even() {
        assert_eq!(narrow(f32::from_bits(0x3F80_8000), Bf16), 0x3F80);
        assert_eq!(narrow(f32::from_bits(0x3F81_8000), Bf16), 0x3F82);
        assert_eq!(narrow(1.0 + 2f32.powi(-11), F16), 0x3C00);
        assert_eq!(narrow(1.0 + 3.0 * 2f32.powi(-11), F16), 0x3C02);
    }

    #[test]
    fn overflow_is_infinite_and_nan_is_canonical() {
        assert_eq!(narrow(65520.0, F16), 0x7C00);
        assert_eq!(narrow(65519.9, F16), 0x7BFF);
        assert_eq!(narrow(-1e9, F16), 0xFC00);
        assert_eq!(narrow(f32::MAX, Bf16), 0x7F80);
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7F80_0001), f32::from_bits(0x7FFF_FFFF)] {
            assert_eq!((narrow(nan, Bf16), narrow(nan, F16)), (NAN_BITS, NAN_BITS));
        }
    }

    #[test]
    fn subnormals_and_signs_are_kept() {
        assert_eq!(narrow(2f32.powi(-24), F16), 1);
        assert_eq!(narrow(-0.0, F16), 0x8000);
        assert_eq!(narrow(f32::from_bits(0x0001_0000), Bf16), 1);
    }

    #[test]
    fn the_rounding_error_stays_within_half_an_ulp() {
        let mut x = 1e-7f64;
        while x < 6e4 {
            for output in [Bf16, F16] {
                let single = x as f32;
                let error = f64::from(widen(narrow(single, output), output)) - f64::from(single);
                assert!(error.abs() <= half_ulp(f64::from(single), output), "{x:e}");
            }
            x *= 1.0137;
        }
    }
}
