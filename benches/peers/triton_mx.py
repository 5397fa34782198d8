"""MXFP8 grouped GEMM in plain Triton: `tl.dot_scaled`, and fp8 dots of depth 32 that are scaled in f32.

Scales are row-major, `[T, K / 32]` and `[E, N, K / 32]`: Triton's own kernels want no other order on Hopper.
"""

import triton
import triton.language as tl

import contender
from triton_fp8 import place


@triton.jit(do_not_specialize=["row_tiles"])
def scaled(a, sa, b, sb, out, tiles, row_tiles, n, k, TM: tl.constexpr, TN: tl.constexpr, TK: tl.constexpr, DEEP: tl.constexpr):
    tile, column = place(row_tiles, n // TN, DEEP)
    expert = tl.load(tiles + tile * 3).to(tl.int64)
    end = tl.load(tiles + tile * 3 + 2)
    rows = tl.load(tiles + tile * 3 + 1) + tl.arange(0, TM)
    safe = tl.minimum(rows, end - 1).to(tl.int64)
    columns = expert * n + column * TN + tl.arange(0, TN)
    depth = tl.arange(0, TK)
    groups = tl.arange(0, TK // 32)
    sums = tl.zeros((TM, TN), tl.float32)
    for start in range(0, k, TK):
        left = tl.load(a + safe[:, None] * k + (start + depth)[None, :])
        right = tl.load(b + columns[None, :] * k + (start + depth)[:, None])
        left_scale = tl.load(sa + safe[:, None] * (k // 32) + (start // 32 + groups)[None, :])
        right_scale = tl.load(sb + columns[:, None] * (k // 32) + (start // 32 + groups)[None, :])
        sums = tl.dot_scaled(left, left_scale, "e4m3", right, right_scale, "e4m3", sums)
    target = out + rows.to(tl.int64)[:, None] * n + (column * TN + tl.arange(0, TN))[None, :]
    tl.store(target, sums.to(tl.bfloat16), mask=(rows < end)[:, None])


@triton.jit
def power(exponent):
    """2^(exponent - 127) of a byte; 0 and 255 do not occur."""
    return (exponent.to(tl.int32) << 23).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=["row_tiles"])
def depth_32(a, sa, b, sb, out, tiles, row_tiles, n, k, TM: tl.constexpr, TN: tl.constexpr, TK: tl.constexpr, DEEP: tl.constexpr):
    tile, column = place(row_tiles, n // TN, DEEP)
    expert = tl.load(tiles + tile * 3).to(tl.int64)
    end = tl.load(tiles + tile * 3 + 2)
    rows = tl.load(tiles + tile * 3 + 1) + tl.arange(0, TM)
    safe = tl.minimum(rows, end - 1).to(tl.int64)
    columns = expert * n + column * TN + tl.arange(0, TN)
    depth = tl.arange(0, TK)
    sums = tl.zeros((TM, TN), tl.float32)
    for group in range(k // TK):
        left = tl.load(a + safe[:, None] * k + (group * TK + depth)[None, :])
        right = tl.load(b + columns[None, :] * k + (group * TK + depth)[:, None])
        left_scale = power(tl.load(sa + safe * (k // 32) + group))
        right_scale = power(tl.load(sb + columns * (k // 32) + group))
        sums += tl.dot(left, right) * left_scale[:, None] * right_scale[None, :]
    target = out + rows.to(tl.int64)[:, None] * n + (column * TN + tl.arange(0, TN))[None, :]
    tl.store(target, sums.to(tl.bfloat16), mask=(rows < end)[:, None])


# Rows, columns, depth, row tiles in a sweep, warps, stages.
SCALED_TILES = {
    16: [(16, 128, 128, 32, 4, 3)],
    64: [(64, 128, 128, 16, 4, 3)],
    None: [(128, 128, 64, 16, 8, 3), (128, 128, 128, 16, 8, 2)],
}
DEPTH_32_TILES = {
    16: [(16, 128, 32, 32, 4, 5)],
    64: [(64, 128, 32, 16, 4, 5)],
    None: [(128, 128, 32, 16, 8, 5)],
}


class TritonMx(contender.Contender):
    """One of the two ways."""

    kind = "mx"

    def __init__(self, with_dot_scaled):
        self.with_dot_scaled = with_dot_scaled
        self.name = "triton_mx_scaled" if with_dot_scaled else "triton_mx_k32"
        self.what = (
            "tl.dot_scaled, which widens to bf16 on Hopper"
            if with_dot_scaled
            else "fp8 products of depth 32, scaled in f32 after each"
        )
        self.version = f"Triton {triton.__version__}"

    def candidates(self, case, a, b):
        # Both are slow, and Zipf routings of many rows would cost minutes.
        if case.rows > 16384 and "balanced" not in case.case:
            return []
        return contender.by_rows(SCALED_TILES if self.with_dot_scaled else DEPTH_32_TILES, case)

    def prepare(self, case, a, b, output, tile):
        tm, tn, tk, deep, warps, stages = tile
        tiles = case.row_tiles(tm, output.device)
        kernel = scaled if self.with_dot_scaled else depth_32
        grid = (len(tiles) * (case.n // tn),)

        def call():
            kernel[grid](
                a.codes, a.scales, b.codes, b.scales, output, tiles, len(tiles), case.n, case.k,
                TM=tm, TN=tn, TK=tk, DEEP=deep, num_warps=warps, num_stages=stages,
            )
            return output

        return call
