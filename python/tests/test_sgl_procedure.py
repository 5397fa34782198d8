"""The procedure by which sgl-kernel tests its three operations, as published with it: the same shapes, ranges of random numbers,
comparison (with the product of the inputs before they were quantised) and threshold.

For each number of experts and each output type: N and K are 128 times a random number of 1 to 64, common to all
experts; rows of an expert are 1 to 256 (MXFP8: 1 to 512); inputs are normal. An expert passes if
1 - 2 sum(x y) / sum(x^2 + y^2) < 0.001 in f64. Here with three seeds; there with one or none.

Needs PyTorch and a GPU; EXPERT_GEMM_PROCEDURE=cpu runs it on the CPU, with 128 times 4 to 6 and 16 to 48 rows: smaller, but not so small
that chance alone passes the threshold, which is near what the quantisation itself costs (6e-4 to 7e-4). Without
either it says so, and REQUIRE_GPU=1 makes that an error.
"""

import os
import random
import unittest

try:
    import torch
except ImportError as error:
    if os.environ.get("REQUIRE_GPU") == "1" or os.environ.get("REQUIRE_TORCH") == "1":
        raise
    raise unittest.SkipTest(f"PyTorch: {error}")

from expert_gemm import sgl

ON_CPU = os.environ.get("EXPERT_GEMM_PROCEDURE") == "cpu"
if not ON_CPU and not torch.cuda.is_available():
    if os.environ.get("REQUIRE_GPU") == "1":
        raise RuntimeError("REQUIRE_GPU=1, but PyTorch sees no GPU")
    raise unittest.SkipTest("PyTorch sees no GPU; EXPERT_GEMM_PROCEDURE=cpu takes the CPU")

DEVICE = "cpu" if ON_CPU else "cuda"
BLOCKS = (4, 6) if ON_CPU else (1, 64)
SEEDS = (42, 43, 44)
OUTPUTS = (torch.float16, torch.bfloat16)
THRESHOLD = 1e-3
MAX = torch.finfo(torch.float8_e4m3fn).max


def difference(x, y):
    """1 minus twice the inner product over the sum of squares, in f64."""
    x, y = x.double(), y.double()
    return (1 - 2 * (x * y).sum() / (x * x + y * y).sum()).item()


def rows_of(draw, experts, most):
    fewest, most = (16, 48) if ON_CPU else (1, most)
    return [draw.randint(fewest, most) for _ in range(experts)]


def prefix_sums(numbers):
    sums = [0]
    for number in numbers:
        sums.append(sums[-1] + number)
    return torch.tensor(sums, dtype=torch.int32, device=DEVICE)


def problem_sizes(rows, n, k):
    return torch.tensor([[m, n, k] for m in rows], dtype=torch.int32, device=DEVICE)


def quantise_rows(x):
    """E4m3 and a scale for each 128 elements of a row."""
    blocks = x.view(x.shape[0], -1, 128).float()
    most = blocks.abs().amax(2, keepdim=True).clamp(1e-4)
    return (blocks * (MAX / most)).to(torch.float8_e4m3fn).view(x.shape), (most / MAX).squeeze(2)


