//! Matrix descriptors of shared memory: `wgmma` (PTX ISA 9.7.15.5.1.2) and `tcgen05` (9.7.16.4.1).
//!
//! Only what 8-bit operands can use: K-major matrices, whose rows are consecutive bytes of K. Reserved
//! bits that are set are errors, and so are the fields that nobody here has measured.

use std::fmt;

use super::swizzle::Swizzle;

/// Why a descriptor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorError {
    /// Bits that must be zero are not.
    ReservedBits(u64),
    /// Bits 46 to 48 of a `tcgen05` descriptor are not `0b001`.
    Version(u64),
    /// The swizzle field has no meaning.
    Swizzle(u64),
    /// The base offset is not zero, or the start is off the boundary of the pattern and would need one.
    BaseOffset(u64),
    /// The absolute mode of the leading dimension, which only `sm_103a` has.
    AbsoluteLeadingDimension,
    /// A field of an instruction descriptor that no supported instruction uses.
    Unsupported(&'static str),
    /// A shape that the instruction does not have.
    Shape {
        /// Rows of D.
        m: u32,
        /// Columns of D.
        n: u32,
    },
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(bits) => write!(f, "reserved descriptor bits are set: {bits:#x}"),
            Self::Version(bits) => write!(f, "descriptor bits 46 to 48 are {bits:#05b}, not 0b001"),
            Self::Swizzle(code) => write!(f, "descriptor swizzle code {code} has no meaning"),
            Self::BaseOffset(x) => write!(f, "descriptor pattern off its boundary: {x}"),
            Self::AbsoluteLeadingDimension => {
                write!(f, "absolute leading-dimension mode exists on sm_103a only")
            }
            Self::Unsupported(what) => write!(f, "instruction descriptor: {what}"),
            Self::Shape { m, n } => write!(f, "no instruction has the shape M {m}, N {n}"),
        }
    }
}

impl std::error::Error for DescriptorError {}

/// Where a K-major matrix lies: what both kinds of descriptors say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The address of the first element, a multiple of 16 below 256 KiB.
    pub start: u32,
    /// Bytes between 16-byte columns of K without swizzle; unused with one.
    pub leading: u32,
    /// Bytes between groups of eight rows.
    pub stride: u32,
    /// The permutation of the chunks.
    pub swizzle: Swizzle,
}

impl Layout {
    /// The shared address of a byte: `byte_in_k` counts from the start, within one row of the pattern.
    ///
    /// With a swizzle (H200 measurement: 128 bytes, four slices of K) a row has the width of the pattern
    /// and the swizzle works on the absolute address. Without, the unit is a core matrix of 8 rows by 16
    /// bytes (PTX ISA 9.7.15.5.1.2.1.3). Addresses wrap at 256 KiB like the fields of the descriptor;
    /// whether one lies inside the shared memory is for the caller to check.
    pub const fn address(&self, row: u32, byte_in_k: u32) -> u32 {
        let group = self.start + row / 8 * self.stride;
        match self.swizzle {
            Swizzle::None => group + row % 8 * 16 + byte_in_k / 16 * self.leading + byte_in_k % 16,
            swizzle => swizzle.apply(group + row % 8 * swizzle.span() + byte_in_k),
        }
    }

    fn fields(bits: u64, swizzle: Swizzle) -> Result<Self, DescriptorError> {
        let field = |low: u32| ((bits >> low) as u32 & 0x3FFF) << 4;
        let layout = Self { start: field(0), leading: field(16), stride: field(32), swizzle };
        let base_offset = (bits >> 49) & 7;
        let off_boundary = u64::from(layout.start & (swizzle.period() - 1) & !127);
        if base_offset != 0 || (swizzle != Swizzle::None && off_boundary != 0) {
            return Err(DescriptorError::BaseOffset(base_offset.max(off_boundary)));
        }
        Ok(layout)
    }
}

/// `x` as the descriptors store it: without the four low bits.
pub const fn encode_field(x: u32) -> u64 {
    ((x & 0x3_FFFF) >> 4) as u64
}

/// A `wgmma` matrix descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WgmmaDescriptor(pub Layout);

impl WgmmaDescriptor {
    const RESERVED: u64 = 0b11 << 14 | 0b11 << 30 | 0b111 << 46 | 0x3FF << 52;

    /// Takes a descriptor apart.
    ///
    /// # Errors
    /// If reserved bits are set, or the pattern does not begin on its boundary.
    pub fn decode(bits: u64) -> Result<Self, DescriptorError> {
        if bits & Self::RESERVED != 0 {
            return Err(DescriptorError::ReservedBits(bits & Self::RESERVED));
        }
        let swizzle = match bits >> 62 {
            0 => Swizzle::None,
            1 => Swizzle::B128,
            2 => Swizzle::B64,
            _ => Swizzle::B32,
        };
        Layout::fields(bits, swizzle).map(Self)
    }

    /// The shared address of a byte of the operand; see [`Layout::address`].
    pub const fn address(&self, row: u32, byte_in_k: u32) -> u32 {
        self.0.address(row, byte_in_k)
    }
}

/// A `tcgen05` shared-memory descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tcgen05Descriptor(pub Layout);

