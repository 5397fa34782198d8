//! The layout of MXFP8 scales, and conversions from and to row-major ones.
//!
//! One byte `s` stands for `2^(s - 127)`, 255 for NaN, and serves 32 consecutive elements of a row. The bytes lie
//! in atoms of 512, each the scales of 128 rows x 4 columns (128 elements):
//!
//! ```text
//! byte of the atom   0 1 2 3  4 5 6 7  8 9 ..   12 ..    16 ..    ..  508 .. 511
//! row                0        32       64       96       1        ..  127
//! scale column       0 1 2 3  0 1 2 3  0 1 ..   0 ..     0 ..     ..  0 1 2 3
//! ```
//!
//! Atoms follow each other along K, then along the rows. Each expert begins with an atom of its own, so its last
//! atoms may hold rows of nobody:
//!
//! ```text
//! expert 0, 130 rows    scale rows 0 .. 129     blockscale_offsets[0] = 0
//!                       rows of nobody .. 255
//! expert 1, 5 rows      scale rows 256 .. 260   blockscale_offsets[1] = 256
//!                       rows of nobody .. 383
//! ```
//!
//! `docs/scale_layout.md` draws all three levels. It is the layout that cuBLAS, CUTLASS and `PyTorch` call blocked, swizzled or 128x4. The formula is
//! [`abi::scale_atoms::offset`](crate::abi::scale_atoms::offset).
//!
//! ```
//! use expert_gemm::scales::{Atoms, GroupedScales};
//!
//! // Two experts of one row each; K = 128, so four scales a row.
//! let grouped = GroupedScales {
//!     rows: 2,
//!     scale_rows: 256,
//!     k: 128,
//!     problem_sizes: &[[1, 128, 128], [1, 128, 128]],
//!     expert_offsets: &[0, 1],
//!     blockscale_offsets: &[0, 128],
//! };
//! let row_major = [1, 2, 3, 4, 5, 6, 7, 8];
//! let mut bytes = vec![0; 256 * 4];
//! assert!(grouped.swizzle(&row_major, &mut bytes)?.is_ok());
//! let atoms = Atoms::new(&bytes[..], 256, 128)?;
//! assert_eq!((atoms.get(0, 3), atoms.get(128, 0)), (Some(4), Some(5)));
//! let mut back = [0; 8];
//! grouped.unswizzle(&bytes, &mut back)?;
//! assert_eq!(back, row_major);
//! # Ok::<(), expert_gemm::Error>(())
//! ```

use crate::abi::{GroupStatus, ScaledGroup, ScaledProblem, scale_atoms};
use crate::cpu::groups::problem;
use crate::cpu::{length, offsets, sizes};
use crate::error::Result;
use crate::ops;

/// Bytes as scales in atoms: `[scale_rows, K / 32]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Atoms<B> {
    bytes: B,
    scale_rows: u64,
    k_blocks: u64,
}

impl<B: AsRef<[u8]>> Atoms<B> {
    /// Takes bytes as the scales of `scale_rows` rows of `k` elements, both multiples of 128.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange), [`Error::NotMultiple`](crate::Error::NotMultiple) or
    /// [`Error::WrongLength`](crate::Error::WrongLength).
    pub fn new(bytes: B, scale_rows: u64, k: u64) -> Result<Self> {
        ops::side("k", k, "pad the rows with zeros")?;
        ops::scale_rows(scale_rows, true)?;
        length("scales", bytes.as_ref().len(), &[scale_rows, columns(k)], "[S, K / 32]")?;
        Ok(Self { bytes, scale_rows, k_blocks: columns(k) / u64::from(scale_atoms::COLUMNS) })
    }

    /// The scale of a row and scale column, if both exist.
    pub fn get(&self, row: u64, column: u64) -> Option<u8> {
        self.bytes.as_ref().get(self.offset(row, column)?).copied()
    }

    /// The bytes.
    pub fn into_inner(self) -> B {
        self.bytes
    }

