"""The three functions of `sgl_kernel.expert_specialization`: the same names, arguments and order.

    from expert_gemm.sgl import es_fp8_blockwise_scaled_grouped_mm

They write their outputs in place and return None. What that library took without a look and what would have given wrong
numbers is refused here, see the guide docs/migrating-from-sgl-kernel.md.
"""

from . import ops

__all__ = [
    "es_fp8_blockwise_scaled_grouped_mm",
    "es_sm100_mxfp8_blockscaled_grouped_mm",
    "es_sm100_mxfp8_blockscaled_grouped_quant",
]


def es_fp8_blockwise_scaled_grouped_mm(
    output,
    a,
    b,
    scales_a,
    scales_b,
    stride_a,
    stride_b,
    stride_d,
    problem_sizes,
    expert_offsets,
    workspace,
):
    """FP8 grouped product, see `expert_gemm.fp8_grouped_mm`.

    The strides are those of packed rows and follow from the shapes, and no workspace is needed: all four may be anything, None
    too.
    """
    del stride_a, stride_b, stride_d, workspace
    ops.fp8_grouped_mm(output, a, b, scales_a, scales_b, problem_sizes, expert_offsets)


def es_sm100_mxfp8_blockscaled_grouped_mm(
    output, a, b, sfa, sfb, problem_sizes, expert_offsets, blockscale_offsets
):
    """MXFP8 grouped product, see `expert_gemm.mxfp8_grouped_mm`. On Hopper too, whatever the name says."""
    ops.mxfp8_grouped_mm(
        output, a, b, sfa, sfb, problem_sizes, expert_offsets, blockscale_offsets
    )


def es_sm100_mxfp8_blockscaled_grouped_quant(
    input, problem_sizes, expert_offsets, blockscale_offsets, quant_output, scale_factor
):
    """MXFP8 quantiser, see `expert_gemm.mxfp8_grouped_quant`. On Hopper too, whatever the name says."""
    ops.mxfp8_grouped_quant(
        input, problem_sizes, expert_offsets, blockscale_offsets, quant_output, scale_factor
    )
