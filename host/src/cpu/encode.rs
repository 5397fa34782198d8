//! MXFP8 blocks: the scale of 32 numbers, and their codes.

use crate::abi::{ScaleRule, scale_atoms};

/// Numbers that share a scale.
pub(super) const VECTOR: usize = scale_atoms::VECTOR as usize;

/// The code of a NaN; its sign is dropped.
const NAN_CODE: u8 = 0x7f;
/// The scale byte of a block with an Inf, by the rule [`ScaleRule::Sgl`]. No finite block has it.
const INFINITE: u8 = 254;

const MAGNITUDE: u32 = 0x7fff_ffff;
const INFINITY: u32 = 0x7f80_0000;

/// The scale byte of a block.
pub(super) fn scale(block: &[f32; VECTOR], rule: ScaleRule) -> u8 {
    // The bits of magnitudes are ordered: finite, Inf, NaN.
    let magnitudes = block.iter().map(|x| x.to_bits() & MAGNITUDE);
    let largest = match rule {
        ScaleRule::Sgl => magnitudes.filter(|&bits| bits <= INFINITY).max(),
        ScaleRule::Strict | ScaleRule::OcpFloor => magnitudes.max().filter(|&bits| bits < INFINITY),
    };
    let Some(largest) = largest else { return scale_atoms::NAN };
    if largest == INFINITY {
        return INFINITE;
    }
    // 2^e * f: the exponent field is e + 127, and 0 for subnormal numbers, which get the byte 0 anyway.
    let exponent = (largest >> 23) as i32 - 127;
    let above = rule != ScaleRule::OcpFloor && largest & 0x007f_ffff > 0x0060_0000;
    (exponent + 119 + i32::from(above)).clamp(0, 254) as u8
}

/// The codes of a block with its scale byte.
pub(super) fn codes(block: &[f32; VECTOR], scale: u8, codes: &mut [u8]) {
    match scale {
        scale_atoms::NAN => codes.fill(NAN_CODE),
        INFINITE => {
            for (code, x) in codes.iter_mut().zip(block) {
                let sign = (x.to_bits() >> 24) as u8 & 0x80;
                *code = if x.is_finite() { sign } else { NAN_CODE };
            }
        }
        _ => {
            // 2^(127 - scale): a normal number for every scale that a finite block can have.
            let inverse = f32::from_bits((254 - u32::from(scale)) << 23);
            for (code, x) in codes.iter_mut().zip(block) {
                *code = encode(x * inverse);
            }
        }
    }
}