    fn offset(&self, row: u64, column: u64) -> Option<usize> {
        let inside =
            row < self.scale_rows && column < self.k_blocks * u64::from(scale_atoms::COLUMNS);
        inside.then(|| scale_atoms::offset(row, column, self.k_blocks) as usize)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Atoms<B> {
    /// The scale of a row and scale column, if both exist, to be changed.
    pub fn get_mut(&mut self, row: u64, column: u64) -> Option<&mut u8> {
        let at = self.offset(row, column)?;
        self.bytes.as_mut().get_mut(at)
    }
}

/// The scales of packed rows, with the tables that say which belong to which expert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupedScales<'a> {
    /// Packed rows.
    pub rows: u64,
    /// Rows of the scales in atoms; a multiple of 128.
    pub scale_rows: u64,
    /// Elements of a row; a multiple of 128.
    pub k: u64,
    /// `(M, N, K)` of each expert; N is not read.
    pub problem_sizes: &'a [[i32; 3]],
    /// First packed row of each expert.
    pub expert_offsets: &'a [i32],
    /// First scale row of each expert; multiples of 128.
    pub blockscale_offsets: &'a [i32],
}

impl GroupedScales<'_> {
    /// Brings row-major scales `[rows, K / 32]` into atoms, and completes each expert's last atoms with 0. Other
    /// atoms keep their bytes. Wrong table entries are skipped and reported.
    ///
    /// # Errors
    ///
    /// As [`Atoms::new`]; a table or slice of another length is refused.
    pub fn swizzle(&self, row_major: &[u8], atoms: &mut [u8]) -> Result<GroupStatus> {
        self.check(row_major.len())?;
        let mut atoms = Atoms::new(atoms, self.scale_rows, self.k)?;
        Ok(self.each(|row, scale_row, column| {
            let at = row.and_then(|row| self.row_major(row, column));
            let byte = at.and_then(|at| row_major.get(at)).copied().unwrap_or(0);
            if let Some(to) = atoms.get_mut(scale_row, column) {
                *to = byte;
            }
        }))
    }

    /// Brings scales in atoms into row-major ones `[rows, K / 32]`. Rows of nobody keep their bytes. Wrong table
    /// entries are skipped and reported.
    ///
    /// # Errors
    ///
    /// As [`Atoms::new`]; a table or slice of another length is refused.
    pub fn unswizzle(&self, atoms: &[u8], row_major: &mut [u8]) -> Result<GroupStatus> {
        self.check(row_major.len())?;
        let atoms = Atoms::new(atoms, self.scale_rows, self.k)?;
        Ok(self.each(|row, scale_row, column| {
            let at = row.and_then(|row| self.row_major(row, column));
            if let (Some(to), Some(byte)) =
                (at.and_then(|at| row_major.get_mut(at)), atoms.get(scale_row, column))
            {
                *to = byte;
            }
        }))
    }

    fn check(&self, row_major: usize) -> Result<()> {
        let experts = self.problem_sizes.len() as u64;
        ops::rows_and_experts(self.rows, experts)?;
        ops::side("k", self.k, "pad the rows with zeros")?;
        sizes(self.problem_sizes, experts)?;
        offsets("expert_offsets", self.expert_offsets, experts)?;
        offsets("blockscale_offsets", self.blockscale_offsets, experts)?;
        length("row_major", row_major, &[self.rows, columns(self.k)], "[T, K / 32]")
    }

    /// Visits every scale of every expert: its packed row, none for a row of nobody; its scale row and column.
    fn each(&self, mut visit: impl FnMut(Option<u64>, u64, u64)) -> GroupStatus {
        let judge = ScaledProblem {
            problem: problem(self.rows, 0, self.k),
            scale_rows: self.scale_rows as u32,
        };
        let mut status = GroupStatus::OK;
        let offsets = self.expert_offsets.iter().zip(self.blockscale_offsets);
        for (&[m, _, k], (&offset, &scale_offset)) in self.problem_sizes.iter().zip(offsets) {
            let ScaledGroup { group, first_scale_row } =
                judge.group([m, 0, k], offset, scale_offset);
            status = status.union(group.status);
            let rows = u64::from(group.rows);
            for local in 0..scale_atoms::padded_rows(rows) {
                let row = (local < rows).then_some(u64::from(group.first_row) + local);
                for column in 0..columns(self.k) {
                    visit(row, u64::from(first_scale_row) + local, column);
                }
            }
        }
        status
    }

    fn row_major(&self, row: u64, column: u64) -> Option<usize> {
        usize::try_from(row * columns(self.k) + column).ok()
    }
}

/// Brings the row-major scales `[rows, K / 32]` of one matrix into atoms, and completes the last ones with 0. The
/// weights of all experts are such a matrix, of E x N rows.
///
/// # Errors
///
/// As [`GroupedScales::swizzle`]; `atoms` has `rows`, rounded up to 128, times `k / 32` bytes.
pub fn swizzle(rows: u64, k: u64, row_major: &[u8], atoms: &mut [u8]) -> Result<()> {
    let tables = Tables::of(rows, k)?;
    tables.matrix(rows, k).swizzle(row_major, atoms).map(drop)
}

/// Brings the scales of one matrix in atoms into row-major ones `[rows, K / 32]`.
///
/// # Errors
///
/// As [`swizzle`].
pub fn unswizzle(rows: u64, k: u64, atoms: &[u8], row_major: &mut [u8]) -> Result<()> {
    let tables = Tables::of(rows, k)?;
    tables.matrix(rows, k).unswizzle(atoms, row_major).map(drop)
}

