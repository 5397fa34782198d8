"""FP8 blockwise grouped GEMM in plain Triton: pointer loads, and loads by tensor map.

`output[m, n] = sum over kb of sa[m, kb] * sb[e, n / 128, kb] * (a[m, kb] . b[e, n, kb])`, one dot of depth 128 at a time.
A program does one tile of rows of one expert; the table of these tiles is made beforehand.
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

import contender
from data import E4M3


@triton.jit
def place(row_tiles, columns, DEEP: tl.constexpr):
    """Which tile a program does: `DEEP` row tiles share a sweep over the columns, so that weights are read from the cache."""
    sweep = DEEP * columns
    first = tl.program_id(0) // sweep * DEEP
    deep = min(row_tiles - first, DEEP)
    within = tl.program_id(0) % sweep
    return first + within % deep, within // deep


@triton.jit(do_not_specialize=["row_tiles"])
def by_pointer(a, sa, b, sb, out, tiles, row_tiles, n, k, TM: tl.constexpr, TN: tl.constexpr, DEEP: tl.constexpr):
    tile, column = place(row_tiles, n // TN, DEEP)
    expert = tl.load(tiles + tile * 3).to(tl.int64)
    end = tl.load(tiles + tile * 3 + 2)
    rows = tl.load(tiles + tile * 3 + 1) + tl.arange(0, TM)
    columns = column * TN + tl.arange(0, TN)
    depth = tl.arange(0, 128)
    # Rows past the end repeat the last one: their loads are valid, and they are not stored.
    safe = tl.minimum(rows, end - 1).to(tl.int64)
    weights = b + (expert * n + columns)[None, :] * k
    blocks = k // 128
    weight_scales = sb + (expert * (n // 128) + column * TN // 128) * blocks
    sums = tl.zeros((TM, TN), tl.float32)
    for block in range(blocks):
        left = tl.load(a + safe[:, None] * k + (block * 128 + depth)[None, :])
        right = tl.load(weights + (block * 128 + depth)[:, None])
        scale = tl.load(sa + safe * blocks + block) * tl.load(weight_scales + block)
        sums += tl.dot(left, right) * scale[:, None]
    target = out + rows.to(tl.int64)[:, None] * n + columns[None, :]
    tl.store(target, sums.to(tl.bfloat16), mask=(rows < end)[:, None])


@triton.jit(do_not_specialize=["row_tiles"])
def by_tensor_map(a, sa, b, sb, out, tiles, row_tiles, n, k, TM: tl.constexpr, TN: tl.constexpr, DEEP: tl.constexpr):
    tile, column = place(row_tiles, n // TN, DEEP)
    expert = tl.load(tiles + tile * 3)
    first = tl.load(tiles + tile * 3 + 1)
    end = tl.load(tiles + tile * 3 + 2)
    rows = first + tl.arange(0, TM)
    safe = tl.minimum(rows, end - 1).to(tl.int64)
    blocks = k // 128
    weight_scales = sb + (expert.to(tl.int64) * (n // 128) + column * TN // 128) * blocks
    sums = tl.zeros((TM, TN), tl.float32)
    for block in range(blocks):
        left = a.load([first, block * 128])
        right = b.load([expert * n + column * TN, block * 128])
        scale = tl.load(sa + safe * blocks + block) * tl.load(weight_scales + block)
        sums += tl.dot(left, right.T) * scale[:, None]
    target = out + rows.to(tl.int64)[:, None] * n + (column * TN + tl.arange(0, TN))[None, :]
    tl.store(target, sums.to(tl.bfloat16), mask=(rows < end)[:, None])


# Rows, columns, row tiles in a sweep, warps, stages; few of them, for few and for many rows.
POINTER_TILES = {
    16: [(16, 128, 32, 4, 4), (16, 64, 32, 4, 5)],
    64: [(32, 128, 32, 4, 4), (64, 128, 16, 4, 4)],
    None: [(64, 128, 16, 4, 4), (128, 128, 16, 8, 3), (128, 128, 16, 4, 4)],
}
MAP_TILES = {
    16: [(16, 128, 32, 4, 5), (16, 64, 32, 4, 6)],
    64: [(32, 128, 16, 4, 5), (64, 128, 16, 4, 5)],
    None: [(64, 128, 16, 4, 5), (128, 128, 16, 8, 4)],
}


class TritonFp8(contender.Contender):
    """One of the two forms."""

    kind = "block"

    def __init__(self, maps):
        self.maps = maps
        self.name = "triton_tma" if maps else "triton_ptr"
        form = "tensor-map" if maps else "pointer"
        self.what = f"plain grouped GEMM, {form} loads, best of a few tile shapes for each case"
        self.version = f"Triton {triton.__version__}"

    def candidates(self, case, a, b):
        return contender.by_rows(MAP_TILES if self.maps else POINTER_TILES, case)

    def prepare(self, case, a, b, output, tile):
        tm, tn, deep, warps, stages = tile
        tiles = case.row_tiles(tm, output.device)
        left, right = a.codes, b.codes.view(-1, case.k)
        if self.maps:
            left = TensorDescriptor.from_tensor(left, [tm, 128])
            right = TensorDescriptor.from_tensor(right, [tn, 128])
        kernel = by_tensor_map if self.maps else by_pointer
        grid = (len(tiles) * (case.n // tn),)

        def call():
            kernel[grid](
                left, a.scales, right, b.scales, output, tiles, len(tiles), case.n, case.k,
                TM=tm, TN=tn, DEEP=deep, num_warps=warps, num_stages=stages,
            )
            return output

        return call
