//! Kinds of inputs to the quantiser: how the bits of bf16 and f16 tensors are drawn.

use super::VECTOR;
use super::quant_integer::Format;
use crate::rng::Rng;
use crate::values::normal_quantile;
use core::fmt;
use expert_gemm_kernels::abi::ElementType;
use half::{bf16, f16};
use std::sync::LazyLock;

/// A distribution of inputs. Kinds that concern whole blocks draw anew for each 32 elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Inputs {
    /// Normal, mean zero and variance one: what activations look like.
    Normal,
    /// Every pattern of bits but NaN and Inf: exponents over the whole range.
    Wide,
    /// Every pattern of bits, NaN and Inf among them.
    Any,
    /// Subnormals and the smallest normal numbers.
    Tiny,
    /// Nine zeros in ten, of either sign.
    Sparse,
    /// Normal, with a NaN in about every third block, and some blocks of nothing else.
    WithNan,
    /// Normal, with an infinity in about every third block, and some NaNs beside them.
    WithInf,
    /// Normal, with one element per block that is 2^4 to 2^16 times as large.
    OneBig,
    /// The largest element of a block is a power of two or 1.75 of one, or a neighbour of these.
    Edges,
}

impl Inputs {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Normal,
        Self::Wide,
        Self::Any,
        Self::Tiny,
        Self::Sparse,
        Self::WithNan,
        Self::WithInf,
        Self::OneBig,
        Self::Edges,
    ];

    /// Fills a tensor of this element type.
    pub fn fill(self, rng: &mut Rng, input: ElementType, elements: &mut [u16]) {
        let format = Format::of(input);
        let infinity = format.infinity();
        match self {
            Self::Normal => fill_normal(rng, input, elements),
            Self::Any => fill_words(rng, elements, |bits| bits),
            Self::Wide => fill_words(rng, elements, |bits| {
                // An exponent of all ones loses its lowest one.
                let special = bits & infinity == infinity;
                if special { bits & !(infinity & infinity.wrapping_neg()) } else { bits }
            }),
            Self::Tiny => {
                // The lowest set bit of the exponent field: two binades of normal numbers.
                let unit = infinity & infinity.wrapping_neg();
                fill_words(rng, elements, |bits| bits & (0x8000 | (4 * unit - 1)));
            }
            Self::Sparse => {
                Self::Wide.fill(rng, input, elements);
                for element in elements {
                    if !rng.one_in(10) {
                        *element &= 0x8000;
                    }
                }
            }
            Self::WithNan => {
                fill_normal(rng, input, elements);
                for block in elements.chunks_mut(VECTOR) {
                    match rng.below(6) {
                        0 => block.fill_with(|| nan(rng, infinity)),
                        1 | 2 => put(rng, block, |rng| nan(rng, infinity)),
                        _ => {}
                    }
                }
            }
            Self::WithInf => {
                fill_normal(rng, input, elements);
                for block in elements.chunks_mut(VECTOR) {
                    match rng.below(6) {
                        0 => {
                            put(rng, block, |rng| nan(rng, infinity));
                            put(rng, block, |rng| infinity | sign(rng));
                        }
                        1 | 2 => put(rng, block, |rng| infinity | sign(rng)),
                        _ => {}
                    }
                }
            }
            Self::OneBig => {
                fill_normal(rng, input, elements);
                for block in elements.chunks_mut(VECTOR) {
                    put(rng, block, |rng| {
                        let x = 2f32.powi(rng.between(4, 15) as i32) * (1.0 + rng.unit() as f32);
                        narrow(x, input) | sign(rng)
                    });
                }
            }
            Self::Edges => {
                for block in elements.chunks_mut(VECTOR) {
                    fill_edge(rng, infinity, block);
                }
            }
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Wide => "wide",
            Self::Any => "any",
            Self::Tiny => "tiny",
            Self::Sparse => "sparse",
            Self::WithNan => "with-nan",
            Self::WithInf => "with-inf",
            Self::OneBig => "one-big",
            Self::Edges => "edges",
        })
    }
}

/// A number in an element type of inputs.
///
/// # Panics
/// If the element type is not bf16 or f16.
pub fn narrow(x: f32, input: ElementType) -> u16 {
    match input {
        ElementType::Bf16 => bf16::from_f32(x).to_bits(),
        ElementType::F16 => f16::from_f32(x).to_bits(),
        other => panic!("{} is not an element type of inputs", other.name()),
    }
}

