"""The three operations on torch tensors, on the current CUDA stream, or on the CPU.

Outputs are written in place. What depends only on types, shapes and strides is judged at the first call with them, and
remembered: later calls look at the addresses alone.
"""

import ctypes
import os
import sys
import threading

from . import _library as lib
from . import _views as views

_CACHED_CALLS = 4096

_lock = threading.Lock()
_devices = {}
_calls = {}
_check_tables = os.environ.get("EXPERT_GEMM_CHECK_TABLES") == "1"


def check_tables(on=True):
    """Whether calls on a GPU wait for their kernel and raise ValueError if the group tables are wrong. For finding faults: slow, and
    left out while a graph is captured. Calls on the CPU always check. Also switched on by EXPERT_GEMM_CHECK_TABLES=1."""
    global _check_tables
    _check_tables = on


def max_scale_rows(rows, experts):
    """Rows of MXFP8 scales that are enough however `rows` rows are split among the experts."""
    return lib.library.eg_mxfp8_max_scale_rows(rows, experts)


def fp8_grouped_mm(
    output, a, b, scales_a, scales_b, problem_sizes, expert_offsets, *, status=None, expected_rows=None
):
    """FP8 grouped product with f32 scales of blocks of 128.

    output [T, N] bf16 or f16, written; a [T, K] e4m3; b [E, N, K] e4m3, or its view [E, K, N]; scales_a [T, K / 128] f32;
    scales_b [E, N / 128, K / 128] f32, or its view; problem_sizes [E, 3] i32, (M, N, K) of each expert; expert_offsets [E] i32,
    first row of each expert; status [1] i32 or u32, into which bits are ORed if the tables are wrong; expected_rows about how many of
    the T rows the experts will have together, if there is room for more: it chooses the kernel, and decides speed alone.
    """
    tensors = (output, a, b, scales_a, scales_b, problem_sizes, expert_offsets, status)
    _run("fp8_grouped_mm", _fp8_grouped_mm, tensors, expected_rows=expected_rows)


def mxfp8_grouped_mm(
    output, a, b, sfa, sfb, problem_sizes, expert_offsets, blockscale_offsets, *, status=None, expected_rows=None
):
    """MXFP8 grouped product.

    output [T, N] bf16 or f16, written; a [T, K] e4m3; b [E, N, K] e4m3, or its view [E, K, N]; sfa [S, K / 32] and sfb [E, N, K / 32]
    scales in atoms, e8m0 or bytes; problem_sizes [E, 3] i32; expert_offsets [E] and blockscale_offsets [E] i32, first row and first
    scale row of each expert; status and expected_rows as in `fp8_grouped_mm`.
    """
    tensors = (output, a, b, sfa, sfb, problem_sizes, expert_offsets, blockscale_offsets, status)
    _run("mxfp8_grouped_mm", _mxfp8_grouped_mm, tensors, expected_rows=expected_rows)


def mxfp8_grouped_quant(
    input, problem_sizes, expert_offsets, blockscale_offsets, quant_output, scale_factor, *, rule="sgl", status=None
):
    """MXFP8 quantiser of grouped rows.

    input [T, K] bf16 or f16; problem_sizes [E, 3] i32, of which N is not read; expert_offsets [E] and blockscale_offsets [E] i32;
    quant_output [T, K] e4m3, written; scale_factor [S, K / 32] e8m0 or bytes, written in atoms; rule "sgl", "strict" or
    "ocp-floor"; status as in `fp8_grouped_mm`.
    """
    if rule not in lib.SCALE_RULES:
        raise ValueError(f"`rule` is {rule!r}, but it must be one of {', '.join(map(repr, lib.SCALE_RULES))}")
    tensors = (
        input, problem_sizes, expert_offsets, blockscale_offsets, quant_output, scale_factor, status
    )
    _run("mxfp8_grouped_quant", _mxfp8_grouped_quant, tensors, rule)


