//! `es_sm100_mxfp8_blockscaled_grouped_quant`: shapes, tensors, and the parameter of its kernels.

use super::gemm::Operands;
use super::{Operation, Parameter, Work, checked_tensors, limits};
use crate::abi::{
    ElementType, MAPS, Mxfp8QuantParams, Op, ScaleRule, TensorMap, Variant, mxfp8_quant,
    scale_atoms,
};
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::tensor::{DeviceTensor, Inspection, Rule};
use expert_gemm_kernels::tile::atoms;

/// Runs of 8 rows x 128 elements that a block quantises: one for each warp.
const RUNS: u64 = mxfp8_quant::WARPS as u64;

/// MXFP8 quantiser of grouped rows, known as `es_sm100_mxfp8_blockscaled_grouped_quant`:
///
/// `quant_output[m, k] = e4m3(input[m, k] / 2^(s - 127))` with one scale byte `s` for each 32 elements of a row,
/// chosen by [`rule`](Self::rule).
///
/// The scales are written in atoms of 512 bytes (see [`scales`](crate::scales)), as
/// [`Mxfp8GroupedMm`](crate::Mxfp8GroupedMm) reads them; the rows that complete an expert's last atom get the
/// scale byte 0. Only shapes; how the rows are split among the experts is read on the device, at each launch.
///
/// ```
/// use expert_gemm::abi::ScaleRule;
/// use expert_gemm::{ElementType, Mxfp8GroupedQuant};
///
/// let quant = Mxfp8GroupedQuant {
///     rows: 8192,
///     experts: 32,
///     k: 7168,
///     scale_rows: Mxfp8GroupedQuant::max_scale_rows(8192, 32),
///     input: ElementType::Bf16,
///     rule: ScaleRule::Sgl,
/// };
/// assert!(quant.validate().is_ok());
/// assert_eq!(quant.scale_rows, 12_160);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mxfp8GroupedQuant {
    /// Rows of the packed input, over all experts: an upper bound of the rows that are used. 0 is ordinary.
    pub rows: u64,
    /// Number of experts. 0 is ordinary.
    pub experts: u64,
    /// Elements of a row; a multiple of 128.
    pub k: u64,
    /// Rows of the packed scales: an upper bound of the sum over the experts of their rows, each rounded up to
    /// 128. A multiple of 128; 0 is ordinary when there are no rows.
    /// [`max_scale_rows`](Self::max_scale_rows) is always enough.
    pub scale_rows: u64,
    /// Element type of the input: bf16 or f16.
    pub input: ElementType,
    /// How a scale follows from its 32 elements.
    pub rule: ScaleRule,
}

impl Mxfp8GroupedQuant {
    /// Scale rows that are enough however `rows` rows are split among the experts.
    ///
    /// Every expert with rows may need 127 more to complete its last atom.
    pub const fn max_scale_rows(rows: u64, experts: u64) -> u64 {
        let atom = scale_atoms::ROWS as u64;
        limits::row_tiles(rows, experts, atom).saturating_mul(atom)
    }

    /// Checks every number. Pure: no driver is asked.
    ///
    /// # Errors
    ///
    /// [`Error::InputType`], [`Error::OutOfRange`], [`Error::NotMultiple`] or [`Error::TooManyTiles`].
    pub fn validate(&self) -> Result<()> {
        if !matches!(self.input, ElementType::Bf16 | ElementType::F16) {
            return Err(Error::InputType { given: self.input });
        }
        limits::rows_and_experts(self.rows, self.experts)?;
        limits::side("k", self.k, "pad the rows with zeros")?;
        limits::scale_rows(self.scale_rows, self.is_empty())?;
        limits::tiles(self.max_tiles(), "k")?;
        limits::fits("input", &[self.rows, self.k], self.input)?;
        limits::fits("scale_factor", &[self.scale_rows, self.scale_columns()], ElementType::E8m0)
    }

    /// Chooses a kernel for a device. Pure: only `device`, a description, is read.
    ///
    /// # Errors
    ///
    /// What [`validate`](Self::validate) refuses, [`Error::UnsupportedDevice`] or [`Error::SharedMemory`].
    pub fn plan(&self, device: &DeviceInfo) -> Result<Plan<Self>> {
        Plan::new(*self, device)
    }

