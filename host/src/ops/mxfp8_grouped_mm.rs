//! `es_sm100_mxfp8_blockscaled_grouped_mm`: shapes, tensors, and the parameter of its kernels.

use super::gemm::{Operands, Shape};
use super::{Operation, Parameter, Work, checked_tensors, limits};
use crate::abi::{
    ElementType, MAPS, Mxfp8GemmParams, Op, TensorMap, Variant, mxfp8_gemm, scale_atoms,
};
use crate::device::DeviceInfo;
use crate::error::Result;
use crate::plan::{Plan, Rounds};
use crate::tensor::{DeviceTensor, Inspection, Rule};

/// MXFP8 block-scaled grouped matrix product, known as `es_sm100_mxfp8_blockscaled_grouped_mm`:
///
/// `output[m, n] = cast(sum over k of a[m, k] * 2^(sfa[m, k / 32] - 127) * b[e, n, k] * 2^(sfb[e, n, k / 32] - 127))`
///
/// for every row `m` of expert `e`. Only shapes; how the rows are split among the experts is read on the
/// device, at each launch. The scales lie in atoms of 512 bytes, see [`scales`](crate::scales).
///
/// ```
/// use expert_gemm::{ElementType, Mxfp8GroupedMm, Mxfp8GroupedQuant};
///
/// let (rows, experts) = (8192, 32);
/// let scale_rows = Mxfp8GroupedQuant::max_scale_rows(rows, experts);
/// let gate_up =
///     Mxfp8GroupedMm { rows, experts, n: 4096, k: 7168, scale_rows, output: ElementType::Bf16 };
/// assert!(gate_up.validate().is_ok());
/// let odd = Mxfp8GroupedMm { scale_rows: 8192 + 1, ..gate_up };
/// assert!(odd.validate().unwrap_err().to_string().starts_with("`scale_rows` is 8193"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mxfp8GroupedMm {
    /// Rows of the packed activations and of the output, over all experts: an upper bound of the rows
    /// that are used. 0 is ordinary.
    pub rows: u64,
    /// Number of experts. 0 is ordinary.
    pub experts: u64,
    /// Columns of the output; a multiple of 128.
    pub n: u64,
    /// Elements of the reduction; a multiple of 128.
    pub k: u64,
    /// Rows of the packed activation scales: an upper bound of the sum over the experts of their rows, each
    /// rounded up to 128. A multiple of 128; 0 is ordinary when there are no rows.
    /// [`Mxfp8GroupedQuant::max_scale_rows`](crate::Mxfp8GroupedQuant::max_scale_rows) is always enough.
    pub scale_rows: u64,
    /// Element type of the output: bf16 or f16.
    pub output: ElementType,
}

impl Mxfp8GroupedMm {
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
        limits::scale_rows(self.scale_rows, self.is_empty())?;
        limits::tiles(self.max_tiles(), "n")?;
        limits::fits("a", &[self.rows, self.k], ElementType::E4m3)?;
        limits::fits("b", &[self.experts, self.n, self.k], ElementType::E4m3)?;
        limits::fits("output", &[self.rows, self.n], self.output)?;
        limits::fits("sfa", &[self.scale_rows, self.scale_columns()], ElementType::E8m0)
    }

    /// Chooses a kernel for a device. Pure: only `device`, a description, is read.
    ///
    /// # Errors
    ///
    /// What [`validate`](Self::validate) refuses,
    /// [`Error::UnsupportedDevice`](crate::Error::UnsupportedDevice) or
    /// [`Error::SharedMemory`](crate::Error::SharedMemory).
    pub fn plan(&self, device: &DeviceInfo) -> Result<Plan<Self>> {
        Plan::new(*self, device)
    }

    /// As [`plan`](Self::plan), for calls that use about `expected_rows` of the [`rows`](Self::rows), all experts together:
    /// where there is room for more, as in a graph that is captured for the largest batch. It decides speed alone: whatever
    /// the group tables say, up to all rows, results are right.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan), and [`Error::OutOfRange`](crate::Error::OutOfRange) for more rows than there are.
    pub fn plan_expecting(&self, expected_rows: u64, device: &DeviceInfo) -> Result<Plan<Self>> {
        Plan::expecting(*self, Some(expected_rows), device)
    }

    /// Whether there is nothing to compute, whatever the group tables say.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0 || self.experts == 0
    }

    /// Blocks of 128 columns.
    pub const fn n_blocks(&self) -> u64 {
        self.n / mxfp8_gemm::TILE_N as u64
    }

    /// Blocks of 128 elements of the reduction: atoms of scales in a row of atoms.
    pub const fn k_blocks(&self) -> u64 {
        self.k / mxfp8_gemm::TILE_K as u64
    }

    /// Scales of a row: one for 32 elements.
    pub const fn scale_columns(&self) -> u64 {
        self.k / scale_atoms::VECTOR as u64
    }

    /// Most tiles of 128 rows that disjoint groups can have: every expert with rows may end in a partial
    /// one.
    pub const fn max_row_tiles(&self) -> u64 {
        limits::row_tiles(self.rows, self.experts, scale_atoms::ROWS as u64)
    }

    /// Most output tiles of 128 x 128 that disjoint groups can have.
    pub const fn max_tiles(&self) -> u64 {
        self.max_row_tiles().saturating_mul(self.n_blocks())
    }

    /// Floating-point operations when every row is owned by an expert: a multiply and an add each.
    pub const fn flops(&self) -> u128 {
        self.shape().flops()
    }

    /// Fewest bytes moved when every row is owned and `active_experts` have rows: each operand once, without
    /// the scales of padding rows.
    pub const fn min_bytes(&self, active_experts: u64) -> u128 {
        let (rows, n, k) = (self.rows as u128, self.n as u128, self.k as u128);
        let row = k + self.scale_columns() as u128;
        let tables = self.experts as u128 * 20;
        (rows + active_experts as u128 * n) * row + tables + rows * n * self.output.bytes() as u128
    }

    const fn shape(&self) -> Shape {
        let Self { rows, experts, n, k, .. } = *self;
        Shape { rows, experts, n, k }
    }
}

