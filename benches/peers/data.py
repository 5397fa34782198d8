"""Random tensors of a case, quantised as each operation wants them, and what their products are in float64."""

from dataclasses import dataclass, field

import torch

E4M3 = torch.float8_e4m3fn
E4M3_MAX = 448.0
SEED = 1234


@dataclass
class Case:
    """One case, as `bench --list` says it."""

    case: str
    n: int
    k: int
    rows_per_expert: list
    flops: float
    bytes: float
    ideal_us: float
    first_row: list = field(init=False)
    rows: int = field(init=False)

    def __post_init__(self):
        ends = torch.tensor(self.rows_per_expert).cumsum(0).tolist()
        self.first_row = [end - rows for end, rows in zip(ends, self.rows_per_expert)]
        self.rows = ends[-1]

    @property
    def experts(self):
        return len(self.rows_per_expert)

    @property
    def mean_rows(self):
        return self.rows // self.experts

    def tables(self, device):
        """`problem_sizes [E, 3]` and `expert_offsets [E]`, i32."""
        sizes = [[rows, self.n, self.k] for rows in self.rows_per_expert]
        as_i32 = lambda table: torch.tensor(table, dtype=torch.int32, device=device)
        return as_i32(sizes), as_i32(self.first_row)

    def ends(self, device):
        """One past the last row of each expert, `[E]` i32."""
        ends = [first + rows for first, rows in zip(self.first_row, self.rows_per_expert)]
        return torch.tensor(ends, dtype=torch.int32, device=device)

    def row_tiles(self, height, device):
        """Tiles of at most `height` rows that never cross experts: `[tiles, 3]` i32 of expert, first row, end."""
        tiles = [
            [expert, first + row, first + rows]
            for expert, (first, rows) in enumerate(zip(self.first_row, self.rows_per_expert))
            for row in range(0, rows, height)
        ]
        return torch.tensor(tiles, dtype=torch.int32, device=device)

    def sampled(self, rows_each=16):
        """Rows to check, `(expert, rows)`: of the largest, the first and the last expert that has any."""
        live = [expert for expert, rows in enumerate(self.rows_per_expert) if rows]
        picked = {max(live, key=lambda expert: self.rows_per_expert[expert]), live[0], live[-1]}
        for expert in sorted(picked):
            first, rows = self.first_row[expert], self.rows_per_expert[expert]
            count = min(rows, rows_each)
            yield expert, [first + (2 * i + 1) * rows // (2 * count) for i in range(count)]


def normal(shape, seed, device):
    generator = torch.Generator(device=device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device)


def activations(case, device):
    """f32 `[T, K]`: normal, rows of very different sizes."""
    rows = normal((case.rows, case.k), SEED, device)
    return rows * normal((case.rows, 1), SEED + 1, device).mul_(0.5).exp_()


def weights(case, expert, device):
    """f32 `[N, K]`."""
    return normal((case.n, case.k), SEED + 2 + expert, device) * 0.02


def quantise_blocks(x, height, width):
    """e4m3 codes, and an f32 scale for each block of `height` x `width`."""
    rows, columns = x.shape
    blocks = x.view(rows // height, height, columns // width, width)
    scales = blocks.abs().amax((1, 3)).clamp_min(1e-6) / E4M3_MAX
    codes = (blocks / scales[:, None, :, None]).to(E4M3)
    return codes.view(rows, columns), scales


def quantise_mx(x):
    """e4m3 codes, and for 32 elements of a row the exponent byte of the least power of two that keeps them in range."""
    blocks = x.view(x.shape[0], -1, 32)
    least = (blocks.abs().amax(-1) / E4M3_MAX).clamp_min(2.0**-126)
    mantissa, exponent = torch.frexp(least)
    # frexp's mantissa is in [0.5, 1): only an exact power of two needs no step up.
    exponent = torch.where(mantissa == 0.5, exponent - 1, exponent)
    # The exact inverse power from its bits: a library's power may be off by one unit.
    inverse = ((127 - exponent) << 23).to(torch.int32).view(torch.float32)
    codes = (blocks * inverse[..., None]).clamp(-E4M3_MAX, E4M3_MAX).to(E4M3)
    return codes.view(x.shape), (exponent + 127).to(torch.uint8)


def to_atoms(scales):
    """Row-major `[R, C]` bytes as atoms of 128 x 4, rows padded with zeros: docs/scale_layout.md."""
    rows, columns = scales.shape
    padded = torch.zeros(-(-rows // 128) * 128, columns, dtype=torch.uint8, device=scales.device)
    padded[:rows] = scales
    atoms = padded.view(-1, 4, 32, columns // 4, 4)
    return atoms.permute(0, 3, 2, 1, 4).contiguous().view(padded.shape)


def from_atoms(atoms, columns):
    """The way back, `[R, C]`."""
    grouped = atoms.view(-1, columns // 4, 32, 4, 4)
    return grouped.permute(0, 3, 2, 1, 4).reshape(-1, columns)


def scale_rows(case):
    """First scale row of each expert, padded to 128, and the number of all."""
    first, end = [], 0
    for rows in case.rows_per_expert:
        first.append(end)
        end += -(-rows // 128) * 128
    return first, end


class Weights:
    """Weights of all experts; cases of one projection and number of experts share them."""

    def __init__(self, case, kind, device):
        shape = (case.experts, case.n, case.k)
        self.kind = kind
        self.codes = torch.empty(shape, dtype=torch.bfloat16 if kind == "bf16" else E4M3, device=device)
        if kind == "block":
            self.scales = torch.empty(case.experts, case.n // 128, case.k // 128, device=device)
        elif kind == "mx":
            self.scales = torch.empty(*shape[:2], case.k // 32, dtype=torch.uint8, device=device)
        for expert in range(case.experts):
            values = weights(case, expert, device)
            if kind == "block":
                self.codes[expert], self.scales[expert] = quantise_blocks(values, 128, 128)
            elif kind == "mx":
                self.codes[expert], self.scales[expert] = quantise_mx(values)
            else:
                self.codes[expert] = values
        if kind == "block":
            # For the row-wise product, which is context: the same codes with a scale for each column of the output.
            self.row_scales = normal((case.experts, case.n), SEED, device).abs() * 1e-3 + 1e-4

    def atoms(self):
        """The scales in atoms, made once."""
        if not hasattr(self, "_atoms"):
            self._atoms = to_atoms(self.scales.flatten(0, 1)).view(self.scales.shape)
        return self._atoms


class Activations:
    """Activations of a case, quantised one way."""

    def __init__(self, case, kind, device):
        values = activations(case, device)
        self.kind = kind
        if kind == "block":
            self.codes, self.scales = quantise_blocks(values, 1, 128)
            self.row_scales = normal((case.rows,), SEED, device).abs() * 1e-3 + 1e-4
        elif kind == "mx":
            self.codes, self.scales = quantise_mx(values)
        else:
            self.codes, self.scales = values.bfloat16(), None


def exact(codes, scales, kind):
    """float64 `[R, K]` of codes and scales. `kind` `row` has one scale a row, `mx` an exponent byte for 32 elements."""
    values = codes.double()
    if kind == "mx":
        scales = torch.exp2(scales.double() - 127)
        return (values.view(len(values), -1, 32) * scales[..., None]).view(values.shape)
    if kind == "row":
        return values * scales.double()[:, None]
    if kind == "bf16":
        return values
    height = len(values) // len(scales)
    blocks = values.view(len(scales), height, -1, 128)
    return (blocks * scales.double()[:, None, :, None]).view(values.shape)


def scales_of(operand, kind, which):
    """The scales of some rows or of an expert, as a product of this kind uses them."""
    if kind == "bf16":
        return None
    return (operand.row_scales if kind == "row" else operand.scales)[which]


def product_error(case, output, a, b, kind):
    """Frobenius norm of an output's error over that of the float64 product, on sampled rows; NaN if a row was not written."""
    wrong = right = 0.0
    for expert, rows in case.sampled():
        rows = torch.tensor(rows, device=output.device)
        # Codes have no gather of their own type.
        codes = a.codes.view(torch.uint8 if a.codes.dtype == E4M3 else torch.int16)[rows].view(a.codes.dtype)
        left = exact(codes, scales_of(a, kind, rows), kind)
        want = left @ exact(b.codes[expert], scales_of(b, kind, expert), kind).T
        wrong += float((output[rows].double() - want).square().sum())
        right += float(want.square().sum())
    return (wrong / right) ** 0.5


def quant_error(case, output, x):
    """Share of sampled codes and scales that differ from the closed form; NaN codes of rows that were not written do."""
    differ = looked_at = 0
    for _, rows in case.sampled(64):
        rows = torch.tensor(rows, device=x.device)
        codes, scales = quantise_mx(x.view(torch.int16)[rows].view(x.dtype).float())
        if output.atoms:
            got = from_atoms(output.scales, case.k // 32)[output.scale_row[rows].long()]
        else:
            got = output.scales[rows]
        differ += int((got != scales).sum()) + int((output.codes[rows] != codes.view(torch.uint8)).sum())
        looked_at += scales.numel() + codes.numel()
    return differ / looked_at
