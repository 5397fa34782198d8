//! The quantiser in `f32` arithmetic, step by step as the original operation has it. Shares nothing with
//! [`super::quant_integer`].

use super::{Block, Quantised};
use crate::e4m3;
use expert_gemm_kernels::abi::{ElementType, ScaleRule};
use half::f16;

/// Quantises a block.
///
/// # Panics
/// If the element type is not bf16 or f16.
pub fn block(elements: &Block, input: ElementType, rule: ScaleRule) -> Quantised {
    let values = match input {
        ElementType::Bf16 => elements.map(|bits| f32::from_bits(u32::from(bits) << 16)),
        ElementType::F16 => elements.map(|bits| f16::from_bits(bits).to_f32()),
        other => panic!("{} is not an element type of inputs", other.name()),
    };
    // `f32::max` returns the other operand of a NaN, as the instruction does.
    let largest = values.iter().fold(f32::NAN, |largest, x| largest.max(x.abs()));
    let poisoned = rule != ScaleRule::Sgl && values.iter().any(|x| !x.is_finite());
    let scale = match rule {
        _ if poisoned => 255,
        ScaleRule::OcpFloor => (largest.to_bits() >> 23).saturating_sub(8) as u8,
        ScaleRule::Sgl | ScaleRule::Strict => to_e8m0_rounding_up(largest * (1.0 / 448.0)),
    };
    let factor = match scale {
        255 => f32::NAN,
        // Only an infinity makes it, and its reciprocal is flushed to zero.
        254 => 0.0,
        // The power of two between 2^-126 and 2^127.
        _ => f32::from_bits((254 - u32::from(scale)) << 23),
    };
    Quantised { scale, codes: values.map(|x| e4m3::encode(x * factor)) }
}

/// `cvt.rp.satfinite.ue8m0x2.f32`: the exponent of the next power of two that is not below `x`.
fn to_e8m0_rounding_up(x: f32) -> u8 {
    let (field, fraction) = ((x.to_bits() >> 23) & 0xFF, x.to_bits() & 0x7F_FFFF);
    match field {
        255 if fraction != 0 => 255,
        // 2^-127, the smallest scale, has the fraction 0x40_0000.
        0 => u8::from(fraction > 0x40_0000),
        _ => (field as u8 + u8::from(fraction != 0)).min(254),
    }
}

#[cfg(test)]
mod tests {
    use super::super::inputs::Inputs;
    use super::super::quant_integer::{self, Format};
    use super::super::{VECTOR, vectors};
    use super::*;
    use crate::rng::Rng;
    use rayon::prelude::*;

    const INPUTS: [ElementType; 2] = [ElementType::Bf16, ElementType::F16];

    /// Compares the two implementations on one block.
    fn agree(elements: &Block, input: ElementType, rule: ScaleRule) {
        let (float, integer) =
            (block(elements, input, rule), quant_integer::block(elements, Format::of(input), rule));
        assert_eq!(float, integer, "{} {} {elements:04x?}", input.name(), rule.name());
    }

    #[test]
    fn powers_of_two_are_rounded_up() {
        for (x, byte) in [
            (0.0, 0),
            (f32::from_bits(1), 0),
            (2f32.powi(-127), 0),
            (2f32.powi(-127).next_up(), 1),
            (2f32.powi(-126), 1),
            (1.0, 127),
            (1.0f32.next_up(), 128),
            (f32::MAX, 254),
            (f32::INFINITY, 254),
            (f32::NAN, 255),
        ] {
            assert_eq!(to_e8m0_rounding_up(x), byte, "{x:e}");
        }
    }

    #[test]
    fn both_give_the_published_vectors() {
        for vector in vectors::all() {
            for (rule, want) in ScaleRule::ALL.into_iter().zip(vector.wanted) {
                let (input, block_) = (vector.input, &vector.elements);
                let integer = quant_integer::block(block_, Format::of(input), rule);
                assert_eq!(integer, want, "whole numbers: {}, {}", vector.name, rule.name());
                assert_eq!(
                    block(block_, input, rule),
                    want,
                    "f32: {}, {}",
                    vector.name,
                    rule.name()
                );
            }
        }
    }

    /// Every value decides a block's scale from every lane, and is quantised beside another one that does.
    #[test]
    fn both_agree_on_every_value_in_every_lane() {
        (0..=u16::MAX).into_par_iter().for_each(|bits| {
            for input in INPUTS {
                let one = if input == ElementType::Bf16 { 0x3F80 } else { 0x3C00 };
                for rule in ScaleRule::ALL {
                    for lane in 0..VECTOR {
                        let mut elements = [0; VECTOR];
                        elements[lane] = bits;
                        agree(&elements, input, rule);
                        elements[(lane + 1) % VECTOR] = one;
                        agree(&elements, input, rule);
                    }
                }
            }
        });
    }

    #[test]
    fn both_agree_on_ten_million_random_blocks() {
        let blocks_of_a_stream = 4096;
        let blocks = if cfg!(debug_assertions) { 400_000 } else { 10_000_000u64 };
        (0..blocks.div_ceil(blocks_of_a_stream)).into_par_iter().for_each(|stream| {
            let rng = &mut Rng::stream(0xB10C, stream);
            let (input, rule) = (rng.pick(&INPUTS), rng.pick(&ScaleRule::ALL));
            for _ in 0..blocks_of_a_stream {
                let mut elements = [0; VECTOR];
                rng.pick(&Inputs::ALL).fill(rng, input, &mut elements);
                agree(&elements, input, rule);
            }
        });
    }
}
