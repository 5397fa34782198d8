//! A table of kernels that do not exist, for tests of what follows from a table, whatever is shipped.

use crate::abi::{
    Arch, ElementType, MAPS, Mxfp8GemmParams, Mxfp8QuantParams, Op, Shares, Variant, WeightOrder,
    mxfp8_gemm, mxfp8_quant,
};

const fn gemm(
    symbol: &'static str,
    arch: Arch,
    output: ElementType,
    box_rows: [u32; MAPS],
) -> Variant {
    Variant {
        symbol,
        module: "made_up",
        op: Op::Mxfp8GroupedMm,
        arch,
        input: ElementType::E4m3,
        output,
        more_rows_than: 0,
        up_to_rows: u32::MAX,
        rows_beside: 0,
        tile: [128, mxfp8_gemm::TILE_N, mxfp8_gemm::TILE_K],
        box_rows,
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages: 4,
        cluster: 2,
        shares: Shares::Tokens,
        threads: 256,
        ctas_per_sm: 1,
        registers: 200,
        smem_bytes: 200_000,
        param_bytes: size_of::<Mxfp8GemmParams>() as u32,
    }
}

const fn quant(symbol: &'static str, arch: Arch, input: ElementType) -> Variant {
    Variant {
        symbol,
        module: "made_up",
        op: Op::Mxfp8GroupedQuant,
        arch,
        input,
        output: ElementType::E4m3,
        more_rows_than: 0,
        up_to_rows: u32::MAX,
        rows_beside: 0,
        tile: [128, 1, mxfp8_quant::TILE_K],
        box_rows: [0; MAPS],
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages: 1,
        cluster: 1,
        shares: Shares::Tokens,
        threads: mxfp8_quant::THREADS,
        ctas_per_sm: mxfp8_quant::CTAS_PER_SM,
        registers: 40,
        smem_bytes: mxfp8_quant::SMEM_BYTES,
        param_bytes: size_of::<Mxfp8QuantParams>() as u32,
    }
}

/// The table.
pub(crate) static VARIANTS: [Variant; 6] = [
    gemm("gemm_90_bf16", Arch::Sm90a, ElementType::Bf16, [64, 8, 0, 0, 128, 0]),
    gemm("gemm_100_bf16", Arch::Sm100f, ElementType::Bf16, [128, 0, 0, 0, 128, 0]),
    gemm("gemm_100_f16", Arch::Sm100f, ElementType::F16, [128, 0, 0, 0, 128, 0]),
    quant("quant_90_bf16", Arch::Sm90a, ElementType::Bf16),
    quant("quant_90_f16", Arch::Sm90a, ElementType::F16),
    quant("quant_100_bf16", Arch::Sm100f, ElementType::Bf16),
];
