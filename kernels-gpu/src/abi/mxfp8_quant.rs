//! Contract of `es_sm100_mxfp8_blockscaled_grouped_quant`.
//!
//! `codes[m, k] = e4m3(x[m, k] / 2^(s - 127))` with one scale byte `s` for each 32 elements of a row, chosen by a
//! [`ScaleRule`].

/// How the scale byte of a block follows from its largest magnitude `a`, and what happens to NaN and Inf.
///
/// With `a = 2^e * f` and `1 <= f < 2` the first two rules give the smallest scale that needs no saturation:
/// `s = clamp(e + 119 + (f > 1.75), 0, 254)`. Codes are rounded to nearest even and saturate at 448; the sign of
/// a zero is kept; a NaN that becomes a code is 0x7F. A block of zeros has `s = 0` by every rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u32)]
pub enum ScaleRule {
    /// What `SGLang`'s operation gives, bit for bit, but for one repaired flaw. NaN is left out of `a` unless
    /// all 32 elements are NaN (then `s = 255`); NaN elements become NaN codes. An Inf makes `s = 254`,
    /// finite elements zero, and itself NaN. Repaired: for `0 < a <= 448 * 2^-127` the original multiplies by
    /// an infinite reciprocal; here the elements are divided by the scale `2^-127` as by any other.
    #[default]
    Sgl = 0,
    /// A NaN or Inf anywhere in a block gives `s = 255` and 32 NaN codes (0x7F), so that nothing is lost
    /// silently.
    Strict = 1,
    /// The rule of the OCP MX specification 1.0: `s = clamp(e + 119, 0, 254)`, the largest power of two not
    /// above `a`, over 256. Magnitudes above 448 scales saturate. NaN and Inf as in `Strict`.
    OcpFloor = 2,
}

impl ScaleRule {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::Sgl, Self::Strict, Self::OcpFloor];

    /// The name used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sgl => "sgl",
            Self::Strict => "strict",
            Self::OcpFloor => "ocp-floor",
        }
    }
}

/// Threads of a CTA.
pub const THREADS: u32 = 256;
/// Warps of a CTA.
pub const WARPS: u32 = THREADS / 32;
/// CTAs that a multiprocessor holds at once.
pub const CTAS_PER_SM: u32 = 5;
/// Elements of a row that one warp quantises: those of one scale atom.
pub const TILE_K: u32 = 128;
/// Dynamic shared memory of a CTA, in bytes. The kernel asserts at compile time that its layout fits.
pub const SMEM_BYTES: u32 = 4_128;

/// The first CTAs of a grid quantise nothing: a warp of theirs judges one group.
#[inline(always)]
pub const fn auditors(experts: u32) -> u32 {
    experts.div_ceil(WARPS)
}

/// The one parameter of the kernel, passed by value. Pointers are device addresses.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct Mxfp8QuantParams {
    /// Input `[rows, k]`, bf16 or f16 by variant; 16-byte aligned.
    pub input: u64,
    /// Codes `[rows, k]` e4m3, written; 16-byte aligned.
    pub codes: u64,
    /// Scales `[scale_rows, k / 32]` E8M0 in atoms (see [`super::scale_atoms`]), written; 16-byte aligned.
    pub scales: u64,
    /// `(M, N, K)` of each expert, `[experts, 3]` i32; N is not read.
    pub problem_sizes: u64,
    /// First packed row of each expert, `[experts]` i32.
    pub expert_offsets: u64,
    /// First scale row of each expert, `[experts]` i32; multiples of 128.
    pub blockscale_offsets: u64,
    /// Status word (u32, see [`super::GroupStatus`]), or 0 for none.
    pub status: u64,
    /// Rows of the packed input.
    pub rows: u32,
    /// Number of experts.
    pub experts: u32,
    /// Elements of a row; a multiple of 128.
    pub k: u32,
    /// Rows of the scales; a multiple of 128.
    pub scale_rows: u32,
    /// A [`ScaleRule`] as a number.
    pub rule: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = {
    use core::mem::{align_of, size_of};
    assert!(size_of::<Mxfp8QuantParams>() == 7 * 8 + 6 * 4);
    assert!(align_of::<Mxfp8QuantParams>() == 16);
};