/// The tensors of one call of [`Mxfp8GroupedMm`], all in the memory of one device.
///
/// T is [`Mxfp8GroupedMm::rows`], S [`Mxfp8GroupedMm::scale_rows`], E the number of experts. Scales are e8m0,
/// in atoms (see [`scales`](crate::scales)); they may be declared as [`ElementType::U8`].
#[derive(Clone, Copy, Debug)]
pub struct Mxfp8GroupedMmTensors<'a> {
    /// `[T, N]` bf16 or f16, written. Rows that no expert owns keep their bytes. 16-byte aligned.
    pub output: DeviceTensor<'a>,
    /// Activations `[T, K]` e4m3, packed by expert. 16-byte aligned.
    pub a: DeviceTensor<'a>,
    /// Weights `[E, N, K]` e4m3. 16-byte aligned.
    pub b: DeviceTensor<'a>,
    /// Activation scales `[S, K / 32]` e8m0 in atoms. 16-byte aligned.
    pub sfa: DeviceTensor<'a>,
    /// Weight scales `[E, N, K / 32]` e8m0 in atoms. 16-byte aligned.
    pub sfb: DeviceTensor<'a>,
    /// `(M, N, K)` of each expert: `[E, 3]` i32.
    pub problem_sizes: DeviceTensor<'a>,
    /// First packed row of each expert: `[E]` i32.
    pub expert_offsets: DeviceTensor<'a>,
    /// First scale row of each expert: `[E]` i32, multiples of 128.
    pub blockscale_offsets: DeviceTensor<'a>,
    /// Status word `[1]` u32, into which the kernel ORs [`GroupStatus`](crate::GroupStatus) bits.
    pub status: Option<DeviceTensor<'a>>,
}
checked_tensors!(Mxfp8GroupedMmTensors of Mxfp8GroupedMm);

impl Operation for Mxfp8GroupedMm {
    type Tensors<'a> = Mxfp8GroupedMmTensors<'a>;
    type Params = Mxfp8GemmParams;

