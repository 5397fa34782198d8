//! The opaque descriptor of the tensor memory accelerator (TMA).

/// A `CUtensorMap` by value: 128 opaque bytes, written by the driver's encoder.
///
/// The hardware wants it 64-byte aligned. rustc cannot pass a parameter aligned above 16 bytes to a
/// kernel, so the type says 16, every parameter struct puts its maps first, and `cargo xtask
/// build-ptx` raises the alignment of the whole `.param` to 64 in the PTX text.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TensorMap {
    /// The descriptor, as the driver wrote it.
    pub bytes: [u8; 128],
}

/// Tensor maps that a kernel takes at most.
pub const MAPS: usize = 6;

impl TensorMap {
    /// A map that describes nothing; to be overwritten before use.
    pub const EMPTY: Self = Self { bytes: [0; 128] };
}

impl core::fmt::Debug for TensorMap {
    #[inline] // so that the device build, which never formats, does not emit it
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TensorMap { .. }")
    }
}
