//! The one table of kernels. Host, xtask, tests and benches read it; nobody keeps a second list.

use super::{
    MAPS, bulk_read, fp8_block, mxfp8_gemm, mxfp8_gemm_sm90, mxfp8_gemm_sm100,
    mxfp8_gemm_sm100_pair, mxfp8_quant, scale_atoms, tensor_probe,
};

/// A GPU family that one PTX text serves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arch {
    /// Hopper: compute capability 9.0 exactly (wgmma exists nowhere else).
    Sm90a,
    /// Blackwell for data centres: compute capabilities 10.0 and 10.3 (tcgen05).
    Sm100f,
}

impl Arch {
    /// The name used by compilers and in `host/ptx/<name>/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm90a => "sm_90a",
            Self::Sm100f => "sm_100f",
        }
    }

    /// Whether a device of this compute capability runs the family's PTX.
    pub const fn runs_on(self, capability: (u32, u32)) -> bool {
        match self {
            Self::Sm90a => matches!(capability, (9, 0)),
            Self::Sm100f => matches!(capability, (10, 0 | 3)),
        }
    }
}

/// The operations of this library.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// `es_fp8_blockwise_scaled_grouped_mm`.
    Fp8BlockwiseGroupedMm,
    /// `es_sm100_mxfp8_blockscaled_grouped_mm`.
    Mxfp8GroupedMm,
    /// `es_sm100_mxfp8_blockscaled_grouped_quant`.
    Mxfp8GroupedQuant,
    /// The read-bandwidth probe.
    BulkRead,
    /// The tensor-memory probe.
    TensorProbe,
}

impl Op {
    /// The name under which its users know it; SGLang's for the operations of SGLang.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp8BlockwiseGroupedMm => "es_fp8_blockwise_scaled_grouped_mm",
            Self::Mxfp8GroupedMm => "es_sm100_mxfp8_blockscaled_grouped_mm",
            Self::Mxfp8GroupedQuant => "es_sm100_mxfp8_blockscaled_grouped_quant",
            Self::BulkRead => "bulk_read",
            Self::TensorProbe => "tensor_probe",
        }
    }
}

/// Element types of tensors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ElementType {
    /// bfloat16.
    Bf16,
    /// IEEE binary16.
    F16,
    /// IEEE binary32.
    F32,
    /// 8-bit float, 4 exponent bits, 3 mantissa bits, no infinity (`float8_e4m3fn`).
    E4m3,
    /// A power of two, `2^(byte - 127)`; 255 is NaN (`float8_e8m0fnu`).
    E8m0,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// A byte.
    U8,
}

impl ElementType {
    /// Size of one element in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::E4m3 | Self::E8m0 | Self::U8 => 1,
        }
    }

    /// The name used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::E4m3 => "e4m3",
            Self::E8m0 => "e8m0",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::U8 => "u8",
        }
    }
}

/// In which order the tensor map of the weights hands out their rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WeightOrder {
    /// As they lie in memory.
    Rows,
    /// In sets of 32 rows, the 4 x 4 pairs of each transposed: row `8 t + 2 j + i` of a set comes as its row
    /// `8 j + 2 t + i`, with `t` and `j` below 4 and `i` below 2.
    Sets,
}

/// Which operand the CTAs of a cluster share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shares {
    /// Their tiles are neighbours along the columns.
    Tokens,
    /// Their tiles stand one above the other; of an odd number of row blocks, the last one's are neighbours along the columns.
    Weights,
}

/// One kernel: a symbol in a PTX module, with everything a launch must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    /// Entry point in the PTX, and the variant's name everywhere.
    pub symbol: &'static str,
    /// PTX module (file stem) that holds it.
    pub module: &'static str,
    /// Operation.
    pub op: Op,
    /// GPU family.
    pub arch: Arch,
    /// Element type of the activations.
    pub input: ElementType,
    /// Element type of the output.
    pub output: ElementType,
    /// The kernel is for problems with more rows than this for each expert, on average, and is preferred there unless it
    /// leaves multiprocessors idle; 0 for one that serves any. Whatever the group tables say, its results are right.
    pub more_rows_than: u32,
    /// And for problems with at most so many; [`u32::MAX`] for one that serves any.
    pub up_to_rows: u32,
    /// What a tile takes beside its rows, in rows: the time that weights cost however few rows they meet, or, of tall tiles, what
    /// they cost beyond their height. By it the planner
    /// weighs many low tiles against fewer high ones.
    pub rows_beside: u32,
    /// Tile of activations x weights x reduction, in elements (a probe: bytes of one copy).
    pub tile: [u32; 3],
    /// Rows of the boxes of the tensor maps: activations in up to four boxes, then weights, of whole and of half tiles. 0 for none.
    pub box_rows: [u32; MAPS],
    /// Order of the rows of weights in their boxes.
    pub weight_order: WeightOrder,
    /// Columns and rows of the boxes of the output, whose tensor map is then the first of the activations'. 0 for none.
    pub output_box: [u32; 2],
    /// Stages of the shared-memory ring.
    pub stages: u32,
    /// CTAs of a cluster (`.reqnctapercluster` of the entry); a grid is a multiple of it.
    pub cluster: u32,
    /// What its CTAs share.
    pub shares: Shares,
    /// Threads of a CTA; also the `.maxntid` of the entry.
    pub threads: u32,
    /// CTAs that a multiprocessor holds at once; also the `.minnctapersm` of the entry.
    pub ctas_per_sm: u32,
    /// Registers per thread at launch, at most: the budget that `cargo xtask ptxas` holds the kernel to.
    pub registers: u32,
    /// Dynamic shared memory of a CTA, in bytes.
    pub smem_bytes: u32,
    /// Size of the by-value parameter, in bytes.
    pub param_bytes: u32,
}