/// A block whose largest magnitude lies at an edge of the rule, its other elements anywhere below.
fn fill_edge(rng: &mut Rng, infinity: u16, block: &mut [u16]) {
    let unit = infinity & infinity.wrapping_neg();
    let power = unit * rng.below(u64::from(infinity / unit)) as u16;
    let edge = power + if rng.one_in(2) { unit / 4 * 3 } else { 0 };
    let largest =
        (i32::from(edge) + rng.between(0, 4) as i32 - 2).clamp(0, i32::from(infinity) - 1);
    let below = largest as u64 + 1;
    // Small shares of the largest would all be small numbers: draw from the last binades, too.
    for element in &mut *block {
        let reach = rng.pick(&[below, below.min(4 * u64::from(unit)), 3]).min(below);
        *element = (below - 1 - rng.below(reach)) as u16 | sign(rng);
    }
    put(rng, block, |rng| largest as u16 | sign(rng));
}

fn sign(rng: &mut Rng) -> u16 {
    rng.bits() as u16 & 0x8000
}

fn nan(rng: &mut Rng, infinity: u16) -> u16 {
    infinity | sign(rng) | rng.between(1, u64::from(!infinity & 0x7FFF)) as u16
}

/// Replaces one element of a block.
fn put(rng: &mut Rng, block: &mut [u16], element: impl Fn(&mut Rng) -> u16) {
    let at = rng.below(block.len() as u64) as usize;
    block[at] = element(rng);
}

fn fill_words(rng: &mut Rng, elements: &mut [u16], element: impl Fn(u16) -> u16) {
    for chunk in elements.chunks_mut(4) {
        let bits = rng.bits();
        for (i, to) in chunk.iter_mut().enumerate() {
            *to = element((bits >> (16 * i)) as u16);
        }
    }
}

/// A normal variable at 65,536 equally likely quantiles, in both element types.
static NORMAL: LazyLock<[Vec<u16>; 2]> = LazyLock::new(|| {
    let count = 1 << 16;
    let quantiles: Vec<f32> =
        (0..count).map(|i| normal_quantile((i as f64 + 0.5) / count as f64) as f32).collect();
    [ElementType::Bf16, ElementType::F16]
        .map(|input| quantiles.iter().map(|&x| narrow(x, input)).collect())
});

fn fill_normal(rng: &mut Rng, input: ElementType, elements: &mut [u16]) {
    let table = &NORMAL[usize::from(input == ElementType::F16)][..];
    fill_words(rng, elements, |bits| table[bits as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const COUNT: usize = 64_000;

    fn draw(kind: Inputs, input: ElementType) -> Vec<u16> {
        let mut elements = vec![0; COUNT];
        kind.fill(&mut Rng::new(6), input, &mut elements);
        elements
    }

    #[test]
    fn only_three_kinds_hold_nan_or_infinity() {
        for input in [ElementType::Bf16, ElementType::F16] {
            let infinity = Format::of(input).infinity();
            for kind in Inputs::ALL {
                let drawn = draw(kind, input);
                let nans = drawn.iter().filter(|&&x| x & 0x7FFF > infinity).count();
                let infinities = drawn.iter().filter(|&&x| x & 0x7FFF == infinity).count();
                let with_nan = matches!(kind, Inputs::Any | Inputs::WithNan | Inputs::WithInf);
                let with_infinity = matches!(kind, Inputs::Any | Inputs::WithInf);
                assert_eq!((nans > 0, infinities > 0), (with_nan, with_infinity), "{kind}");
            }
        }
    }

    #[test]
    fn each_kind_has_its_range() {
        let drawn = draw(Inputs::Tiny, ElementType::Bf16);
        assert!(drawn.iter().all(|x| x & 0x7FFF < 4 << 7) && drawn.iter().any(|x| x & 0x7F80 == 0));
        let zeros = draw(Inputs::Sparse, ElementType::F16).iter().filter(|&x| x << 1 == 0).count();
        assert!((COUNT * 85 / 100..COUNT * 95 / 100).contains(&zeros), "{zeros}");
        let exponents: HashSet<u16> =
            draw(Inputs::Wide, ElementType::Bf16).iter().map(|x| x >> 7 & 0xFF).collect();
        assert_eq!(exponents.len(), 255);
    }

    #[test]
    fn edges_meet_every_power_of_two_and_both_sides_of_the_threshold() {
        let largest: HashSet<u16> = draw(Inputs::Edges, ElementType::F16)
            .chunks(VECTOR)
            .filter_map(|block| block.iter().map(|x| x & 0x7FFF).max())
            .collect();
        let met = (1..30).filter(|e| largest.contains(&(e << 10 | 0x300))).count();
        let above = (1..30).filter(|e| largest.contains(&(e << 10 | 0x301))).count();
        assert!(met > 25 && above > 25, "{met} and {above} of 29");
    }
}
