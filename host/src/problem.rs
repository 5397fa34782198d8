//! What is to be computed: the shapes of an operation, without tensors and without a device.

use crate::abi::{ElementType, SCALE_BLOCK, fp8_block};
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::plan::Plan;

/// Most experts of one call. Every block of the kernel walks the group tables once, and beyond this
/// number that walk, not the product, would be the work.
pub const MAX_EXPERTS: u64 = 65_536;

/// Most packed rows of one call: offsets and TMA coordinates are signed 32-bit.
pub const MAX_ROWS: u64 = i32::MAX as u64;

/// Most columns and most elements of the reduction: `problem_sizes` holds them as signed 32-bit.
pub const MAX_SIDE: u64 = i32::MAX as u64 / SCALE_BLOCK as u64 * SCALE_BLOCK as u64;

/// Most bytes of one expert's weights: the stride of a tensor map's outer dimension has 40 bits.
pub const MAX_WEIGHT_BYTES: u64 = (1 << 40) - 1;

/// FP8 blockwise-scaled grouped matrix product, known as `es_fp8_blockwise_scaled_grouped_mm`:
///
/// `output[m, n] = cast(sum over kb of scales_a[m, kb] * scales_b[e, n / 128, kb] * (sum over k in block kb of a[m, k] * b[e, n, k]))`
///
/// for every row `m` of expert `e`. Only shapes; how the rows are split among the experts is read on the
/// device, at each launch.
///
/// ```
/// use expert_gemm::{ElementType, Fp8GroupedMm};
///
/// let gate_up = Fp8GroupedMm { rows: 8192, experts: 32, n: 4096, k: 7168, output: ElementType::Bf16 };
/// assert!(gate_up.validate().is_ok());
/// let odd = Fp8GroupedMm { k: 192, ..gate_up };
/// assert_eq!(
///     odd.validate().unwrap_err().to_string(),
///     "`k` is 192, but it must be a multiple of 128: pad the reduction with zeros",
/// );
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fp8GroupedMm {
    /// Rows of the packed activations and of the output, over all experts: an upper bound of the rows
    /// that are used. 0 is ordinary.
    pub rows: u64,
    /// Number of experts. 0 is ordinary.
    pub experts: u64,
    /// Columns of the output; a multiple of 128.
    pub n: u64,
    /// Elements of the reduction; a multiple of 128.
    pub k: u64,
    /// Element type of the output: bf16 or f16.
    pub output: ElementType,
}

impl Fp8GroupedMm {
    /// Checks every number. Pure: no driver is asked.
    ///
    /// # Errors
    ///
    /// [`Error::OutputType`], [`Error::OutOfRange`], [`Error::NotMultiple`] or [`Error::TooManyTiles`].
    pub fn validate(&self) -> Result<()> {
        if !matches!(self.output, ElementType::Bf16 | ElementType::F16) {
            return Err(Error::OutputType { given: self.output });
        }
        range("rows", self.rows, 0, MAX_ROWS, "split the rows over several calls")?;
        range("experts", self.experts, 0, MAX_EXPERTS, "split the experts over several calls")?;
        side("n", self.n, "pad the weights with zero columns")?;
        side("k", self.k, "pad the reduction with zeros")?;
        let weight = self.n.saturating_mul(self.k);
        range("n * k", weight, 0, MAX_WEIGHT_BYTES, "split the columns over several calls")?;
        let tiles = self.max_tiles();
        if tiles > u64::from(u32::MAX) {
            return Err(Error::TooManyTiles { given: tiles, max: u64::from(u32::MAX) });
        }
        for (tensor, bytes) in [
            ("a", size(&[self.rows, self.k], ElementType::E4m3)),
            ("b", size(&[self.experts, self.n, self.k], ElementType::E4m3)),
            ("output", size(&[self.rows, self.n], self.output)),
            ("scales_a", size(&[self.rows, self.k_blocks()], ElementType::F32)),
        ] {
            if bytes.is_none() {
                return Err(Error::SizeOverflow { tensor });
            }
        }
        Ok(())
    }

    /// Chooses a kernel for a device. Pure: only `device`, a description, is read.
    ///
    /// # Errors
    ///
    /// What [`validate`](Self::validate) refuses, [`Error::UnsupportedDevice`] or [`Error::SharedMemory`].
    pub fn plan(&self, device: &DeviceInfo) -> Result<Plan> {
        Plan::new(*self, device)
    }