def quantise_blocks(x):
    """E4m3 and a scale for each 128 x 128 elements."""
    n, k = x.shape
    blocks = x.view(n // 128, 128, k // 128, 128).float()
    most = blocks.abs().amax((1, 3), keepdim=True).clamp(1e-4)
    return (blocks * (MAX / most)).to(torch.float8_e4m3fn).view(n, k), (most / MAX).view(n // 128, k // 128)


class SglProcedure(unittest.TestCase):
    def run_all(self, expert_counts, case):
        worst = 0.0
        for experts in expert_counts:
            for out in OUTPUTS:
                for seed in SEEDS:
                    draw = random.Random(f"{experts} {out} {seed}")
                    torch.manual_seed(seed)
                    n, k = (128 * draw.randint(*BLOCKS) for _ in range(2))
                    with self.subTest(experts=experts, out=out, seed=seed, n=n, k=k):
                        rows, differences = case(draw, experts, out, n, k)
                        self.assertEqual(len(differences), experts)
                        # A NaN is not below.
                        failed = [(m, d) for m, d in zip(rows, differences) if not d < THRESHOLD]
                        self.assertEqual(failed, [], "(rows, difference) of the experts that failed")
                        worst = max(worst, *differences)
        print(f"\n{self.id().rsplit('.', 1)[-1]} on {DEVICE}: worst difference {worst:.2e} of {THRESHOLD:g}")

    def test_fp8(self):
        self.run_all((8, 16, 32, 64, 128), self.fp8)

    def test_mxfp8(self):
        self.run_all((8, 16, 32, 64), self.mxfp8)

    def fp8(self, draw, experts, out, n, k):
        rows = rows_of(draw, experts, 256)
        inputs, a, scales_a, b, scales_b = [], [], [], [], []
        for m in rows:
            x = torch.randn(m, k, device=DEVICE, dtype=out)
            w = torch.randn(n, k, device=DEVICE, dtype=out)
            inputs.append(x @ w.T)
            for quantised, codes, scales in ((quantise_rows(x), a, scales_a), (quantise_blocks(w), b, scales_b)):
                codes.append(quantised[0])
                scales.append(quantised[1])
        output = torch.empty(sum(rows), n, dtype=out, device=DEVICE)
        stride_k = torch.full((experts,), k, dtype=torch.int64, device=DEVICE)
        sgl.es_fp8_blockwise_scaled_grouped_mm(
            output,
            torch.cat(a),
            torch.stack(b).transpose(1, 2),
            torch.cat(scales_a),
            torch.stack(scales_b).transpose(1, 2),
            stride_k,
            stride_k,
            torch.full_like(stride_k, n),
            problem_sizes(rows, n, k),
            prefix_sums(rows)[:-1],
            torch.empty(90_000, dtype=torch.uint8, device=DEVICE),
        )
        return rows, [difference(x, y) for x, y in zip(output.split(rows), inputs)]

    def mxfp8(self, draw, experts, out, n, k):
        rows = rows_of(draw, experts, 512)
        x = torch.randn(sum(rows), k, device=DEVICE, dtype=out)
        w = torch.randn(experts * n, k, device=DEVICE, dtype=out)
        expected = [left @ right.T for left, right in zip(x.split(rows), w.split(n))]
        sizes = problem_sizes(rows, n, k)
        offsets = prefix_sums(rows)[:-1]
        scale_sums = prefix_sums([(m + 127) // 128 * 128 for m in rows])
        scale_offsets = scale_sums[:-1]

        def quantised(x, sizes, offsets, scale_offsets, scale_rows):
            codes = torch.empty(x.shape, dtype=torch.float8_e4m3fn, device=DEVICE)
            scales = torch.zeros(scale_rows, k // 32, dtype=torch.uint8, device=DEVICE)
            sgl.es_sm100_mxfp8_blockscaled_grouped_quant(x, sizes, offsets, scale_offsets, codes, scales)
            return codes, scales

        a, sfa = quantised(x, sizes, offsets, scale_offsets, int(scale_sums[-1]))
        # The weights by the same operation, with N rows of an expert, and its M where N stands.
        of_weights = sizes[:, [1, 0, 2]].contiguous()
        starts = prefix_sums([n] * experts)[:-1]
        b, sfb = quantised(w, of_weights, starts, starts, experts * n)
        output = torch.empty(sum(rows), n, dtype=out, device=DEVICE)
        sgl.es_sm100_mxfp8_blockscaled_grouped_mm(
            output,
            a,
            b.view(experts, n, k).transpose(1, 2),
            sfa,
            sfb.view(experts, n, k // 32).transpose(1, 2),
            sizes,
            offsets,
            scale_offsets,
        )
        return rows, [difference(x, y) for x, y in zip(output.split(rows), expected)]


if __name__ == "__main__":
    unittest.main()