/// The tables of a single group.
struct Tables([[i32; 3]; 1]);

impl Tables {
    fn of(rows: u64, k: u64) -> Result<Self> {
        ops::rows_and_experts(rows, 1)?;
        ops::side("k", k, "pad the rows with zeros")?;
        ops::scale_rows(scale_atoms::padded_rows(rows), rows == 0)?;
        // All are below 2^31 now.
        Ok(Self([[rows as i32, 0, k as i32]]))
    }

    fn matrix(&self, rows: u64, k: u64) -> GroupedScales<'_> {
        GroupedScales {
            rows,
            scale_rows: scale_atoms::padded_rows(rows),
            k,
            problem_sizes: &self.0,
            expert_offsets: &[0],
            blockscale_offsets: &[0],
        }
    }
}

/// Scales of a row.
const fn columns(k: u64) -> u64 {
    k / scale_atoms::VECTOR as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_matrix_comes_back_and_its_padding_is_zero() {
        for (rows, k) in [(0, 128), (1, 128), (128, 256), (130, 384), (256, 128)] {
            let columns = k / 32;
            let row_major: Vec<u8> = (0..rows * columns).map(|i| (i % 251 + 1) as u8).collect();
            let padded = scale_atoms::padded_rows(rows);
            let mut bytes = vec![0xee; (padded * columns) as usize];
            swizzle(rows, k, &row_major, &mut bytes).expect("swizzle");
            let atoms = Atoms::new(&bytes, padded, k).expect("atoms");
            for row in 0..padded {
                for column in 0..columns {
                    let at = (row * columns + column) as usize;
                    let expected = row_major.get(at).copied().unwrap_or(0);
                    assert_eq!(atoms.get(row, column), Some(expected), "{row}, {column}");
                }
            }
            assert_eq!((atoms.get(padded, 0), atoms.get(0, columns)), (None, None));
            let mut back = vec![0; row_major.len()];
            unswizzle(rows, k, &bytes, &mut back).expect("unswizzle");
            assert_eq!(back, row_major);
        }
    }

    #[test]
    fn groups_keep_apart_and_hostile_ones_are_skipped() {
        let grouped = GroupedScales {
            rows: 10,
            scale_rows: 512,
            k: 128,
            problem_sizes: &[[4, 0, 128], [3, 0, 128], [2, 0, 128], [0, 0, 0]],
            expert_offsets: &[0, 4, 7, -1],
            blockscale_offsets: &[0, 100, 256, 7],
        };
        let row_major: Vec<u8> = (1..=40).collect();
        let mut bytes = vec![0xee; 512 * 4];
        let status = grouped.swizzle(&row_major, &mut bytes).expect("swizzle");
        assert_eq!(status, GroupStatus::SCALE_OFFSET);
        let atoms = Atoms::new(&bytes[..], 512, 128).expect("atoms");
        let row = |row| [0, 1, 2, 3].map(|column| atoms.get(row, column).expect("inside"));
        assert_eq!((row(0), row(3), row(4)), ([1, 2, 3, 4], [13, 14, 15, 16], [0; 4]));
        assert_eq!((row(128), row(256), row(258)), ([0xee; 4], [29, 30, 31, 32], [0; 4]));
        assert_eq!(row(384), [0xee; 4]);
        let mut back = vec![0xdd; 40];
        assert_eq!(grouped.unswizzle(&bytes, &mut back), Ok(status));
        assert_eq!((&back[..16], &back[28..36]), (&row_major[..16], &row_major[28..36]));
        assert!(back[16..28].iter().chain(&back[36..]).all(|&byte| byte == 0xdd));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let mut bytes = [0; 512];
        for (rows, k, given) in [(1, 128, 3), (1, 256, 4), (0, 128, 4)] {
            let refused = swizzle(rows, k, &[0; 8][..given], &mut bytes);
            assert!(matches!(refused, Err(Error::WrongLength { tensor: "row_major", .. })));
        }
        assert!(matches!(Atoms::new([0; 4], 1, 128), Err(Error::NotMultiple { .. })));
        assert!(matches!(Atoms::new([0; 4], 128, 100), Err(Error::NotMultiple { .. })));
        assert!(matches!(Atoms::new([0; 4], 128, 128), Err(Error::WrongLength { .. })));
        let refused = swizzle(1, 128, &[0; 4], &mut bytes[..511]);
        assert!(matches!(refused, Err(Error::WrongLength { tensor: "scales", given: 511, .. })));
    }
}