    const OP: Op = Op::Mxfp8GroupedMm;
    const NAME: &'static str = "MXFP8 grouped GEMM";
    const UNIT: &'static str = "multiply-adds";
    const FORMS: Option<&'static str> = Some(
        "weights x tokens in as many token columns as a tile has rows, the weights converted to 16-bit floats in registers: \
         on Hopper 8 or 32 in the kernel for few rows, else 8, 16, 32, 64 or 128, at most 64 for up to 16 rows an expert on \
         average, and above that 128 for all tiles of an expert that has several and 8 MiB of weights or more; \
         on Blackwell multiples of 16 up to 192, or up to 256 over a pair of blocks",
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
        let Self { rows, experts, n, k, scale_rows, output } = *self;
        let output = output.name();
        format!(
            "{rows} rows, {experts} experts, N {n}, K {k}, {scale_rows} scale rows, e4m3 to {output}"
        )
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
        self.shape().most_work(variant)
    }

    fn usual_work(&self, variant: &Variant, _rounds: Rounds) -> Work {
        self.shape().even_work(variant)
    }

    fn inspect(&self, tensors: &Self::Tensors<'_>, inspection: &mut Inspection) -> Result<()> {
        let (t, e, n, k) = (self.rows, self.experts, self.n, self.k);
        let (s, columns) = (self.scale_rows, self.scale_columns());
        let e4m3 = ElementType::E4m3;
        let output = Rule::new("output", "[T, N]", self.output, &[t, n], 16).written();
        let sfb = Rule::scales("sfb", "[E, N, K / 32]", &[e, n, columns]);
        inspection.tensor(&tensors.output, output)?;
        inspection.tensor(&tensors.a, Rule::new("a", "[T, K]", e4m3, &[t, k], 16))?;
        inspection.tensor(&tensors.b, Rule::new("b", "[E, N, K]", e4m3, &[e, n, k], 16))?;
        inspection.tensor(&tensors.sfa, Rule::scales("sfa", "[S, K / 32]", &[s, columns]))?;
        inspection.tensor(&tensors.sfb, sfb)?;
        inspection.problem_sizes(&tensors.problem_sizes, e)?;
        inspection.offsets("expert_offsets", &tensors.expert_offsets, e)?;
        inspection.offsets("blockscale_offsets", &tensors.blockscale_offsets, e)?;
        inspection.status(tensors.status.as_ref())
    }

    fn operands(&self, tensors: &Self::Tensors<'_>) -> Option<Operands> {
        let (a, b) = (tensors.a.address(), tensors.b.address());
        let output = tensors.output.address();
        Some(Operands { a, b, output, output_element: self.output, shape: self.shape() })
    }

    fn params(&self, maps: [TensorMap; MAPS], tensors: &Self::Tensors<'_>) -> Mxfp8GemmParams {
        let [tokens, tokens_small, _, _, weights, _] = maps;
        Mxfp8GemmParams {
            tokens,
            tokens_small,
            weights,
            a: tensors.a.address(),
            scales_a: tensors.sfa.address(),
            scales_b: tensors.sfb.address(),
            output: tensors.output.address(),
            problem_sizes: tensors.problem_sizes.address(),
            expert_offsets: tensors.expert_offsets.address(),
            blockscale_offsets: tensors.blockscale_offsets.address(),
            status: tensors.status.as_ref().map_or(0, DeviceTensor::address),
            // `validate` bounds all five below 2^31.
            rows: self.rows as u32,
            experts: self.experts as u32,
            n: self.n as u32,
            k: self.k as u32,
            scale_rows: self.scale_rows as u32,
            reserved: [0; 3],
        }
    }
}

// SAFETY: `repr(C)`; its fields fill it, as an assertion beside the type says.
unsafe impl Parameter for Mxfp8GemmParams {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{MAX_EXPERTS, MAX_ROWS, MAX_SCALE_ROWS};

    const P: Mxfp8GroupedMm = Mxfp8GroupedMm {
        rows: 256,
        experts: 4,
        n: 256,
        k: 384,
        scale_rows: 640,
        output: ElementType::Bf16,
    };

    #[test]
    fn ordinary_and_empty_problems_are_valid() {
        for p in [
            P,
            Mxfp8GroupedMm { rows: 0, scale_rows: 0, ..P },
            Mxfp8GroupedMm { experts: 0, scale_rows: 0, ..P },
            Mxfp8GroupedMm { rows: 0, ..P },
            Mxfp8GroupedMm { scale_rows: 128, ..P },
            Mxfp8GroupedMm { n: 128, k: 128, output: ElementType::F16, ..P },
            Mxfp8GroupedMm { experts: MAX_EXPERTS, ..P },
            Mxfp8GroupedMm { rows: MAX_ROWS, scale_rows: MAX_SCALE_ROWS, ..P },
            Mxfp8GroupedMm { n: 1 << 20, k: (1 << 20) - 128, ..P },
        ] {
            assert_eq!(p.validate(), Ok(()), "{p:?}");
        }
    }

    #[test]
    fn tiles_bytes_and_flops_are_counted() {
        assert_eq!(P.max_row_tiles(), 5);
        assert_eq!(P.max_tiles(), 10);
        assert_eq!(P.flops(), 2 * 256 * 256 * 384);
        let activations = 256 * (384 + 12);
        assert_eq!(P.min_bytes(1), activations + 256 * (384 + 12) + 80 + 256 * 256 * 2);
        assert_eq!(P.min_bytes(2) - P.min_bytes(1), 256 * (384 + 12));
    }
}
