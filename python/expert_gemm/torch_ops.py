"""The operations under `torch.ops`, for torch.compile and CUDA graphs.

Names and orders of arguments are those of sgl_kernel's schemas. Those say nothing of what is written; these do, so that the
compiler keeps the order of reads and writes.
"""

from . import sgl

_SCHEMAS = {
    "es_fp8_blockwise_scaled_grouped_mm": "(Tensor(a!) output, Tensor a, Tensor b, Tensor scales_a, Tensor scales_b, "
    "Tensor stride_a, Tensor stride_b, Tensor stride_d, Tensor problem_sizes, Tensor expert_offsets, "
    "Tensor workspace) -> ()",
    "es_sm100_mxfp8_blockscaled_grouped_mm": "(Tensor a, Tensor b, Tensor sfa, Tensor sfb, Tensor(a!) d, "
    "Tensor problem_sizes, Tensor expert_offsets, Tensor blockscale_offsets) -> ()",
    "es_sm100_mxfp8_blockscaled_grouped_quant": "(Tensor input, Tensor problem_sizes, Tensor expert_offsets, "
    "Tensor blockscale_offsets, Tensor(a!) quant_output, Tensor(b!) scale_factor) -> ()",
}


def _product(a, b, sfa, sfb, d, problem_sizes, expert_offsets, blockscale_offsets):
    # The one operation whose schema has another order than its function.
    sgl.es_sm100_mxfp8_blockscaled_grouped_mm(
        d, a, b, sfa, sfb, problem_sizes, expert_offsets, blockscale_offsets
    )


_FUNCTIONS = {
    "es_fp8_blockwise_scaled_grouped_mm": sgl.es_fp8_blockwise_scaled_grouped_mm,
    "es_sm100_mxfp8_blockscaled_grouped_mm": _product,
    "es_sm100_mxfp8_blockscaled_grouped_quant": sgl.es_sm100_mxfp8_blockscaled_grouped_quant,
}

_registered = {}


def _writes_in_place(*_):
    """What the compiler is told: nothing is returned, and no shape changes."""


def register_torch_ops(namespace="sgl_kernel"):
    """Registers the three operations as `torch.ops.<namespace>.*`, for CUDA and CPU tensors. Once is enough; again does
    nothing.

    Raises RuntimeError if another library has registered one of them: then choose another namespace. Needs PyTorch 2.4.
    """
    if namespace in _registered:
        return
    import torch

    for name in _SCHEMAS:
        if hasattr(getattr(torch.ops, namespace), name):
            raise RuntimeError(
                f"torch.ops.{namespace}.{name} is registered by another library: call `register_torch_ops` with another "
                "namespace, such as 'expert_gemm', or do not import that library"
            )
    library = torch.library.Library(namespace, "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        library.define(name + schema)
        for device in ("CUDA", "CPU"):
            library.impl(name, _FUNCTIONS[name], device)
        torch.library.register_fake(f"{namespace}::{name}", _writes_in_place, lib=library)
    # A registration ends with its library.
    _registered[namespace] = library
