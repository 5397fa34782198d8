"""DeepGEMM's grouped products, where its package is installed: `pip install sgl-deep-gemm` (PyPI's build of it).

Each gets the layout that it wants beforehand: rows padded, scales of activations with rows innermost. What it then does in a
call is timed.
"""

from importlib import metadata

import torch

import contender

try:
    import deep_gemm
except (ImportError, OSError) as error:  # Built for another PyTorch, it does not load.
    deep_gemm, MISSING = None, error

PACKAGE = "sgl-deep-gemm"


def contenders():
    """All layouts; none without the package."""
    if deep_gemm is None:
        print(f"DeepGEMM is left out: {MISSING}", flush=True)
        return []
    return [Masked(), Packed("dg_contig"), Packed("dg_psum"), Packed("dg_psum64")]


def version():
    return f"DeepGEMM, {PACKAGE} {metadata.version(PACKAGE)}"


def with_rows_innermost(scales):
    return deep_gemm.get_mn_major_tma_aligned_tensor(scales)


class Masked(contender.Contender):
    """Every expert padded to the largest."""

    name = "dg_masked"
    what = "each expert padded to the largest count, rows masked"
    kind = "block"
    # Padded tokens and outputs of skewed cases would not be worth their memory beyond this.
    MOST_BYTES = 24 << 30

    def __init__(self):
        self.version = version()

    def candidates(self, case, a, b):
        padded = case.experts * -(-max(case.rows_per_expert) // 128) * 128
        return [None] if padded * (case.k + 2 * case.n) <= self.MOST_BYTES else []

    def prepare(self, case, a, b, output, candidate):
        most = -(-max(case.rows_per_expert) // 128) * 128
        device = output.device
        codes = torch.zeros(case.experts, most, case.k, dtype=torch.uint8, device=device)
        scales = torch.ones(case.experts, most, case.k // 128, device=device)
        for expert, (first, rows) in enumerate(zip(case.first_row, case.rows_per_expert)):
            codes[expert, :rows] = a.codes[first : first + rows].view(torch.uint8)
            scales[expert, :rows] = a.scales[first : first + rows]
        left = (codes.view(a.codes.dtype), with_rows_innermost(scales))
        right = (b.codes, b.scales)
        out = torch.empty(case.experts, most, case.n, dtype=torch.bfloat16, device=device)
        rows_of = torch.tensor(case.rows_per_expert, dtype=torch.int32, device=device)
        expected = max(1, case.mean_rows)

        def call():
            deep_gemm.fp8_m_grouped_gemm_nt_masked(left, right, out, rows_of, expected, disable_ue8m0_cast=True)

        def gather():
            for expert, (first, rows) in enumerate(zip(case.first_row, case.rows_per_expert)):
                output[first : first + rows] = out[expert, :rows]
            return output

        call.gather = gather
        return call


class Packed(contender.Contender):
    """Experts one after another, each padded to a multiple of rows."""

    kind = "block"
    WHAT = {
        "dg_contig": "experts padded to 128 rows, an index for each row",
        "dg_psum": "experts padded to 128 rows, prefix sums of their counts",
        "dg_psum64": "experts padded to 64 rows, prefix sums of their counts",
    }

    def __init__(self, name):
        self.name, self.what, self.version = name, self.WHAT[name], version()
        self.multiple = 64 if name == "dg_psum64" else 128
        self.sums = name != "dg_contig"

    def prepare(self, case, a, b, output, candidate):
        device = output.device
        starts, end, ends = [], 0, []
        for rows in case.rows_per_expert:
            starts.append(end)
            ends.append(end + rows)
            end += -(-rows // self.multiple) * self.multiple
        codes = torch.zeros(end, case.k, dtype=torch.uint8, device=device)
        scales = torch.ones(end, case.k // 128, device=device)
        # Rows of padding belong to no expert.
        owners = torch.full((end,), -1, dtype=torch.int32, device=device)
        places = list(zip(starts, case.first_row, case.rows_per_expert))
        for expert, (start, first, rows) in enumerate(places):
            codes[start : start + rows] = a.codes[first : first + rows].view(torch.uint8)
            scales[start : start + rows] = a.scales[first : first + rows]
            owners[start : start + rows] = expert
        left = (codes.view(a.codes.dtype), with_rows_innermost(scales))
        right = (b.codes, b.scales)
        out = torch.empty(end, case.n, dtype=torch.bfloat16, device=device)
        layout = torch.tensor(ends, dtype=torch.int32, device=device) if self.sums else owners
        # Nobody reads the padding of the output.
        options = {"disable_ue8m0_cast": True, "ensure_zero_padding": False}
        if self.sums:
            options |= {"use_psum_layout": True, "expected_m_for_psum_layout": max(1, case.mean_rows)}

        def call():
            deep_gemm.set_mk_alignment_for_contiguous_layout(self.multiple)
            deep_gemm.m_grouped_fp8_gemm_nt_contiguous(left, right, out, layout, **options)

        def gather():
            for start, first, rows in places:
                output[first : first + rows] = out[start : start + rows]
            return output

        call.gather = gather
        return call
