"""What PyTorch brings: cuBLAS's blockwise product expert by expert, and its grouped products as context."""

import torch

import contender
from data import E4M3

VERSION = f"PyTorch {torch.__version__}"


class ScaledMmLoop(contender.Contender):
    """`torch._scaled_mm` with 1x128 and 128x128 scales, one call an expert, all in one graph."""

    name = "torch_scaled_mm_loop"
    what = "torch._scaled_mm block by block, one call an expert in one graph; up to 32 experts"
    version = VERSION
    kind = "block"

    def candidates(self, case, a, b):
        # Multiples to which an expert's rows are padded: cuBLAS refuses some, and the fastest of the others counts.
        return [1, 4, 16] if case.experts <= 32 else []

    def prepare(self, case, a, b, output, multiple):
        jobs = []
        for expert, (first, rows) in enumerate(zip(case.first_row, case.rows_per_expert)):
            if rows == 0:
                continue
            padded = -(-rows // multiple) * multiple
            codes = torch.zeros(padded, case.k, dtype=torch.uint8, device=output.device)
            codes[:rows] = a.codes[first : first + rows].view(torch.uint8)
            # cuBLAS wants the scales of activations with rows innermost.
            scales = torch.ones(case.k // 128, padded, device=output.device)
            scales[:, :rows] = a.scales[first : first + rows].T
            out = torch.empty(padded, case.n, dtype=torch.bfloat16, device=output.device)
            jobs.append((first, rows, codes.view(E4M3), b.codes[expert].T, scales.T, b.scales[expert].T, out))

        def call():
            for _, _, left, right, left_scales, right_scales, out in jobs:
                torch._scaled_mm(
                    left, right, scale_a=left_scales, scale_b=right_scales, out_dtype=torch.bfloat16, out=out
                )

        def gather():
            for first, rows, *_, out in jobs:
                output[first : first + rows] = out[:rows]
            return output

        # Only the products are timed: the outputs are brought together for the check.
        call.gather = gather
        return call


class GroupedRow(contender.Contender):
    """`torch._scaled_grouped_mm`: one scale a row and a column, an easier problem."""

    name = "torch_grouped_row_fast"
    what = "torch._scaled_grouped_mm, one scale a row, fast accumulation"
    version = VERSION
    kind = "row"
    same_operation = False

    def prepare(self, case, a, b, output, candidate):
        ends, right = case.ends(output.device), b.codes.transpose(1, 2)

        def call():
            return torch._scaled_grouped_mm(
                a.codes, right, a.row_scales, b.row_scales, offs=ends,
                out_dtype=torch.bfloat16, use_fast_accum=True,
            )

        return call


class GroupedBf16(contender.Contender):
    """`torch._grouped_mm` in bf16."""

    name = "torch_grouped_bf16"
    version = VERSION
    kind = "bf16"

    def __init__(self, same_operation):
        self.same_operation = same_operation
        self.what = "torch._grouped_mm of bf16"
        if same_operation:
            self.what += ": what a Hopper service runs where it has no MXFP8"

    def prepare(self, case, a, b, output, candidate):
        ends, right = case.ends(output.device), b.codes.transpose(1, 2)
        return lambda: torch._grouped_mm(a.codes, right, offs=ends, out_dtype=torch.bfloat16)