    /// Whether there is nothing to compute, whatever the group tables say.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0 || self.experts == 0
    }

    /// Blocks of 128 elements of a row: atoms of scales in a row of atoms.
    pub const fn k_blocks(&self) -> u64 {
        self.k / mxfp8_quant::TILE_K as u64
    }

    /// Scales of a row: one for 32 elements.
    pub const fn scale_columns(&self) -> u64 {
        self.k / scale_atoms::VECTOR as u64
    }

    /// Most blocks of 128 rows that disjoint groups can have: every expert with rows may end in a partial
    /// one.
    pub const fn max_row_tiles(&self) -> u64 {
        limits::row_tiles(self.rows, self.experts, scale_atoms::ROWS as u64)
    }

    /// Runs of 8 rows x 128 elements, each the work of one warp: they follow the packed rows, whoever owns these.
    pub const fn max_tiles(&self) -> u64 {
        self.rows.div_ceil(atoms::RUN as u64).saturating_mul(self.k_blocks())
    }

    /// Operations when every row is owned by an expert: a comparison and a multiplication for each element.
    pub const fn flops(&self) -> u128 {
        if self.experts == 0 {
            return 0;
        }
        2 * self.rows as u128 * self.k as u128
    }

    /// Fewest bytes moved when every row is owned and `active_experts` have rows: the input once, the codes,
    /// and the scales with the padding that this takes at least.
    pub const fn min_bytes(&self, active_experts: u64) -> u128 {
        let elements = self.rows as u128 * self.k as u128;
        let fewest = scale_atoms::padded_rows(self.rows);
        let one_each = active_experts.saturating_mul(scale_atoms::ROWS as u64);
        let scale_rows = if fewest > one_each { fewest } else { one_each };
        let scales = scale_rows as u128 * self.scale_columns() as u128;
        elements * (self.input.bytes() as u128 + 1) + scales + self.experts as u128 * 20
    }
}

/// The tensors of one call of [`Mxfp8GroupedQuant`], all in the memory of one device.
///
/// T is [`Mxfp8GroupedQuant::rows`], S [`Mxfp8GroupedQuant::scale_rows`], E the number of experts. N of the
/// problem sizes is not read, so the table of a product serves its quantiser too.
#[derive(Clone, Copy, Debug)]
pub struct Mxfp8GroupedQuantTensors<'a> {
    /// `[T, K]` bf16 or f16, packed by expert. 16-byte aligned.
    pub input: DeviceTensor<'a>,
    /// `(M, N, K)` of each expert: `[E, 3]` i32.
    pub problem_sizes: DeviceTensor<'a>,
    /// First packed row of each expert: `[E]` i32.
    pub expert_offsets: DeviceTensor<'a>,
    /// First scale row of each expert: `[E]` i32, multiples of 128.
    pub blockscale_offsets: DeviceTensor<'a>,
    /// Codes `[T, K]` e4m3, written. Rows that no expert owns keep their bytes. 16-byte aligned.
    pub quant_output: DeviceTensor<'a>,
    /// Scales `[S, K / 32]` e8m0 in atoms, written; may be declared as [`ElementType::U8`]. Atoms that no
    /// expert owns keep their bytes. 16-byte aligned.
    pub scale_factor: DeviceTensor<'a>,
    /// Status word `[1]` u32, into which the kernel ORs [`GroupStatus`](crate::GroupStatus) bits.
    pub status: Option<DeviceTensor<'a>>,
}
checked_tensors!(Mxfp8GroupedQuantTensors of Mxfp8GroupedQuant);

impl Operation for Mxfp8GroupedQuant {
    type Tensors<'a> = Mxfp8GroupedQuantTensors<'a>;
    type Params = Mxfp8QuantParams;

