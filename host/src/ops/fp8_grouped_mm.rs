//! `es_fp8_blockwise_scaled_grouped_mm`: shapes, tensors, and the parameter of its kernels.

use super::gemm::{Operands, Shape};
use super::{Operation, Parameter, Work, checked_tensors, limits};
use crate::abi::{
    ElementType, Fp8BlockParams, MAPS, Op, SCALE_BLOCK, Shares, TensorMap, Variant, fp8_block,
};
use crate::device::DeviceInfo;
use crate::error::Result;
use crate::plan::{Plan, Rounds};
use crate::tensor::{DeviceTensor, Inspection, Rule};

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
    /// [`Error::OutputType`](crate::Error::OutputType), [`Error::OutOfRange`](crate::Error::OutOfRange),
    /// [`Error::NotMultiple`](crate::Error::NotMultiple) or
    /// [`Error::TooManyTiles`](crate::Error::TooManyTiles).
    pub fn validate(&self) -> Result<()> {
        limits::output_type(self.output)?;
        limits::rows_and_experts(self.rows, self.experts)?;
        limits::weights(self.n, self.k)?;
        limits::tiles(self.max_tiles(), "n")?;
        limits::fits("a", &[self.rows, self.k], ElementType::E4m3)?;
        limits::fits("b", &[self.experts, self.n, self.k], ElementType::E4m3)?;
        limits::fits("output", &[self.rows, self.n], self.output)?;
        limits::fits("scales_a", &[self.rows, self.k_blocks()], ElementType::F32)
    }

    /// Chooses a kernel for a device. Pure: only `device`, a description, is read.
    ///
    /// # Errors
    ///
    /// What [`validate`](Self::validate) refuses,
    /// [`Error::UnsupportedDevice`](crate::Error::UnsupportedDevice) or
    /// [`Error::SharedMemory`](crate::Error::SharedMemory).
    pub fn plan(&self, device: &DeviceInfo) -> Result<Plan> {
        Plan::new(*self, device)
    }

    /// As [`plan`](Self::plan), for calls that use about `expected_rows` of the [`rows`](Self::rows), all experts together:
    /// where there is room for more, as in a graph that is captured for the largest batch. It decides speed alone: whatever
    /// the group tables say, up to all rows, results are right.
    ///
    /// ```
    /// use expert_gemm::{DeviceInfo, ElementType, Fp8GroupedMm};
    ///
    /// let room = Fp8GroupedMm { rows: 32768, experts: 32, n: 4096, k: 7168, output: ElementType::Bf16 };
    /// let device = DeviceInfo::h200();
    /// assert_eq!(room.plan(&device)?.variant().symbol, "fp8_block_sm90_wide_bf16");
    /// assert_eq!(room.plan_expecting(256, &device)?.variant().symbol, "fp8_block_sm90_few_bf16");
    /// # Ok::<(), expert_gemm::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan), and [`Error::OutOfRange`](crate::Error::OutOfRange) for more rows than there are.
    pub fn plan_expecting(&self, expected_rows: u64, device: &DeviceInfo) -> Result<Plan> {
        Plan::expecting(*self, Some(expected_rows), device)
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
        limits::row_tiles(self.rows, self.experts, fp8_block::TILE as u64)
    }

    /// Most output tiles of 128 x 128 that disjoint groups can have.
    pub const fn max_tiles(&self) -> u64 {
        self.max_row_tiles().saturating_mul(self.n_blocks())
    }

    /// Floating-point operations when every row is owned by an expert: a multiply and an add each.
    pub const fn flops(&self) -> u128 {
        self.shape().flops()
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

    const fn shape(&self) -> Shape {
        let Self { rows, experts, n, k, .. } = *self;
        Shape { rows, experts, n, k }
    }
}

