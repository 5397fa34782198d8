"""MXFP8 quantiser of grouped rows in plain Triton: bf16 to e4m3 and one exponent byte for 32 elements, scales in atoms."""

import torch
import triton
import triton.language as tl

import contender
from data import E4M3, scale_rows


@triton.jit(do_not_specialize=["rows"])
def quantise(x, codes, scales, scale_row, rows, k, TR: tl.constexpr, TG: tl.constexpr, ATOMS: tl.constexpr):
    row = tl.program_id(0) * TR + tl.arange(0, TR)
    group = tl.program_id(1) * TG + tl.arange(0, TG)
    inside = (row < rows)[:, None] & (group < k // 32)[None, :]
    start = row.to(tl.int64)[:, None] * k + group[None, :] * 32
    element = start[:, :, None] + tl.arange(0, 32)[None, None, :]
    values = tl.load(x + element, mask=inside[:, :, None], other=0.0).to(tl.float32)
    # Rounded to nearest: 448 times a power of two must give that power.
    least = tl.maximum(tl.div_rn(tl.max(tl.abs(values), axis=2), 448.0), 1.1754943508222875e-38)
    bits = least.to(tl.int32, bitcast=True)
    # The exponent, one more unless the number is a power of two.
    exponent = (bits + 0x7FFFFF) >> 23
    inverse = ((254 - exponent) << 23).to(tl.float32, bitcast=True)
    small = tl.minimum(tl.maximum(values * inverse[:, :, None], -448.0), 448.0)
    tl.store(codes + element, small.to(tl.float8e4nv), mask=inside[:, :, None])
    if ATOMS:
        at = tl.load(scale_row + row, mask=row < rows, other=0).to(tl.int64)
        atom = (at // 128)[:, None] * (k // 128) + (group // 4)[None, :]
        target = atom * 512 + (at % 32 * 16 + at % 128 // 32 * 4)[:, None] + (group % 4)[None, :]
    else:
        target = row.to(tl.int64)[:, None] * (k // 32) + group[None, :]
    tl.store(scales + target, exponent.to(tl.uint8), mask=inside)


class TritonQuant(contender.Contender):
    """Scales in atoms, each expert on atoms of its own; or by rows, which is context."""

    kind = "bf16"
    version = f"Triton {triton.__version__}"

    def __init__(self, atoms):
        self.atoms = self.same_operation = atoms
        self.name = "triton_mxq_swz" if atoms else "triton_mxq"
        self.what = "plain quantiser, scales " + ("in swizzled atoms" if atoms else "by rows")

    def candidates(self, case, a, b):
        # Rows, groups of 32, warps.
        return [(1, 32, 4), (4, 16, 4), (4, 32, 4), (8, 16, 4), (16, 8, 8), (1, 64, 4)]

    def prepare(self, case, a, b, output, candidate):
        tr, tg, warps = candidate
        grid = (triton.cdiv(case.rows, tr), triton.cdiv(case.k // 32, tg))
        codes = output.codes.view(E4M3)

        def call():
            quantise[grid](
                a.codes, codes, output.scales, output.scale_row, case.rows, case.k,
                TR=tr, TG=tg, ATOMS=self.atoms, num_warps=warps,
            )
            return output

        return call


class QuantOutput:
    """Codes `[T, K]` and scales `[S, K / 32]`, filled with NaN codes; for each row of codes, its row of scales."""

    def __init__(self, case, atoms, device):
        first, self.rows = scale_rows(case)
        where = [torch.arange(rows) + start for start, rows in zip(first, case.rows_per_expert)]
        self.atoms = atoms
        self.first_scale_row = torch.tensor(first, dtype=torch.int32, device=device)
        self.scale_row = torch.cat(where).to(torch.int32).to(device)
        self.codes = torch.full((case.rows, case.k), 0x7F, dtype=torch.uint8, device=device)
        self.scales = torch.zeros(self.rows if atoms else case.rows, case.k // 32, dtype=torch.uint8, device=device)