    const OP: Op = Op::Mxfp8GroupedQuant;
    const NAME: &'static str = "MXFP8 grouped quantisation";
    const UNIT: &'static str = "elements";
    const FORMS: Option<&'static str> =
        Some("a warp takes 128 elements of 8 rows that are neighbours");
    const PERSISTENT: bool = false;

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
        let Self { rows, experts, k, scale_rows, input, rule } = *self;
        let (input, rule) = (input.name(), rule.name());
        format!(
            "{rows} rows, {experts} experts, K {k}, {scale_rows} scale rows, {input} to e4m3, rule {rule}"
        )
    }

    fn rows_and_experts(&self) -> [u64; 2] {
        [self.rows, self.experts]
    }

    fn with_rows(&self, rows: u64) -> Self {
        Self { rows, ..*self }
    }

    fn elements(&self) -> [ElementType; 2] {
        [self.input, ElementType::E4m3]
    }

    fn most_work(&self, variant: &Variant) -> Work {
        let blocks = self.max_tiles().div_ceil(RUNS);
        // `validate` bounds the experts far below 2^32.
        let auditors = u64::from(mxfp8_quant::auditors(self.experts as u32));
        Work {
            clusters: (blocks + auditors).div_ceil(u64::from(variant.cluster.max(1))),
            tiles: blocks,
            tile_cost: u128::from(RUNS * u64::from(atoms::RUN * mxfp8_quant::TILE_K)),
        }
    }

    fn inspect(&self, tensors: &Self::Tensors<'_>, inspection: &mut Inspection) -> Result<()> {
        let (t, e, k) = (self.rows, self.experts, self.k);
        let scales = [self.scale_rows, self.scale_columns()];
        let codes = Rule::new("quant_output", "[T, K]", ElementType::E4m3, &[t, k], 16).written();
        let scales = Rule::scales("scale_factor", "[S, K / 32]", &scales).written();
        inspection.tensor(&tensors.input, Rule::new("input", "[T, K]", self.input, &[t, k], 16))?;
        inspection.problem_sizes(&tensors.problem_sizes, e)?;
        inspection.offsets("expert_offsets", &tensors.expert_offsets, e)?;
        inspection.offsets("blockscale_offsets", &tensors.blockscale_offsets, e)?;
        inspection.tensor(&tensors.quant_output, codes)?;
        inspection.tensor(&tensors.scale_factor, scales)?;
        inspection.status(tensors.status.as_ref())
    }

    fn operands(&self, _: &Self::Tensors<'_>) -> Option<Operands> {
        None
    }

    fn params(&self, _: [TensorMap; MAPS], tensors: &Self::Tensors<'_>) -> Mxfp8QuantParams {
        Mxfp8QuantParams {
            input: tensors.input.address(),
            codes: tensors.quant_output.address(),
            scales: tensors.scale_factor.address(),
            problem_sizes: tensors.problem_sizes.address(),
            expert_offsets: tensors.expert_offsets.address(),
            blockscale_offsets: tensors.blockscale_offsets.address(),
            status: tensors.status.as_ref().map_or(0, DeviceTensor::address),
            // `validate` bounds all four below 2^31.
            rows: self.rows as u32,
            experts: self.experts as u32,
            k: self.k as u32,
            scale_rows: self.scale_rows as u32,
            rule: self.rule as u32,
            reserved: 0,
        }
    }
}

// SAFETY: `repr(C)`; its fields fill it, as an assertion beside the type says.
unsafe impl Parameter for Mxfp8QuantParams {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{MAX_EXPERTS, MAX_ROWS, MAX_SCALE_ROWS};

    const P: Mxfp8GroupedQuant = Mxfp8GroupedQuant {
        rows: 256,
        experts: 4,
        k: 384,
        scale_rows: 640,
        input: ElementType::Bf16,
        rule: ScaleRule::Sgl,
    };

    #[test]
    fn ordinary_and_empty_problems_are_valid() {
        for p in [
            P,
            Mxfp8GroupedQuant { rows: 0, scale_rows: 0, ..P },
            Mxfp8GroupedQuant { experts: 0, scale_rows: 0, ..P },
            Mxfp8GroupedQuant { scale_rows: 128, ..P },
            Mxfp8GroupedQuant { k: 128, input: ElementType::F16, rule: ScaleRule::Strict, ..P },
            Mxfp8GroupedQuant { experts: MAX_EXPERTS, ..P },
            Mxfp8GroupedQuant { rows: MAX_ROWS, scale_rows: MAX_SCALE_ROWS, ..P },
        ] {
            assert_eq!(p.validate(), Ok(()), "{p:?}");
        }
    }

    #[test]
    fn the_worst_split_needs_all_scale_rows_and_no_more() {
        let most = Mxfp8GroupedQuant::max_scale_rows;
        assert_eq!([most(0, 5), most(5, 0), most(1, 1), most(128, 1)], [0, 0, 128, 128]);
        assert_eq!([most(129, 1), most(2, 9), most(4 * 129, 4)], [256, 256, 4 * 256]);
        assert_eq!(most(u64::MAX, u64::MAX) % 128, 0);
        // All splits of 300 rows among two experts.
        let needed = (0..=300).map(|m| [m, 300 - m].map(scale_atoms::padded_rows).iter().sum());
        assert_eq!(needed.max(), Some(most(300, 2)));
    }

    #[test]
    fn tiles_bytes_and_operations_are_counted() {
        assert_eq!((P.max_row_tiles(), P.max_tiles()), (5, 32 * 3));
        assert_eq!(P.flops(), 2 * 256 * 384);
        assert_eq!(P.min_bytes(1), 256 * 384 * 3 + 256 * 12 + 80);
        assert_eq!(P.min_bytes(4), 256 * 384 * 3 + 512 * 12 + 80);
    }
}