/// The tensors of one call of [`Fp8GroupedMm`], all in the memory of one device.
///
/// T is [`Fp8GroupedMm::rows`], E the number of experts.
#[derive(Clone, Copy, Debug)]
pub struct Fp8GroupedMmTensors<'a> {
    /// `[T, N]` bf16 or f16, written. Rows that no expert owns keep their bytes. 16-byte aligned.
    pub output: DeviceTensor<'a>,
    /// Activations `[T, K]` e4m3, packed by expert. 16-byte aligned.
    pub a: DeviceTensor<'a>,
    /// Weights `[E, N, K]` e4m3. 16-byte aligned.
    pub b: DeviceTensor<'a>,
    /// Activation scales `[T, K / 128]` f32.
    pub scales_a: DeviceTensor<'a>,
    /// Weight scales `[E, N / 128, K / 128]` f32.
    pub scales_b: DeviceTensor<'a>,
    /// `(M, N, K)` of each expert: `[E, 3]` i32.
    pub problem_sizes: DeviceTensor<'a>,
    /// First packed row of each expert: `[E]` i32.
    pub expert_offsets: DeviceTensor<'a>,
    /// Status word `[1]` u32, into which the kernel ORs [`GroupStatus`](crate::GroupStatus) bits.
    pub status: Option<DeviceTensor<'a>>,
}
checked_tensors!(Fp8GroupedMmTensors of Fp8GroupedMm);

impl Operation for Fp8GroupedMm {
    type Tensors<'a> = Fp8GroupedMmTensors<'a>;
    type Params = Fp8BlockParams;

