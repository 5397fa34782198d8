//! Contract of the tensor-memory probe: a CTA whose shared and tensor memory the caller fills, which performs a list of
//! copies and products, and shows what they left.
//!
//! There is a kernel for one CTA and one for a pair, whose even CTA performs the steps. What each CTA of a pair has and
//! leaves follows the other's: `[2]` of everything below.
//!
//! One tile of it answers one question about the hardware, such as where a copy puts its words.

use super::TensorMap;

/// Threads of the CTA: a warp for each quarter of the lanes.
pub const THREADS: u32 = 128;
/// Lanes of tensor memory.
pub const LANES: u32 = 128;
/// Columns of tensor memory, of 32-bit words.
pub const COLUMNS: u32 = 512;
/// Bytes of shared memory that the caller fills; they begin at a multiple of 1024.
pub const SHARED_BYTES: u32 = 52 << 10;
/// Dynamic shared memory of the CTA, in bytes: the caller's, three barriers, the address of tensor memory.
pub const SMEM_BYTES: u32 = SHARED_BYTES + 32;
/// 32-bit words of the output: as many as tensor memory has.
pub const OUTPUT_WORDS: u32 = LANES * COLUMNS;

/// [`ProbeStep::kind`]: copies an atom of scales, described by `a`, to column `d`.
pub const COPY: u32 = 0;
/// [`ProbeStep::kind`]: multiplies `a` and `b` into column `d`.
pub const PRODUCT: u32 = 1;
/// [`ProbeStep::kind`]: copies the map's box at column 0, row `instruction`, to byte `d` of shared memory, and waits for
/// its `accumulate` bytes.
pub const BOX: u32 = 2;

/// [`TensorProbeParams::view`]: word `column` of lane `lane` is output word `lane * 512 + column`, read as 32 lanes x
/// 32 bits.
pub const VIEW_LANES: u32 = 0;
/// [`TensorProbeParams::view`]: the registers of the epilogue's loads of 32 columns: for each warp, 32 columns and
/// thread, 16 registers of the lower lanes, then 16 of the upper.
pub const VIEW_32_COLUMNS: u32 = 1;
/// [`TensorProbeParams::view`]: the same of its loads of 16 columns, with 8 and 8 registers.
pub const VIEW_16_COLUMNS: u32 = 2;
/// [`TensorProbeParams::view`]: shared memory, word by word.
pub const VIEW_SHARED: u32 = 3;

/// The one parameter of the kernel, passed by value.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct TensorProbeParams {
    /// The map of [`BOX`] steps; bytes, boxes of 128 columns.
    pub map: TensorMap,
    /// What shared memory holds: [`SHARED_BYTES`] bytes; 16-byte aligned device address.
    pub shared: u64,
    /// What tensor memory holds: `u32` `[LANES, COLUMNS]`; 16-byte aligned device address.
    pub tensor: u64,
    /// The steps; 16-byte aligned device address.
    pub steps: u64,
    /// Output: `u32` `[OUTPUT_WORDS]`; 16-byte aligned device address.
    pub output: u64,
    /// Number of steps.
    pub count: u32,
    /// What the output shows.
    pub view: u32,
    /// [`COLUMNS`]. The kernel could know, but compilers unroll loops whose length they know, here into 250 registers.
    pub columns: u32,
    /// Words of [`SHARED_BYTES`], for the same reason.
    pub shared_words: u32,
}

/// One step, performed by one thread in the order of the list, without a wait in between.
#[repr(C, align(16))]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ProbeStep {
    /// [`COPY`], [`PRODUCT`] or [`BOX`].
    pub kind: u32,
    /// Column of tensor memory that the result begins at.
    pub d: u32,
    /// Instruction descriptor.
    pub instruction: u32,
    /// 0, or 1 to add to what the columns hold.
    pub accumulate: u32,
    /// Shared-memory descriptor of the first operand, or of the atom, as if shared memory began at 0.
    pub a: u64,
    /// Shared-memory descriptor of the second operand.
    pub b: u64,
    /// Column of the first operand's scales.
    pub scales_a: u32,
    /// Column of the second operand's scales.
    pub scales_b: u32,
    /// Fills the struct.
    pub reserved: [u32; 2],
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn the_layout_is_what_the_device_reads() {
        assert_eq!((size_of::<TensorProbeParams>(), size_of::<ProbeStep>()), (176, 48));
        assert_eq!(
            offset_of!(TensorProbeParams, map),
            0,
            "maps come first: they are aligned to 64"
        );
        assert_eq!(offset_of!(TensorProbeParams, shared), 128);
        assert_eq!(offset_of!(TensorProbeParams, count), 160);
        let fields = [
            offset_of!(ProbeStep, kind),
            offset_of!(ProbeStep, d),
            offset_of!(ProbeStep, instruction),
            offset_of!(ProbeStep, accumulate),
            offset_of!(ProbeStep, a),
            offset_of!(ProbeStep, b),
            offset_of!(ProbeStep, scales_a),
            offset_of!(ProbeStep, scales_b),
        ];
        assert_eq!(fields, [0, 4, 8, 12, 16, 24, 32, 36]);
    }
}
