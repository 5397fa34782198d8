"""Ours, through the C library: a mirror of expert_gemm.h, as far as it is needed here."""

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

import torch

import contender
from data import E4M3, scale_rows, to_atoms

INTERFACE_VERSION = 1
CPU = -1
BF16, F32, ELEMENT_E4M3, E8M0, I32, U32 = 1, 3, 4, 5, 6, 7
# PyTorch's allocator hands out parts of blocks, which the driver does not know one by one.
CHECK_SHAPES = 1
# The operations in the order of records, by what the library calls them.
FP8, MXFP8_MM, MXFP8_QUANT = "fp8_grouped_mm", "mxfp8_grouped_mm", "mxfp8_grouped_quant"


class Tensor(Structure):
    """`eg_tensor`."""

    _fields_ = [
        ("data", c_void_p),
        ("element", c_uint32),
        ("rank", c_uint32),
        ("shape", c_uint64 * 5),
        ("strides", POINTER(c_uint64)),
    ]


def tensor(of, element, shape=None):
    """A view of a PyTorch tensor, packed row-major."""
    assert of.is_contiguous()
    shape = list(of.shape if shape is None else shape)
    return Tensor(of.data_ptr(), element, len(shape), (c_uint64 * 5)(*shape), None)


def struct(name, fields, kind):
    return type(name, (Structure,), {"_fields_": [(field, kind) for field in fields]})


Fp8Tensors = struct(
    "Fp8Tensors",
    ["output", "a", "b", "scales_a", "scales_b", "problem_sizes", "expert_offsets", "status"],
    Tensor,
)
MmTensors = struct(
    "MmTensors",
    ["output", "a", "b", "sfa", "sfb", "problem_sizes", "expert_offsets", "blockscale_offsets", "status"],
    Tensor,
)
QuantTensors = struct(
    "QuantTensors",
    ["input", "problem_sizes", "expert_offsets", "blockscale_offsets", "quant_output", "scale_factor", "status"],
    Tensor,
)


class Fp8Problem(Structure):
    """`eg_fp8_grouped_mm`."""

    _fields_ = [(name, c_uint64) for name in ("rows", "experts", "n", "k")] + [
        (name, c_uint32) for name in ("output", "checks")
    ]


class MmProblem(Structure):
    """`eg_mxfp8_grouped_mm`."""

    _fields_ = [(name, c_uint64) for name in ("rows", "experts", "n", "k", "scale_rows")] + [
        (name, c_uint32) for name in ("output", "checks")
    ]


class QuantProblem(Structure):
    """`eg_mxfp8_grouped_quant`."""

    _fields_ = [(name, c_uint64) for name in ("rows", "experts", "k", "scale_rows")] + [
        (name, c_uint32) for name in ("input", "rule", "checks", "reserved")
    ]


class Library:
    """A loaded libexpert_gemm and a device of it."""

    def __init__(self, path, ordinal):
        self.lib = ctypes.CDLL(path)
        self.lib.eg_last_error.restype = self.lib.eg_version.restype = c_char_p
        self.lib.eg_plan_explain.restype = c_size_t
        self.lib.eg_plan_explain.argtypes = [c_void_p, c_char_p, c_size_t]
        self.lib.eg_plan_free.argtypes = [c_void_p]
        for op in (FP8, MXFP8_MM, MXFP8_QUANT):
            self.function(op, "prepare").argtypes = [c_void_p, c_void_p, c_void_p, POINTER(c_void_p)]
            self.function(op, "launch").argtypes = [c_void_p, c_void_p, c_void_p]
        version = self.lib.eg_interface_version()
        if version != INTERFACE_VERSION:
            raise SystemExit(f"{path} has interface {version}, this mirrors {INTERFACE_VERSION}")
        self.device = c_void_p()
        self.lib.eg_device_open.argtypes = [c_int32, POINTER(c_void_p)]
        self.check(self.lib.eg_device_open(ordinal, byref(self.device)))
        self.version = self.lib.eg_version().decode()

    def function(self, op, verb):
        return getattr(self.lib, f"eg_{op}_{verb}")

    def check(self, status):
        if status != 0:
            raise RuntimeError(f"expert-gemm: {self.lib.eg_last_error().decode()}")

    def prepare(self, op, problem):
        plan = c_void_p()
        self.check(self.function(op, "prepare")(self.device, byref(problem), None, byref(plan)))
        return plan

    def kernel(self, plan):
        """The symbol of the kernel that was chosen: the marked line of the plan's explanation."""
        buffer = ctypes.create_string_buffer(16384)
        self.lib.eg_plan_explain(plan, buffer, len(buffer))
        marked = [line.split() for line in buffer.value.decode().splitlines() if line.strip().startswith("> ")]
        return marked[0][1] if marked else "unknown"


