"""Mixture-of-experts GEMM kernels for FP8 and MXFP8, on torch tensors.

    import expert_gemm
    expert_gemm.fp8_grouped_mm(output, a, b, scales_a, scales_b, problem_sizes, expert_offsets)

`expert_gemm.sgl` has the functions of `sgl_kernel.expert_specialization`, and `register_torch_ops` puts them under
`torch.ops.sgl_kernel`. PyTorch is not imported until its tensors arrive.
"""

from ._library import Error, version
from .ops import (
    check_tables,
    explain,
    fp8_grouped_mm,
    max_scale_rows,
    mxfp8_grouped_mm,
    mxfp8_grouped_quant,
)
from .torch_ops import register_torch_ops

__version__ = version()

__all__ = [
    "Error",
    "check_tables",
    "explain",
    "fp8_grouped_mm",
    "max_scale_rows",
    "mxfp8_grouped_mm",
    "mxfp8_grouped_quant",
    "register_torch_ops",
]