def explain(operation, *tensors, rule="sgl", expected_rows=None):
    """Why the kernel of a call was chosen, as text: `operation` is the name of one of the functions above, and the tensors
    and what follows them are those of its call."""
    describe = {
        "fp8_grouped_mm": _fp8_grouped_mm,
        "mxfp8_grouped_mm": _mxfp8_grouped_mm,
        "mxfp8_grouped_quant": _mxfp8_grouped_quant,
    }
    if operation == "mxfp8_grouped_quant" and expected_rows is not None:
        raise ValueError("`expected_rows` is given, but `mxfp8_grouped_quant` has one kernel for all rows: leave it out")
    if operation not in describe:
        raise ValueError(f"`operation` is {operation!r}, but it must be one of {', '.join(map(repr, describe))}")
    extra = (rule,) if operation == "mxfp8_grouped_quant" else ()
    return _call_of(operation, describe[operation], (*tensors, None), extra, expected_rows).plan.explain()


def _fp8_grouped_mm(output, a, b, scales_a, scales_b, problem_sizes, expert_offsets):
    rows, k = views.rank("a", a, 2, "[T, K]")
    n = views.rank("output", output, 2, "[T, N]")[1]
    experts = views.rank("problem_sizes", problem_sizes, 2, "[E, 3]")[0]
    out = views.first_rows("output", output, rows, "[T, N]")
    problem = lib.Fp8GroupedMm(rows, experts, n, k, out.element, lib.CHECKS_SHAPES)
    return problem, lambda: (
        out,
        views.plain("a", a),
        views.of_weights("b", b, (experts, n, k), "[E, N, K]"),
        views.first_rows("scales_a", scales_a, rows, "[T, K / 128]"),
        views.of_weights("scales_b", scales_b, (experts, n // 128, k // 128), "[E, N / 128, K / 128]"),
        views.plain("problem_sizes", problem_sizes),
        views.plain("expert_offsets", expert_offsets),
    )


def _mxfp8_grouped_mm(
    output, a, b, sfa, sfb, problem_sizes, expert_offsets, blockscale_offsets
):
    rows, k = views.rank("a", a, 2, "[T, K]")
    n = views.rank("output", output, 2, "[T, N]")[1]
    experts = views.rank("problem_sizes", problem_sizes, 2, "[E, 3]")[0]
    out = views.first_rows("output", output, rows, "[T, N]")
    of_a = views.of_atoms("sfa", sfa, k // 32)
    of_b = views.of_atoms("sfb", sfb, k // 32, experts * n)
    of_b.shape = (experts, n, k // 32)
    problem = lib.Mxfp8GroupedMm(rows, experts, n, k, of_a.shape[0], out.element, lib.CHECKS_SHAPES)
    return problem, lambda: (
        out,
        views.plain("a", a, byte=lib.E4M3),
        views.of_weights("b", b, (experts, n, k), "[E, N, K]", byte=lib.E4M3),
        of_a,
        of_b,
        views.plain("problem_sizes", problem_sizes),
        views.plain("expert_offsets", expert_offsets),
        views.plain("blockscale_offsets", blockscale_offsets),
    )


def _mxfp8_grouped_quant(
    input, problem_sizes, expert_offsets, blockscale_offsets, quant_output, scale_factor, rule
):
    rows, k = views.rank("input", input, 2, "[T, K]")
    experts = views.rank("problem_sizes", problem_sizes, 2, "[E, 3]")[0]
    of_rows = views.plain("input", input)
    scales = views.of_atoms("scale_factor", scale_factor, k // 32)
    problem = lib.Mxfp8GroupedQuant(
        rows, experts, k, scales.shape[0], of_rows.element, lib.SCALE_RULES[rule], lib.CHECKS_SHAPES
    )
    return problem, lambda: (
        of_rows,
        views.plain("problem_sizes", problem_sizes),
        views.plain("expert_offsets", expert_offsets),
        views.plain("blockscale_offsets", blockscale_offsets),
        views.first_rows("quant_output", quant_output, rows, "[T, K]", byte=lib.E4M3),
        scales,
    )


class _Call:
    """A prepared plan, and what a launch is told but for the addresses."""

    __slots__ = ("operation", "device", "plan", "template", "kept", "words", "on_cpu", "index")

    def __init__(self, operation, describe, tensors, extra, expected_rows):
        *tensors, status = tensors
        self.index = _index(tensors)
        self.on_cpu = self.index == lib.CPU
        self.device = _device(self.index)
        problem, views_of = describe(*tensors, *extra)
        # The numbers of the problem are judged first: with wrong ones, no shape can be right.
        self.plan = lib.Plan(operation, self.device, problem, _stream(self.index), expected_rows)
        given = list(views_of())
        if status is not None:
            _index([tensors[0], status])
            given.append(views.plain("status", status))
            if given[-1].element == lib.I32:
                given[-1].element = lib.U32
        self.operation = operation
        self.kept = []
        described = [self._describe(view) for view in given]
        if status is None:
            described.append(lib.Tensor(None, lib.U32, 1, (1,), None))
        self.words = lib.TENSOR_WORDS * len(described)
        self.template = b"".join(bytes(tensor) for tensor in described)

    def _describe(self, view):
        if len(view.shape) > lib.MAX_RANK:
            raise ValueError(f"`{view.name}` has {len(view.shape)} dimensions: at most 3 are needed")
        strides = None
        if view.strides is not None:
            strides = (ctypes.c_uint64 * len(view.strides))(*view.strides)
            # The template holds only their address.
            self.kept.append(strides)
            strides = ctypes.cast(strides, ctypes.POINTER(ctypes.c_uint64))
        shape = (ctypes.c_uint64 * lib.MAX_RANK)(*view.shape)
        return lib.Tensor(None, view.element, len(view.shape), shape, strides)

    def run(self, tensors):
        words = (ctypes.c_uint64 * self.words).from_buffer_copy(self.template)
        for place, tensor in zip(range(0, self.words, lib.TENSOR_WORDS), tensors):
            if tensor is not None:
                words[place] = tensor.data_ptr()
        stream = _stream(self.index)
        word = None
        if tensors[-1] is None and (self.on_cpu or (_check_tables and not _is_capturing(self.index))):
            word = lib.StatusWord(self.device, stream)
            words[self.words - lib.TENSOR_WORDS] = word.address
        status = self.plan.launch(self.plan.handle, stream, words)
        if status:
            lib.check(status, self.operation)
        if word is not None:
            faults = lib.text(lib.library.eg_group_status_text, word.read())
            if faults:
                raise ValueError(f"{self.operation}: the group tables are wrong: {faults}")


def _run(operation, describe, tensors, *extra, expected_rows=None):
    _call_of(operation, describe, tensors, extra, expected_rows).run(tensors)


def _call_of(operation, describe, tensors, extra, expected_rows):
    if expected_rows is not None and not (isinstance(expected_rows, int) and expected_rows >= 0):
        raise ValueError(f"{operation}: `expected_rows` is {expected_rows!r}, but it must be a number of rows, or None")
    try:
        key = (operation, extra, expected_rows) + tuple(
            None if t is None else (t.dtype, t.shape, t.stride(), t.device) for t in tensors
        )
    except AttributeError:
        wrong = next(t for t in tensors if t is not None and not hasattr(t, "data_ptr"))
        raise TypeError(f"{operation}: {type(wrong).__name__} was passed, but torch tensors are needed") from None
    call = _calls.get(key)
    if call is None:
        try:
            call = _Call(operation, describe, tensors, extra, expected_rows)
        except (ValueError, TypeError) as error:
            # The library's own sentences name the operation already.
            prefix = "" if str(error).startswith(operation) else f"{operation}: "
            raise type(error)(f"{prefix}{error}") from None
        with _lock:
            while len(_calls) >= _CACHED_CALLS:
                # The oldest: batches of other sizes have taken its place.
                _calls.pop(next(iter(_calls)), None)
            _calls[key] = call
    return call


def _index(tensors):
    """The ordinal of the one device of all tensors."""
    device = tensors[0].device
    for place, tensor in enumerate(tensors):
        if tensor.device != device:
            raise ValueError(f"tensor {place} is on {tensor.device}, but tensor 0 is on {device}: move it")
    if device.type == "cpu":
        return lib.CPU
    if device.type != "cuda":
        raise ValueError(f"the tensors are on {device}, but they must be on a CUDA device or the CPU: move them")
    return device.index


def _device(index):
    with _lock:
        if index not in _devices:
            _devices[index] = lib.Device(index)
        return _devices[index]


def _stream(index):
    if index == lib.CPU:
        return None
    return sys.modules["torch"].cuda.current_stream(index).cuda_stream


def _is_capturing(index):
    return index != lib.CPU and sys.modules["torch"].cuda.is_current_stream_capturing()