impl Tcgen05Descriptor {
    const RESERVED: u64 = 0b11 << 14 | 0b11 << 30 | 0xFF << 53;

    /// Takes a descriptor apart.
    ///
    /// # Errors
    /// If reserved bits are set or the constant ones are not, or a field is of no supported use.
    pub fn decode(bits: u64) -> Result<Self, DescriptorError> {
        if bits & Self::RESERVED != 0 {
            return Err(DescriptorError::ReservedBits(bits & Self::RESERVED));
        }
        if (bits >> 46) & 7 != 0b001 {
            return Err(DescriptorError::Version((bits >> 46) & 7));
        }
        if bits >> 52 & 1 != 0 {
            return Err(DescriptorError::AbsoluteLeadingDimension);
        }
        let swizzle = match bits >> 61 {
            0 => Swizzle::None,
            1 => Swizzle::B128Atom32,
            2 => Swizzle::B128,
            4 => Swizzle::B64,
            6 => Swizzle::B32,
            code => return Err(DescriptorError::Swizzle(code)),
        };
        Layout::fields(bits, swizzle).map(Self)
    }

    /// The shared address of a byte of the operand; see [`Layout::address`].
    pub const fn address(&self, row: u32, byte_in_k: u32) -> u32 {
        self.0.address(row, byte_in_k)
    }
}

/// What an instruction descriptor of `kind::mxf8f6f4` or `kind::f8f6f4` says, with E4M3 operands and fp32
/// results (PTX ISA 9.7.16.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InstructionDescriptor {
    /// Rows of D, of both CTAs together.
    pub m: u32,
    /// Columns of D.
    pub n: u32,
    /// Which byte of the scale words of A is meant; zero without scales.
    pub scale_id_a: u32,
    /// Which byte of the scale words of B is meant; zero without scales.
    pub scale_id_b: u32,
}

impl InstructionDescriptor {
    /// Takes a descriptor of `kind::mxf8f6f4` with block scales apart.
    ///
    /// # Errors
    /// If reserved bits are set, a type is not E4M3 with UE8M0 scales, an operand is negated or not
    /// K-major, or no instruction of `cta_group` has the shape.
    pub fn decode_block_scaled(bits: u32, cta_group: u32) -> Result<Self, DescriptorError> {
        reserved(bits, 0b11 | 1 << 3 | 1 << 6 | 0b111 << 24 | 1 << 31)?;
        operands(bits)?;
        if bits >> 23 & 1 != 1 {
            return Err(DescriptorError::Unsupported("the scales are not UE8M0"));
        }
        let m = (bits >> 27 & 3) << 7;
        let n = (bits >> 17 & 0x3F) << 3;
        let good = match cta_group {
            1 => m == 128 && (8..=256).contains(&n),
            2 => (m == 128 || m == 256) && n.is_multiple_of(16) && (16..=256).contains(&n),
            _ => false,
        };
        if !good {
            return Err(DescriptorError::Shape { m, n });
        }
        Ok(Self { m, n, scale_id_a: bits >> 29 & 3, scale_id_b: bits >> 4 & 3 })
    }

    /// Takes a descriptor of `kind::f8f6f4` apart.
    ///
    /// # Errors
    /// As [`Self::decode_block_scaled`], and if D is not fp32.
    pub fn decode_unscaled(bits: u32, cta_group: u32) -> Result<Self, DescriptorError> {
        reserved(bits, 0b11 | 1 << 3 | 1 << 6 | 1 << 23 | 1 << 29)?;
        operands(bits)?;
        if bits >> 4 & 3 != 1 {
            return Err(DescriptorError::Unsupported("D is not fp32"));
        }
        if bits >> 30 != 0 {
            return Err(DescriptorError::Unsupported("a maximum shift without .ws"));
        }
        let m = (bits >> 24 & 0x1F) << 4;
        let n = (bits >> 17 & 0x3F) << 3;
        let good = match (cta_group, m) {
            (1, 64) => n.is_multiple_of(8) && (8..=256).contains(&n),
            (1, 128) => n.is_multiple_of(16) && (16..=256).contains(&n),
            (2, 128 | 256) => n.is_multiple_of(32) && (32..=256).contains(&n),
            _ => false,
        };
        if !good {
            return Err(DescriptorError::Shape { m, n });
        }
        Ok(Self { m, n, scale_id_a: 0, scale_id_b: 0 })
    }
}

fn reserved(bits: u32, mask: u32) -> Result<(), DescriptorError> {
    match bits & mask {
        0 => Ok(()),
        set => Err(DescriptorError::ReservedBits(set.into())),
    }
}

/// The fields that both kinds share.
fn operands(bits: u32) -> Result<(), DescriptorError> {
    let refuse = |what| Err(DescriptorError::Unsupported(what));
    if bits & 1 << 2 != 0 {
        return refuse("sparse operands");
    }
    if bits >> 7 & 0x3F != 0 {
        return refuse("an operand is not E4M3");
    }
    if bits >> 13 & 3 != 0 {
        return refuse("an operand is negated");
    }
    if bits >> 15 & 3 != 0 {
        return refuse("an operand is not K-major");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