impl Variant {
    /// Whether tiles of a last round that is at most half full are computed as two halves each. (Half tiles of wide ones are something
    /// else: what is left at an end.)
    #[inline] // so that the device build, which never asks, does not emit it
    pub const fn has_half_tiles(&self) -> bool {
        let [.., half] = self.box_rows;
        half != 0
    }
}

const fn fp8_block_sm90(symbol: &'static str, output: ElementType) -> Variant {
    Variant {
        symbol,
        module: "fp8_block_sm90",
        op: Op::Fp8BlockwiseGroupedMm,
        arch: Arch::Sm90a,
        input: ElementType::E4m3,
        output,
        more_rows_than: 0,
        up_to_rows: u32::MAX,
        rows_beside: 0,
        tile: [fp8_block::TILE, fp8_block::TILE, fp8_block::TILE_K],
        box_rows: fp8_block::BOX_ROWS,
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages: fp8_block::STAGES,
        cluster: fp8_block::CLUSTER,
        shares: Shares::Tokens,
        threads: fp8_block::THREADS,
        ctas_per_sm: 1,
        registers: 168,
        smem_bytes: fp8_block::SMEM_BYTES,
        param_bytes: size_of::<fp8_block::Fp8BlockParams>() as u32,
    }
}

const fn fp8_block_sm90_few(symbol: &'static str, output: ElementType) -> Variant {
    use fp8_block::few;
    Variant {
        module: "fp8_block_sm90_few",
        up_to_rows: few::UP_TO_ROWS,
        tile: [few::TILE_TOKENS, fp8_block::TILE, fp8_block::TILE_K],
        box_rows: fp8_block::WHOLE_BOX_ROWS,
        stages: few::STAGES,
        smem_bytes: few::SMEM_BYTES,
        ..fp8_block_sm90(symbol, output)
    }
}

const fn fp8_block_sm90_tall(symbol: &'static str, output: ElementType) -> Variant {
    use fp8_block::tall;
    Variant {
        module: "fp8_block_sm90_tall",
        more_rows_than: tall::MORE_ROWS_THAN,
        up_to_rows: tall::TILE_TOKENS,
        rows_beside: tall::ROWS_BESIDE,
        tile: [tall::TILE_TOKENS, fp8_block::TILE, fp8_block::TILE_K],
        box_rows: fp8_block::WHOLE_BOX_ROWS,
        stages: tall::STAGES,
        smem_bytes: tall::SMEM_BYTES,
        ..fp8_block_sm90(symbol, output)
    }
}

const fn fp8_block_sm90_wide(symbol: &'static str, output: ElementType) -> Variant {
    use fp8_block::wide;
    Variant {
        module: "fp8_block_sm90_wide",
        more_rows_than: wide::MORE_ROWS_THAN,
        tile: [fp8_block::TILE, wide::TILE_COLUMNS, fp8_block::TILE_K],
        box_rows: wide::BOX_ROWS,
        rows_beside: wide::ROWS_BESIDE,
        weight_order: WeightOrder::Sets,
        output_box: wide::PANEL,
        shares: Shares::Weights,
        stages: wide::STAGES,
        smem_bytes: wide::SMEM_BYTES,
        ..fp8_block_sm90(symbol, output)
    }
}