class Ours(contender.Contender):
    """One operation of the library."""

    name = "ours"

    def __init__(self, library, op, kind):
        self.library, self.op, self.kind = library, op, kind
        self.version = f"expert-gemm {library.version}"
        self.plans = []

    def prepare(self, case, a, b, output, candidate):
        device = a.codes.device
        sizes, offsets = case.tables(device)
        status = torch.zeros(1, dtype=torch.int32, device=device)
        tables = dict(
            problem_sizes=tensor(sizes, I32), expert_offsets=tensor(offsets, I32), status=tensor(status, U32)
        )
        keep = [sizes, offsets, status]
        if self.op == FP8:
            problem = Fp8Problem(case.rows, case.experts, case.n, case.k, BF16, CHECK_SHAPES)
            tensors = Fp8Tensors(
                output=tensor(output, BF16),
                a=tensor(a.codes, ELEMENT_E4M3),
                b=tensor(b.codes, ELEMENT_E4M3),
                scales_a=tensor(a.scales, F32),
                scales_b=tensor(b.scales, F32),
                **tables,
            )
        elif self.op == MXFP8_MM:
            problem, tensors, more = self.mm(case, a, b, output, tables)
            keep += more
        else:
            problem = QuantProblem(case.rows, case.experts, case.k, output.rows, BF16, 0, CHECK_SHAPES, 0)
            tensors = QuantTensors(
                input=tensor(a.codes, BF16),
                blockscale_offsets=tensor(output.first_scale_row, I32),
                quant_output=tensor(output.codes, ELEMENT_E4M3),
                scale_factor=tensor(output.scales, E8M0),
                **tables,
            )
        plan = self.library.prepare(self.op, problem)
        self.plans.append(plan)
        self.kernel = self.library.kernel(plan)
        launch = self.library.function(self.op, "launch")

        def call(keep=keep):
            stream = torch.cuda.current_stream().cuda_stream if device.type == "cuda" else None
            self.library.check(launch(plan, stream, byref(tensors)))
            return output

        def refused():
            return int(status.item())

        call.status = refused
        return call

    def mm(self, case, a, b, output, tables):
        device = a.codes.device
        first, rows = scale_rows(case)
        atoms = torch.zeros(rows, case.k // 32, dtype=torch.uint8, device=device)
        for expert, (start, count) in enumerate(zip(case.first_row, case.rows_per_expert)):
            if count:
                packed = to_atoms(a.scales[start : start + count])
                atoms[first[expert] : first[expert] + len(packed)] = packed
        weight_atoms = b.atoms()
        offsets = torch.tensor(first, dtype=torch.int32, device=device)
        problem = MmProblem(case.rows, case.experts, case.n, case.k, rows, BF16, CHECK_SHAPES)
        tensors = MmTensors(
            output=tensor(output, BF16),
            a=tensor(a.codes, ELEMENT_E4M3),
            b=tensor(b.codes, ELEMENT_E4M3),
            sfa=tensor(atoms, E8M0),
            sfb=tensor(weight_atoms, E8M0),
            blockscale_offsets=tensor(offsets, I32),
            **tables,
        )
        return problem, tensors, [atoms, weight_atoms, offsets]

    def close(self):
        for plan in self.plans:
            self.library.lib.eg_plan_free(plan)
        self.plans = []