    /// Whether there is nothing to compute, whatever the group tables say.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0 || self.experts == 0
    }

    /// Blocks of 128 columns.
    pub const fn n_blocks(&self) -> u64 {
        self.n / SCALE_BLOCK as u64
    }

    /// Blocks of 128 elements of the reduction.
    pub const fn k_blocks(&self) -> u64 {
        self.k / SCALE_BLOCK as u64
    }

    /// Most tiles of 128 rows that disjoint groups can have: every expert with rows may end in a partial
    /// one.
    pub const fn max_row_tiles(&self) -> u64 {
        let tile = fp8_block::TILE as u64;
        let active = if self.experts < self.rows { self.experts } else { self.rows };
        if active == 0 {
            return 0;
        }
        self.rows.saturating_add(active.saturating_mul(tile - 1)) / tile
    }

    /// Most output tiles of 128 x 128 that disjoint groups can have.
    pub const fn max_tiles(&self) -> u64 {
        self.max_row_tiles().saturating_mul(self.n_blocks())
    }

    /// Floating-point operations when every row is owned by an expert: a multiply and an add each.
    pub const fn flops(&self) -> u128 {
        if self.experts == 0 {
            return 0;
        }
        2 * self.rows as u128 * self.n as u128 * self.k as u128
    }

    /// Fewest bytes moved when every row is owned and `active_experts` have rows: each operand once.
    pub const fn min_bytes(&self, active_experts: u64) -> u128 {
        let (rows, n, k) = (self.rows as u128, self.n as u128, self.k as u128);
        let (nb, kb) = (self.n_blocks() as u128, self.k_blocks() as u128);
        let activations = rows * k + rows * kb * 4;
        let weights = active_experts as u128 * (n * k + nb * kb * 4);
        let tables = self.experts as u128 * 16;
        activations + weights + tables + rows * n * self.output.bytes() as u128
    }
}

/// Bytes of a packed tensor, or `None` if they do not fit 64 bits.
pub(crate) fn size(shape: &[u64], element: ElementType) -> Option<u64> {
    shape.iter().try_fold(element.bytes(), |bytes, &dim| bytes.checked_mul(dim))
}

fn range(field: &'static str, given: u64, min: u64, max: u64, remedy: &'static str) -> Result<()> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(Error::OutOfRange { field, given, min, max, remedy })
}

fn side(field: &'static str, given: u64, remedy: &'static str) -> Result<()> {
    let multiple = u64::from(SCALE_BLOCK);
    range(field, given, 1, MAX_SIDE, remedy)?;
    if given.is_multiple_of(multiple) {
        return Ok(());
    }
    Err(Error::NotMultiple { field, given, multiple, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Fp8GroupedMm =
        Fp8GroupedMm { rows: 256, experts: 4, n: 256, k: 384, output: ElementType::Bf16 };

    #[test]
    fn ordinary_and_empty_problems_are_valid() {
        for p in [
            P,
            Fp8GroupedMm { rows: 0, ..P },
            Fp8GroupedMm { experts: 0, ..P },
            Fp8GroupedMm { n: 128, k: 128, output: ElementType::F16, ..P },
            Fp8GroupedMm { experts: MAX_EXPERTS, ..P },
            Fp8GroupedMm { rows: MAX_ROWS, ..P },
            Fp8GroupedMm { n: 1 << 20, k: (1 << 20) - 128, ..P },
        ] {
            assert_eq!(p.validate(), Ok(()), "{p:?}");
        }
    }

    #[test]
    fn the_tile_bound_holds_for_every_split() {
        // The worst split gives every expert one row more than a multiple of the tile.
        let p = Fp8GroupedMm { rows: 4 * 129, ..P };
        assert_eq!(p.max_tiles(), 4 * 2 * p.n_blocks());
        assert_eq!(Fp8GroupedMm { rows: 1, experts: 512, ..P }.max_tiles(), p.n_blocks());
        assert_eq!(Fp8GroupedMm { rows: 0, ..P }.max_tiles(), 0);
        assert_eq!(Fp8GroupedMm { rows: 128, experts: 1, ..P }.max_tiles(), p.n_blocks());
    }

    #[test]
    fn bytes_and_flops_are_counted_beyond_64_bits() {
        let p = Fp8GroupedMm { rows: MAX_ROWS, n: MAX_SIDE, k: MAX_SIDE, ..P };
        assert_eq!(p.flops(), 2 * u128::from(MAX_ROWS) * u128::from(MAX_SIDE).pow(2));
        assert!(p.min_bytes(MAX_EXPERTS) > u128::from(u64::MAX));
        assert_eq!(P.min_bytes(1), 256 * 384 + 256 * 12 + 256 * 384 + 24 + 64 + 256 * 256 * 2);
    }
}