const fn mxfp8_gemm_sm90(symbol: &'static str, output: ElementType) -> Variant {
    use mxfp8_gemm::{Mxfp8GemmParams, TILE_K};
    use mxfp8_gemm_sm90::{
        MORE_ROWS_THAN, ROWS_BESIDE, SMEM_BYTES, STAGES, THREADS, TILE_COLUMNS, TILE_TOKENS,
    };
    Variant {
        symbol,
        module: "mxfp8_gemm_sm90",
        op: Op::Mxfp8GroupedMm,
        arch: Arch::Sm90a,
        input: ElementType::E4m3,
        output,
        more_rows_than: MORE_ROWS_THAN,
        up_to_rows: u32::MAX,
        rows_beside: ROWS_BESIDE,
        tile: [TILE_TOKENS, TILE_COLUMNS, TILE_K],
        box_rows: [0, 0, 0, 0, TILE_COLUMNS, 0],
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages: STAGES,
        cluster: 1,
        shares: Shares::Tokens,
        threads: THREADS,
        ctas_per_sm: 1,
        registers: 128,
        smem_bytes: SMEM_BYTES,
        param_bytes: size_of::<Mxfp8GemmParams>() as u32,
    }
}

const fn mxfp8_gemm_sm90_few(symbol: &'static str, output: ElementType) -> Variant {
    use mxfp8_gemm_sm90::{TILE_COLUMNS, few};
    Variant {
        module: "mxfp8_gemm_sm90_few",
        more_rows_than: 0,
        tile: [few::TILE_TOKENS, TILE_COLUMNS, mxfp8_gemm::TILE_K],
        ..mxfp8_gemm_sm90(symbol, output)
    }
}

const fn mxfp8_gemm_sm100(symbol: &'static str, output: ElementType) -> Variant {
    use mxfp8_gemm::{Mxfp8GemmParams, TILE_K, TILE_N};
    use mxfp8_gemm_sm100::{
        CLUSTER, MAX_TOKENS, SMEM_BYTES, STAGES, THREADS, TOKEN_BOX_ROWS, TOKEN_BOX_ROWS_SMALL,
    };
    Variant {
        symbol,
        module: "mxfp8_gemm_sm100",
        op: Op::Mxfp8GroupedMm,
        arch: Arch::Sm100f,
        input: ElementType::E4m3,
        output,
        more_rows_than: 0,
        up_to_rows: u32::MAX,
        rows_beside: 0,
        tile: [MAX_TOKENS, TILE_N, TILE_K],
        box_rows: [TOKEN_BOX_ROWS, TOKEN_BOX_ROWS_SMALL, 0, 0, TILE_N, 0],
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages: STAGES,
        cluster: CLUSTER,
        shares: Shares::Tokens,
        threads: THREADS,
        ctas_per_sm: 1,
        registers: 64,
        smem_bytes: SMEM_BYTES,
        param_bytes: size_of::<Mxfp8GemmParams>() as u32,
    }
}

const fn mxfp8_gemm_sm100_pair(symbol: &'static str, output: ElementType) -> Variant {
    use mxfp8_gemm_sm100_pair::{
        CLUSTER, MAX_TOKENS, MORE_ROWS_THAN, SMEM_BYTES, STAGES, THREADS, TOKEN_BOX_ROWS,
        TOKEN_BOX_ROWS_SMALL,
    };
    Variant {
        symbol,
        module: "mxfp8_gemm_sm100_pair",
        more_rows_than: MORE_ROWS_THAN,
        tile: [MAX_TOKENS, mxfp8_gemm::TILE_N, mxfp8_gemm::TILE_K],
        box_rows: [TOKEN_BOX_ROWS, TOKEN_BOX_ROWS_SMALL, 0, 0, mxfp8_gemm::TILE_N, 0],
        stages: STAGES,
        cluster: CLUSTER,
        shares: Shares::Tokens,
        threads: THREADS,
        smem_bytes: SMEM_BYTES,
        ..mxfp8_gemm_sm100(symbol, output)
    }
}

const fn mxfp8_quant(
    symbol: &'static str,
    module: &'static str,
    arch: Arch,
    input: ElementType,
) -> Variant {
    Variant {
        symbol,
        module,
        op: Op::Mxfp8GroupedQuant,
        arch,
        input,
        output: ElementType::E4m3,
        more_rows_than: 0,
        up_to_rows: u32::MAX,
        rows_beside: 0,
        tile: [scale_atoms::ROWS, 1, mxfp8_quant::TILE_K],
        box_rows: [0; MAPS],
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages: 1,
        cluster: 1,
        shares: Shares::Tokens,
        threads: mxfp8_quant::THREADS,
        ctas_per_sm: mxfp8_quant::CTAS_PER_SM,
        registers: 48,
        smem_bytes: mxfp8_quant::SMEM_BYTES,
        param_bytes: size_of::<mxfp8_quant::Mxfp8QuantParams>() as u32,
    }
}

