//! The layout of MXFP8 scales, in host memory: for weights that come with row-major scales.

use crate::status::{Refusal, Result, answer, eg_status};
use expert_gemm::abi::scale_atoms;
use expert_gemm::{Error, scales};

/// Bytes of the scales of `rows` rows.
fn bytes(tensor: &'static str, rows: u64, k: u64) -> Result<usize> {
    let bytes = rows
        .checked_mul(k / u64::from(scale_atoms::VECTOR))
        .and_then(|bytes| isize::try_from(bytes).ok());
    Ok(bytes.ok_or(Error::SizeOverflow { tensor })?.unsigned_abs())
}

/// The scales of `rows` rows, row-major, and the same padded to whole atoms.
struct Sizes {
    row_major: usize,
    atoms: usize,
}

impl Sizes {
    fn of(rows: u64, k: u64, row_major: *const u8, atoms: *const u8) -> Result<Self> {
        let atom_rows = u64::from(scale_atoms::ROWS);
        let padded = rows
            .checked_next_multiple_of(atom_rows)
            .ok_or(Error::SizeOverflow { tensor: "atoms" })?;
        let sizes =
            Self { row_major: bytes("row_major", rows, k)?, atoms: bytes("atoms", padded, k)? };
        for (argument, pointer, bytes) in
            [("row_major", row_major, sizes.row_major), ("atoms", atoms, sizes.atoms)]
        {
            if pointer.is_null() && bytes != 0 {
                return Err(Refusal::Null { argument, what: "the bytes of the scales" });
            }
        }
        Ok(sizes)
    }
}

/// # Safety
///
/// `start` is to `bytes` bytes that nobody writes while `'a` lasts, or `bytes` is 0.
unsafe fn read<'a>(start: *const u8, bytes: usize) -> &'a [u8] {
    // SAFETY: by the caller's promise.
    if bytes == 0 { &[] } else { unsafe { std::slice::from_raw_parts(start, bytes) } }
}

/// # Safety
///
/// `start` is to `bytes` bytes that nobody else uses while `'a` lasts, or `bytes` is 0.
unsafe fn written<'a>(start: *mut u8, bytes: usize) -> &'a mut [u8] {
    // SAFETY: by the caller's promise.
    if bytes == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(start, bytes) } }
}

/// Brings the row-major scales `[rows, K / 32]` of one matrix in host memory into atoms, and completes the last ones with 0.
/// The weights of all experts are such a matrix, of E x N rows. `atoms` has `rows`, rounded up to 128, times K / 32 bytes.
///
/// # Safety
///
/// Both pointers are NULL, or to as many bytes as this says; they do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_mxfp8_swizzle_scales(
    rows: u64,
    k: u64,
    row_major: *const u8,
    atoms: *mut u8,
) -> eg_status {
    answer(|| {
        let sizes = Sizes::of(rows, k, row_major, atoms)?;
        // SAFETY: not null where there are bytes; the rest is the caller's promise.
        let (from, to) = unsafe { (read(row_major, sizes.row_major), written(atoms, sizes.atoms)) };
        Ok(scales::swizzle(rows, k, from, to)?)
    })
}

/// Brings the scales of one matrix in atoms into row-major ones `[rows, K / 32]`: the way back.
///
/// # Safety
///
/// As `eg_mxfp8_swizzle_scales`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eg_mxfp8_unswizzle_scales(
    rows: u64,
    k: u64,
    atoms: *const u8,
    row_major: *mut u8,
) -> eg_status {
    answer(|| {
        let sizes = Sizes::of(rows, k, row_major, atoms)?;
        // SAFETY: not null where there are bytes; the rest is the caller's promise.
        let (from, to) = unsafe { (read(atoms, sizes.atoms), written(row_major, sizes.row_major)) };
        Ok(scales::unswizzle(rows, k, from, to)?)
    })
}
