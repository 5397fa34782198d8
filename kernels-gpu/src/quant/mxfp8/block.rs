//! Blocks of 32 elements: four lanes hold eight each.

use super::OWN;
use crate::abi::scale_atoms;
use crate::ptx::{cvt, simd, warp};
use crate::tile::e8m0;

/// An element type of the input; two elements share a register.
pub(crate) trait Input {
    /// Bits of infinity.
    const INFINITY: u32;

    /// Bits of the binary32 number that these bits, which are not negative, stand for.
    fn widen(bits: u32) -> u32;

    /// Both elements times a power of two, exactly, the lower half first. The factor is a binary32 number by its
    /// bits.
    fn scaled(pair: u32, factor: u32) -> [f32; 2];
}

/// bfloat16.
pub(crate) struct Bf16;
/// IEEE binary16.
pub(crate) struct F16;

impl Input for Bf16 {
    const INFINITY: u32 = 0x7F80;

    #[inline(always)]
    fn widen(bits: u32) -> u32 {
        bits << 16
    }

    /// The product is a bf16 number unless it is far below the smallest code.
    #[inline(always)]
    fn scaled(pair: u32, factor: u32) -> [f32; 2] {
        let product = simd::mul_bf16x2(pair, factor >> 16 | (factor & 0xFFFF_0000));
        [f32::from_bits(product << 16), f32::from_bits(product & 0xFFFF_0000)]
    }
}

impl Input for F16 {
    const INFINITY: u32 = 0x7C00;

    #[inline(always)]
    fn widen(bits: u32) -> u32 {
        cvt::f32_from_f16x2(bits)[0].to_bits()
    }

    #[inline(always)]
    fn scaled(pair: u32, factor: u32) -> [f32; 2] {
        let factor = f32::from_bits(factor);
        cvt::f32_from_f16x2(pair).map(|element| element * factor)
    }
}

/// A [`crate::abi::ScaleRule`], taken apart.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// NaN or Inf makes the whole block NaN.
    pub(super) loud: bool,
    /// The scale is rounded up rather than down.
    pub(super) round_up: bool,
}

/// The scale of a block.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// The byte.
    pub(super) byte: u32,
    /// Bits of the binary32 number that elements are multiplied by.
    factor: u32,
}

impl Scale {
    #[inline(always)]
    fn new(byte: u32) -> Self {
        Self { byte, factor: e8m0::reciprocal(byte) }
    }

    /// As [`Scale::new`], of a block of finite elements.
    #[inline(always)]
    fn finite(byte: u32) -> Self {
        Self { byte, factor: e8m0::finite_reciprocal(byte) }
    }
}

const MAGNITUDES: u32 = 0x7FFF_7FFF;

/// Executed by: warp, converged. The scales of the blocks, one a row, that the lane's eight elements of each row belong
/// to.
#[inline(always)]
pub(super) unsafe fn scales<I: Input>(rows: &[[u32; 4]; OWN], rule: Rule) -> [Scale; OWN] {
    // SAFETY: the warp is converged, by contract, and the branch is uniform.
    unsafe {
        let first = across_lanes(side_by_side(largest(rows[0]), largest(rows[1])));
        let second = across_lanes(side_by_side(largest(rows[2]), largest(rows[3])));
        let magnitudes = [first & 0xFFFF, first >> 16, second & 0xFFFF, second >> 16];
        let either = simd::max_u16x2(first, second);
        let special = either & 0xFFFF >= I::INFINITY || either >> 16 >= I::INFINITY;
        if warp::ballot(special) == 0 {
            return magnitudes.map(|amax| Scale::finite(finite::<I>(amax, rule.round_up)));
        }
        if rule.loud {
            return magnitudes.map(|amax| Scale::new(loud::<I>(amax, rule.round_up)));
        }
        let first = across_lanes(side_by_side(numbers::<I>(rows[0]), numbers::<I>(rows[1])));
        let second = across_lanes(side_by_side(numbers::<I>(rows[2]), numbers::<I>(rows[3])));
        [first & 0xFFFF, first >> 16, second & 0xFFFF, second >> 16]
            .map(|above| Scale::new(quiet::<I>(above)))
    }
}

/// The codes of eight elements.
#[inline(always)]
pub(super) fn codes<I: Input>(elements: [u32; 4], scale: Scale) -> [u32; 2] {
    let four = |low: u32, high: u32| {
        let [a, b] = I::scaled(low, scale.factor);
        let [c, d] = I::scaled(high, scale.factor);
        cvt::e4m3x4([a, b, c, d])
    };
    [four(elements[0], elements[1]), four(elements[2], elements[3])]
}

/// The larger of four pairs, half by half.
#[inline(always)]
fn max_of_four([a, b, c, d]: [u32; 4]) -> u32 {
    simd::max_u16x2(simd::max_u16x2(a, b), simd::max_u16x2(c, d))
}

/// Per half of a register, the largest magnitude of eight elements. As integers, Inf is above every number and NaN
/// above Inf.
#[inline(always)]
fn largest(elements: [u32; 4]) -> u32 {
    max_of_four(elements.map(|pair| pair & MAGNITUDES))
}

/// As [`largest`], with one added to every magnitude and NaN counted as 0: 0 is left if all are NaN.
#[inline(always)]
fn numbers<I: Input>(elements: [u32; 4]) -> u32 {
    let number = |bits: u32| if bits > I::INFINITY { 0 } else { bits + 1 };
    max_of_four(elements.map(|pair| {
        let magnitudes = pair & MAGNITUDES;
        number(magnitudes & 0xFFFF) | number(magnitudes >> 16) << 16
    }))
}

/// The larger half of row 0 in the low half, of row 1 in the high half.
#[inline(always)]
fn side_by_side(row0: u32, row1: u32) -> u32 {
    let low = (row0 & 0xFFFF) | row1 << 16;
    let high = row0 >> 16 | (row1 & 0xFFFF_0000);
    simd::max_u16x2(low, high)
}

/// Executed by: warp, converged. The largest of each half over the four lanes of a block.
#[inline(always)]
unsafe fn across_lanes(both: u32) -> u32 {
    // SAFETY: the warp is converged, by contract.
    unsafe {
        let both = simd::max_u16x2(both, warp::exchange(both, 1));
        simd::max_u16x2(both, warp::exchange(both, 2))
    }
}

/// The scale byte that leaves NaN and Inf to themselves, from the block's largest number plus one.
#[inline(always)]
fn quiet<I: Input>(above: u32) -> u32 {
    match above.checked_sub(1) {
        Some(amax) if amax == I::INFINITY => e8m0::INFINITE,
        Some(amax) => finite::<I>(amax, true),
        None => u32::from(scale_atoms::NAN),
    }
}

/// The scale byte by which NaN and Inf spoil everything.
#[inline(always)]
fn loud<I: Input>(amax: u32, round_up: bool) -> u32 {
    if amax >= I::INFINITY { u32::from(scale_atoms::NAN) } else { finite::<I>(amax, round_up) }
}

/// The scale byte of a block of finite numbers.
#[inline(always)]
fn finite<I: Input>(amax: u32, round_up: bool) -> u32 {
    let amax = I::widen(amax);
    #[cfg(gpu_module = "mxfp8_quant_sm100")]
    if round_up {
        // The rounded product with 1 / 448 never crosses a power of two that the exact quotient does not, for
        // every magnitude of both types: so this is the integer rule.
        const ONE_448TH: f32 = f32::from_bits(0x3B12_4925);
        return cvt::ue8m0_round_up(f32::from_bits(amax) * ONE_448TH);
    }
    e8m0::scale(amax, round_up)
}