/// The read-bandwidth probe.
const BULK_READ_SM90: Variant = Variant {
    symbol: "bulk_read_sm90",
    module: "bulk_read_sm90",
    op: Op::BulkRead,
    arch: Arch::Sm90a,
    input: ElementType::U8,
    output: ElementType::U8,
    more_rows_than: 0,
    up_to_rows: u32::MAX,
    rows_beside: 0,
    tile: [bulk_read::CHUNK_BYTES, 1, 1],
    box_rows: [0; MAPS],
    weight_order: WeightOrder::Rows,
    output_box: [0; 2],
    stages: bulk_read::STAGES,
    cluster: 1,
    shares: Shares::Tokens,
    threads: bulk_read::THREADS,
    ctas_per_sm: 1,
    registers: 40,
    smem_bytes: bulk_read::SMEM_BYTES,
    param_bytes: size_of::<bulk_read::BulkReadParams>() as u32,
};

/// The tensor-memory probe, for one CTA or a pair.
const fn tensor_probe_sm100(symbol: &'static str, cluster: u32) -> Variant {
    Variant {
        symbol,
        module: "tensor_probe_sm100",
        op: Op::TensorProbe,
        arch: Arch::Sm100f,
        input: ElementType::U32,
        output: ElementType::U32,
        tile: [tensor_probe::LANES, tensor_probe::COLUMNS, 1],
        box_rows: [0; MAPS],
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages: 1,
        more_rows_than: 0,
        up_to_rows: u32::MAX,
        rows_beside: 0,
        cluster,
        shares: Shares::Tokens,
        threads: tensor_probe::THREADS,
        ctas_per_sm: 1,
        registers: 96,
        smem_bytes: tensor_probe::SMEM_BYTES,
        param_bytes: size_of::<tensor_probe::TensorProbeParams>() as u32,
    }
}

/// Every kernel that is built and shipped.
pub const VARIANTS: &[Variant] = &[
    fp8_block_sm90("fp8_block_sm90_bf16", ElementType::Bf16),
    fp8_block_sm90("fp8_block_sm90_f16", ElementType::F16),
    fp8_block_sm90_few("fp8_block_sm90_few_bf16", ElementType::Bf16),
    fp8_block_sm90_few("fp8_block_sm90_few_f16", ElementType::F16),
    fp8_block_sm90_tall("fp8_block_sm90_tall_bf16", ElementType::Bf16),
    fp8_block_sm90_tall("fp8_block_sm90_tall_f16", ElementType::F16),
    fp8_block_sm90_wide("fp8_block_sm90_wide_bf16", ElementType::Bf16),
    fp8_block_sm90_wide("fp8_block_sm90_wide_f16", ElementType::F16),
    mxfp8_gemm_sm90("mxfp8_gemm_sm90_bf16", ElementType::Bf16),
    mxfp8_gemm_sm90("mxfp8_gemm_sm90_f16", ElementType::F16),
    mxfp8_gemm_sm90_few("mxfp8_gemm_sm90_few_bf16", ElementType::Bf16),
    mxfp8_gemm_sm90_few("mxfp8_gemm_sm90_few_f16", ElementType::F16),
    mxfp8_gemm_sm100("mxfp8_gemm_sm100_bf16", ElementType::Bf16),
    mxfp8_gemm_sm100("mxfp8_gemm_sm100_f16", ElementType::F16),
    mxfp8_gemm_sm100_pair("mxfp8_gemm_sm100_pair_bf16", ElementType::Bf16),
    mxfp8_gemm_sm100_pair("mxfp8_gemm_sm100_pair_f16", ElementType::F16),
    mxfp8_quant("mxfp8_quant_sm90_bf16", "mxfp8_quant_sm90", Arch::Sm90a, ElementType::Bf16),
    mxfp8_quant("mxfp8_quant_sm90_f16", "mxfp8_quant_sm90", Arch::Sm90a, ElementType::F16),
    mxfp8_quant("mxfp8_quant_sm100_bf16", "mxfp8_quant_sm100", Arch::Sm100f, ElementType::Bf16),
    mxfp8_quant("mxfp8_quant_sm100_f16", "mxfp8_quant_sm100", Arch::Sm100f, ElementType::F16),
    BULK_READ_SM90,
    tensor_probe_sm100("tensor_probe_sm100", 1),
    tensor_probe_sm100("tensor_probe_sm100_pair", 2),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_unique_and_begin_with_their_module() {
        for (i, v) in VARIANTS.iter().enumerate() {
            assert!(v.symbol.starts_with(v.module), "{} in {}", v.symbol, v.module);
            assert!(VARIANTS[..i].iter().all(|w| w.symbol != v.symbol), "{} twice", v.symbol);
        }
    }

    #[test]
    fn every_variant_fits_a_multiprocessor() {
        for v in VARIANTS {
            assert!(v.smem_bytes <= 232_448 && v.threads <= 1024);
            assert!(v.registers * v.threads * v.ctas_per_sm <= 65_536);
            assert!((v.smem_bytes + 1024) * v.ctas_per_sm <= 228 * 1024);
        }
    }
}