    const OP: Op = Op::Fp8BlockwiseGroupedMm;
    const NAME: &'static str = "FP8 blockwise grouped GEMM";
    const UNIT: &'static str = "multiply-adds";
    const FORMS: Option<&'static str> = Some(
        "tiles of at most 64 rows: weights x tokens, 8, 16, 32 or 64 token columns, but not in experts of several tiles \
         whose weights are 8 MiB or more; others: 128 x 128, or 192 x 128 where the tile says so. Those of 128 x 128 in a \
         last round that is at most half full, behind a whole one: as two halves of 64 columns each. With 64 x 128 all are \
         weights x tokens. With 128 x 192: tokens x weights, and last tiles of at most 64 rows or columns as half ones",
    );

    fn validate(&self) -> Result<()> {
        self.validate()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn max_tiles(&self) -> u64 {
        self.max_tiles()
    }

    fn flops(&self) -> u128 {
        self.flops()
    }

    fn min_bytes(&self, active_experts: u64) -> u128 {
        self.min_bytes(active_experts)
    }

    fn describe(&self) -> String {
        let Self { rows, experts, n, k, output } = *self;
        let output = output.name();
        format!("{rows} rows, {experts} experts, N {n}, K {k}, e4m3 to {output}")
    }

    fn rows_and_experts(&self) -> [u64; 2] {
        [self.rows, self.experts]
    }

    fn with_rows(&self, rows: u64) -> Self {
        Self { rows, ..*self }
    }

    fn elements(&self) -> [ElementType; 2] {
        [ElementType::E4m3, self.output]
    }

    fn most_work(&self, variant: &Variant) -> Work {
        // Only an expert's last tile is a tall one.
        let [rows, columns, k] = variant.tile;
        let tile = [rows.min(fp8_block::TILE), columns, k];
        self.shape().most_work(&Variant { tile, ..*variant })
    }

    fn usual_work(&self, variant: &Variant, rounds: Rounds) -> Work {
        // Rows go to experts at random, or less evenly: half of them have more than the average. Where that is one tile more, a
        // kernel with room for it wins over many rounds; in a few it may just as well lose (`docs/notes/fp8_block_sm90.md`).
        const MANY_TILES: u64 = 1536;
        let has_room = variant.up_to_rows < u32::MAX;
        let is_long = self.experts.saturating_mul(self.n_blocks()) >= MANY_TILES;
        let average = self.rows.div_ceil(self.experts.max(1));
        let is_near = average > fp8_block::tall::MORE_ROWS_THAN.into()
            && average <= fp8_block::tall::TILE_TOKENS.into();
        let more = if is_near && is_long && !has_room { average.isqrt() } else { 0 };
        let rows = self.rows.saturating_add(self.experts.saturating_mul(more));
        let work = Self { rows, ..*self }.shape().even_work(variant);
        let is_alone = variant.shares == Shares::Weights && average <= fp8_block::TILE.into();
        let alone = if is_alone { fp8_block::wide::ROWS_BESIDE_ALONE } else { 0 };
        // A tile of more than 64 rows takes as long as a whole one.
        let beside = variant.rows_beside.saturating_add(alone);
        let rows = u128::from(variant.tile[0]) + u128::from(beside);
        let tile_cost = rows * u128::from(variant.tile[1]) * u128::from(self.k);
        // In a few rounds the tiles of the rows beyond one tile cost a kernel without room for them a quarter, but for one that ends
        // with halves; they are short ones of the kernel of wide tiles, and cost it little.
        let is_full = is_near && average <= fp8_block::TILE.into();
        let must_pay = !has_room && !rounds.end_with_halves(work.tiles);
        let spills = is_full && !is_long && must_pay && variant.shares == Shares::Tokens;
        let tile_cost = if spills { tile_cost + tile_cost / 4 } else { tile_cost };
        Work { tile_cost, ..work }
    }

    fn inspect(&self, tensors: &Self::Tensors<'_>, inspection: &mut Inspection) -> Result<()> {
        let (t, e, n, k) = (self.rows, self.experts, self.n, self.k);
        let (nb, kb) = (self.n_blocks(), self.k_blocks());
        let (e4m3, f32) = (ElementType::E4m3, ElementType::F32);
        let output = Rule::new("output", "[T, N]", self.output, &[t, n], 16).written();
        let scales_b = Rule::new("scales_b", "[E, N / 128, K / 128]", f32, &[e, nb, kb], 4);
        inspection.tensor(&tensors.output, output)?;
        inspection.tensor(&tensors.a, Rule::new("a", "[T, K]", e4m3, &[t, k], 16))?;
        inspection.tensor(&tensors.b, Rule::new("b", "[E, N, K]", e4m3, &[e, n, k], 16))?;
        inspection
            .tensor(&tensors.scales_a, Rule::new("scales_a", "[T, K / 128]", f32, &[t, kb], 4))?;
        inspection.tensor(&tensors.scales_b, scales_b)?;
        inspection.problem_sizes(&tensors.problem_sizes, e)?;
        inspection.offsets("expert_offsets", &tensors.expert_offsets, e)?;
        inspection.status(tensors.status.as_ref())
    }

    fn operands(&self, tensors: &Self::Tensors<'_>) -> Option<Operands> {
        let (a, b) = (tensors.a.address(), tensors.b.address());
        let output = tensors.output.address();
        Some(Operands { a, b, output, output_element: self.output, shape: self.shape() })
    }

    fn params(&self, maps: [TensorMap; MAPS], tensors: &Self::Tensors<'_>) -> Fp8BlockParams {
        let [tokens @ .., weights, half_weights] = maps;
        Fp8BlockParams {
            tokens,
            weights,
            half_weights,
            scales_a: tensors.scales_a.address(),
            scales_b: tensors.scales_b.address(),
            output: tensors.output.address(),
            problem_sizes: tensors.problem_sizes.address(),
            expert_offsets: tensors.expert_offsets.address(),
            status: tensors.status.as_ref().map_or(0, DeviceTensor::address),
            // `validate` bounds all four below 2^31.
            rows: self.rows as u32,
            experts: self.experts as u32,
            n: self.n as u32,
            k: self.k as u32,
        }
    }
}

// SAFETY: `repr(C)`; its fields fill it (asserted below).
unsafe impl Parameter for Fp8BlockParams {}

const _: () = assert!(
    size_of::<Fp8BlockParams>()
        == MAPS * size_of::<TensorMap>() + 6 * size_of::<u64>() + 4 * size_of::<u32>()
);

#[cfg(test)]
mod tests {
    use super::super::{MAX_EXPERTS, MAX_ROWS, MAX_SIDE};
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