/// The nearest e4m3 number, ties to even, saturating at 448. NaN is 0x7f.
fn encode(x: f32) -> u8 {
    let bits = x.to_bits() & MAGNITUDE;
    let sign = (x.to_bits() >> 24) as u8 & 0x80;
    let magnitude = f32::from_bits(bits);
    let code = if bits > INFINITY {
        return NAN_CODE;
    } else if magnitude >= 448.0 {
        0x7e
    } else if magnitude < 1.0 / 64.0 {
        // Multiples of 2^-9: adding 2^14, whose last place that is, rounds to one of them.
        const UNIT: f32 = 16_384.0;
        (magnitude + UNIT).to_bits() - UNIT.to_bits()
    } else {
        // Three bits of the mantissa stay; the exponent's bias is 7 instead of 127.
        let rounded = bits + 0x0007_ffff + (bits >> 20 & 1);
        (rounded >> 20) - ((127 - 7) << 3)
    };
    sign | code as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::decode::decode;

    /// The nearest code by search, ties to the even one.
    fn nearest(x: f32) -> u8 {
        let best = (0..0x7f_u8).min_by(|&a, &b| {
            let distance = |code: u8| (f64::from(decode(code)) - f64::from(x.abs())).abs();
            distance(a).total_cmp(&distance(b)).then((a & 1).cmp(&(b & 1)))
        });
        best.expect("codes") | if x.is_sign_negative() { 0x80 } else { 0 }
    }

    #[test]
    fn every_code_survives_and_neighbours_round_to_the_nearest() {
        for code in 0..0x7f_u8 {
            let x = decode(code);
            assert_eq!((encode(x), encode(-x)), (code, code | 0x80));
            // The neighbours, the point between two codes, and both sides of it.
            let middle = f32::midpoint(x, decode((code + 1).min(0x7e)));
            let near = [x.next_up(), x.next_down(), middle, middle.next_up(), middle.next_down()];
            for x in near.into_iter().flat_map(|x| [x, -x]) {
                assert_eq!(encode(x), nearest(x), "{x:e}");
            }
        }
    }

    #[test]
    fn the_ends_saturate_and_nan_loses_its_sign() {
        for (x, code) in [
            (448.0, 0x7e),
            (449.0, 0x7e),
            (464.1, 0x7e),
            (f32::MAX, 0x7e),
            (f32::INFINITY, 0x7e),
            (f32::NEG_INFINITY, 0xfe),
            (f32::NAN, 0x7f),
            (-f32::NAN, 0x7f),
            (0.0, 0x00),
            (-0.0, 0x80),
            (-1e-30, 0x80),
            (f32::from_bits(1), 0x00),
            (1.0 / 1024.0, 0x00),
            (1.5 / 1024.0, 0x01),
            (3.0 / 1024.0, 0x02),
        ] {
            assert_eq!(encode(x), code, "{x:e}");
        }
    }

    fn block(values: &[f32]) -> [f32; VECTOR] {
        std::array::from_fn(|i| values.get(i).copied().unwrap_or(0.0))
    }

    fn quantised(block: &[f32; VECTOR], rule: ScaleRule) -> (u8, [u8; VECTOR]) {
        let byte = scale(block, rule);
        let mut out = [0xee; VECTOR];
        codes(block, byte, &mut out);
        (byte, out)
    }

    #[test]
    fn the_scale_is_the_smallest_without_saturation_or_the_floor() {
        use ScaleRule::{OcpFloor, Sgl, Strict};
        for (a, round_up, floor) in [
            (448.0, 127, 127),
            (448.0f32.next_up(), 128, 127),
            (449.0, 128, 127),
            (511.9, 128, 127),
            (512.0, 128, 128),
            (256.0, 127, 127),
            (1.0, 119, 119),
            (1.75, 119, 119),
            (1.76, 120, 119),
            (f32::MAX, 247, 246),
            (2f32.powi(-119), 0, 0),
            (2f32.powi(-119) * 1.9, 1, 0),
            (2f32.powi(-120) * 1.9, 0, 0),
            (f32::from_bits(1), 0, 0),
            (0.0, 0, 0),
        ] {
            for sign in [1.0, -1.0] {
                let block = block(&[0.0, a * sign, a / 2.0]);
                assert_eq!(scale(&block, Sgl), round_up, "{a:e}");
                assert_eq!(scale(&block, Strict), round_up, "{a:e}");
                assert_eq!(scale(&block, OcpFloor), floor, "{a:e}");
            }
        }
        // With the floor, magnitudes above 448 scales saturate.
        assert_eq!(quantised(&block(&[511.0, -500.0]), OcpFloor).1[..2], [0x7e, 0xfe]);
    }

    #[test]
    fn special_blocks_follow_the_table() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let all_nan = [nan; VECTOR];
        let zeros_and_nan = block(&[nan, 0.0, -0.0]);
        let some_nan = block(&[1.0, -nan, -1.0]);
        let some_inf = block(&[3.0, -inf, -3.0, nan, -0.0, f32::MAX]);
        assert_eq!(quantised(&all_nan, ScaleRule::Sgl), (255, [0x7f; VECTOR]));
        let (byte, out) = quantised(&zeros_and_nan, ScaleRule::Sgl);
        assert_eq!((byte, &out[..4]), (0, &[0x7f, 0, 0x80, 0][..]));
        let (byte, out) = quantised(&some_nan, ScaleRule::Sgl);
        assert_eq!((byte, &out[..4]), (119, &[0x78, 0x7f, 0xf8, 0][..]));
        let (byte, out) = quantised(&some_inf, ScaleRule::Sgl);
        assert_eq!((byte, &out[..7]), (254, &[0, 0x7f, 0x80, 0x7f, 0x80, 0, 0][..]));
        for rule in [ScaleRule::Strict, ScaleRule::OcpFloor] {
            for block in [all_nan, zeros_and_nan, some_nan, some_inf, block(&[inf])] {
                assert_eq!(quantised(&block, rule), (255, [0x7f; VECTOR]));
            }
        }
        for rule in ScaleRule::ALL {
            let (byte, out) = quantised(&block(&[0.0, -0.0]), rule);
            assert_eq!((byte, &out[..2]), (0, &[0, 0x80][..]));
        }
    }

    #[test]
    fn tiny_blocks_are_divided_like_any_other() {
        for rule in ScaleRule::ALL {
            let smallest = 2f32.powi(-127);
            let (byte, out) = quantised(&block(&[448.0 * smallest, -smallest, 0.0]), rule);
            assert_eq!((byte, &out[..3]), (0, &[0x7e, 0xb8, 0][..]));
        }
    }
}
