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

    /// The scale bytes of two blocks of finite elements, by the largest magnitude of each.
    fn finite(magnitudes: u32, round_up: bool) -> u32;

    /// Both elements times a power of two, exactly, the lower half first. The factor is a bf16 number, twice.
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

    /// [`e8m0::scale`] of both at once: the lower half of the binary32 numbers is zero.
    #[inline(always)]
    fn finite(magnitudes: u32, round_up: bool) -> u32 {
        const ABOVE_1_75: u32 = 0x1F;
        const E4M3_EXPONENT: u32 = twice(8);
        let bias = if round_up { twice(ABOVE_1_75) } else { 0 };
        let exponents = (magnitudes + bias) >> 7 & twice(0x1FF);
        simd::max_u16x2(exponents, E4M3_EXPONENT) - E4M3_EXPONENT
    }

    /// The product is a bf16 number unless it is far below the smallest code.
    #[inline(always)]
    fn scaled(pair: u32, factor: u32) -> [f32; 2] {
        let product = simd::mul_bf16x2(pair, factor);
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
    fn finite(magnitudes: u32, round_up: bool) -> u32 {
        finite::<Self>(magnitudes & 0xFFFF, round_up)
            | finite::<Self>(magnitudes >> 16, round_up) << 16
    }

    #[inline(always)]
    fn scaled(pair: u32, factor: u32) -> [f32; 2] {
        let factor = f32::from_bits(factor & 0xFFFF_0000);
        cvt::f32_from_f16x2(pair).map(|element| element * factor)
    }
}

/// The same in both halves.
const fn twice(half: u32) -> u32 {
    half << 16 | half
}

/// A [`crate::abi::ScaleRule`], taken apart.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// NaN or Inf makes the whole block NaN.
    pub(super) loud: bool,
    /// The scale is rounded up rather than down.
    pub(super) round_up: bool,
}

/// The scales of four blocks, one of each of the lane's rows.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    /// Their bytes, two in each word, a half each.
    bytes: [u32; OWN / 2],
    /// Bits of the bf16 numbers that elements are multiplied by, in the same order.
    factors: [u32; OWN / 2],
}

impl Scales {
    /// Of finite elements.
    #[inline(always)]
    fn finite<I: Input>(magnitudes: [u32; OWN / 2], round_up: bool) -> Self {
        let bytes = magnitudes.map(|both| I::finite(both, round_up));
        // `e8m0::finite_reciprocal` of both at once.
        Self { bytes, factors: bytes.map(|both| (twice(254) - both) << 7) }
    }

    /// Of any elements, by the byte that a magnitude gives.
    #[inline(always)]
    fn special(magnitudes: [u32; OWN / 2], byte: impl Fn(u32) -> u32) -> Self {
        let bytes = magnitudes.map(|both| byte(both & 0xFFFF) | byte(both >> 16) << 16);
        let factor = |byte| e8m0::reciprocal(byte) >> 16;
        let factors = bytes.map(|both| factor(both & 0xFFFF) | factor(both >> 16) << 16);
        Self { bytes, factors }
    }

    /// The byte of each row, row 0's lowest.
    #[inline(always)]
    pub(super) fn bytes(&self) -> u32 {
        simd::permute(self.bytes[0], self.bytes[1], 0x6420)
    }

    /// What the elements of a row are multiplied by, twice.
    #[inline(always)]
    fn factor(&self, row: usize) -> u32 {
        let both = self.factors[row / 2];
        simd::permute(both, both, if row.is_multiple_of(2) { 0x1010 } else { 0x3232 })
    }
}

const MAGNITUDES: u32 = 0x7FFF_7FFF;

/// Executed by: warp, converged. The scales of the blocks, one a row, that the lane's eight elements of each row belong
/// to.
#[inline(always)]
pub(super) unsafe fn scales<I: Input>(rows: &[[u32; 4]; OWN], rule: Rule) -> Scales {
    // SAFETY: the warp is converged, by contract, and the branch is uniform.
    unsafe {
        let magnitudes = [
            across_lanes(side_by_side(largest(rows[0]), largest(rows[1]))),
            across_lanes(side_by_side(largest(rows[2]), largest(rows[3]))),
        ];
        // What is not finite carries into the sign.
        const CARRY: u32 = 0x8000;
        let special = simd::max_u16x2(magnitudes[0], magnitudes[1]) + twice(CARRY - I::INFINITY);
        if warp::ballot(special & twice(CARRY) != 0) == 0 {
            return Scales::finite::<I>(magnitudes, rule.round_up);
        }
        core::hint::cold_path();
        if rule.loud {
            return Scales::special(magnitudes, |amax| loud::<I>(amax, rule.round_up));
        }
        let above = [
            across_lanes(side_by_side(numbers::<I>(rows[0]), numbers::<I>(rows[1]))),
            across_lanes(side_by_side(numbers::<I>(rows[2]), numbers::<I>(rows[3]))),
        ];
        Scales::special(above, quiet::<I>)
    }
}

/// The codes of the lane's eight elements of a row.
#[inline(always)]
pub(super) fn codes<I: Input>(elements: [u32; 4], scales: &Scales, row: usize) -> [u32; 2] {
    let factor = scales.factor(row);
    let four = |low: u32, high: u32| {
        let [a, b] = I::scaled(low, factor);
        let [c, d] = I::scaled(high, factor);
        cvt::e4m3x4([a, b, c, d])
    };
    [four(elements[0], elements[1]), four(elements[2], elements[3])]
}

/// Executed by: warp, converged. Of each lane's four bytes, one a row, its lanes' share: the four bytes of one row, that
/// of the first block lowest. Lanes 4 q to 4 q + 3 of a half warp hold the bytes of block q, and get those of row q.
#[inline(always)]
pub(super) unsafe fn transpose(bytes: u32, lane: u32) -> u32 {
    // SAFETY: the warp is converged, by contract.
    unsafe {
        let odd = if lane & 4 == 0 { 0x6240 } else { 0x3715 };
        let pairs = simd::permute(bytes, warp::exchange(bytes, 4), odd);
        let upper = if lane & 8 == 0 { 0x5410 } else { 0x3276 };
        simd::permute(pairs, warp::exchange(pairs, 8), upper)
    }
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
    simd::max_u16x2(simd::permute(row0, row1, 0x5410), simd::permute(row0, row1, 0x7632))
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
