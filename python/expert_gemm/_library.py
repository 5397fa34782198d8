"""libexpert_gemm by ctypes: its structs, its functions, and its refusals as exceptions.

Layouts and codes are those of `expert_gemm.h`; the library says which version of them it has.
"""

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

INTERFACE_VERSION = 1
CPU = -1
MAX_RANK = 5

BF16, F16, F32, E4M3, E8M0, I32, U32, U8 = range(1, 9)
CHECKS_SHAPES = 1
SCALE_RULES = {"sgl": 0, "strict": 1, "ocp-floor": 2}


class Error(RuntimeError):
    """A refusal that is not about the arguments: of the machine, the driver, or the order of calls.

    Refusals of arguments are ValueError, and of element types TypeError.
    """


class Tensor(ctypes.Structure):
    """eg_tensor."""

    _fields_ = [
        ("data", c_void_p),
        ("element", c_uint32),
        ("rank", c_uint32),
        ("shape", c_uint64 * MAX_RANK),
        ("strides", POINTER(c_uint64)),
    ]


# The address is the first of the eight words that a tensor takes in a struct of tensors.
TENSOR_WORDS = ctypes.sizeof(Tensor) // 8


class Fp8GroupedMm(ctypes.Structure):
    """eg_fp8_grouped_mm."""

    _fields_ = [(name, c_uint64) for name in ("rows", "experts", "n", "k")]
    _fields_ += [(name, c_uint32) for name in ("output", "checks")]


class Mxfp8GroupedMm(ctypes.Structure):
    """eg_mxfp8_grouped_mm."""

    _fields_ = [(name, c_uint64) for name in ("rows", "experts", "n", "k", "scale_rows")]
    _fields_ += [(name, c_uint32) for name in ("output", "checks")]


class Mxfp8GroupedQuant(ctypes.Structure):
    """eg_mxfp8_grouped_quant."""

    _fields_ = [(name, c_uint64) for name in ("rows", "experts", "k", "scale_rows")]
    _fields_ += [(name, c_uint32) for name in ("input", "rule", "checks", "reserved")]


def _find():
    given = os.environ.get("EXPERT_GEMM_LIB")
    if given:
        return given
    packaged = Path(__file__).with_name("libexpert_gemm.so")
    if packaged.exists():
        return str(packaged)
    raise ImportError(
        f"{packaged} is missing: install the package with `pip install ./python`, or set EXPERT_GEMM_LIB to a "
        "library that `cargo build --release -p expert-gemm-capi` made"
    )


def _load():
    library = ctypes.CDLL(_find())
    try:
        library.eg_interface_version.restype = c_uint32
        version = library.eg_interface_version()
    except AttributeError:
        raise ImportError(f"{library._name} is not libexpert_gemm: check EXPERT_GEMM_LIB") from None
    if version != INTERFACE_VERSION:
        raise ImportError(
            f"{library._name} has interface version {version}, but {INTERFACE_VERSION} is needed: "
            "install package and library of one version"
        )
    handle, handles = c_void_p, POINTER(c_void_p)
    functions = {
        "eg_version": (c_char_p,),
        "eg_last_error": (c_char_p,),
        "eg_device_count": (c_int, POINTER(c_int32)),
        "eg_device_open": (c_int, c_int32, handles),
        "eg_device_describe": (c_size_t, handle, c_char_p, c_size_t),
        "eg_device_synchronize": (c_int, handle),
        "eg_buffer_create": (c_int, handle, c_uint64, handles),
        "eg_buffer_data": (c_void_p, handle),
        "eg_buffer_download": (c_int, handle, c_void_p, c_uint64),
        "eg_buffer_fill": (c_int, handle, ctypes.c_uint8, c_void_p),
        "eg_buffer_free": (None, handle),
        "eg_plan_explain": (c_size_t, handle, c_char_p, c_size_t),
        "eg_plan_free": (None, handle),
        "eg_group_status_text": (c_size_t, c_uint32, c_char_p, c_size_t),
        "eg_mxfp8_max_scale_rows": (c_uint64, c_uint64, c_uint64),
    }
    for name in ("fp8_grouped_mm", "mxfp8_grouped_mm", "mxfp8_grouped_quant"):
        functions[f"eg_{name}_prepare"] = (c_int, handle, c_void_p, c_void_p, handles)
        functions[f"eg_{name}_launch"] = (c_int, handle, c_void_p, c_void_p)
    for name in ("fp8_grouped_mm", "mxfp8_grouped_mm"):
        functions[f"eg_{name}_prepare_expecting"] = (c_int, handle, c_void_p, c_uint64, c_void_p, handles)
    for name, (result, *arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


library = _load()


def version():
    """The version of the library, such as "0.1.0"."""
    return library.eg_version().decode()


def check(status, where=None):
    """Raises the exception of a code, with the library's own sentence."""
    if status == 0:
        return
    sentence = library.eg_last_error().decode()
    if where:
        sentence = f"{where}: {sentence}"
    raise {1: ValueError, 2: TypeError}.get(status, Error)(sentence)


def text(write, *arguments):
    """The text that a function of the library writes as snprintf does."""
    length = write(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(length + 1)
    write(*arguments, buffer, length + 1)
    return buffer.value.decode()


class Device:
    """eg_device."""

    def __init__(self, ordinal):
        self.handle = c_void_p()
        check(library.eg_device_open(ordinal, ctypes.byref(self.handle)))

    def __str__(self):
        return text(library.eg_device_describe, self.handle)


class Plan:
    """eg_plan of one operation, for all rows or for those that are expected."""

    def __init__(self, operation, device, problem, stream, expected_rows=None):
        self.launch = getattr(library, f"eg_{operation}_launch")
        self.handle = c_void_p()
        if expected_rows is None:
            prepare, hint = getattr(library, f"eg_{operation}_prepare"), ()
        else:
            prepare, hint = getattr(library, f"eg_{operation}_prepare_expecting"), (expected_rows,)
        # Kept, so that the device outlives the plan in any order of collection.
        self.device = device
        check(
            prepare(device.handle, ctypes.byref(problem), *hint, stream, ctypes.byref(self.handle)),
            operation,
        )

    def __del__(self, library=library):
        if getattr(self, "handle", None):
            library.eg_plan_free(self.handle)

    def explain(self):
        """Why this kernel was chosen, as text."""
        return text(library.eg_plan_explain, self.handle)


class StatusWord:
    """A status word in the memory of a device, to be read after the launch: for finding wrong tables."""

    def __init__(self, device, stream):
        self.device = device
        self.handle = c_void_p()
        check(library.eg_buffer_create(device.handle, 4, ctypes.byref(self.handle)))
        check(library.eg_buffer_fill(self.handle, 0, stream))
        self.address = library.eg_buffer_data(self.handle)

    def read(self):
        """The word, after all work of the device."""
        word = c_uint32()
        check(library.eg_device_synchronize(self.device.handle))
        check(library.eg_buffer_download(self.handle, ctypes.byref(word), 4))
        return word.value

    def __del__(self, library=library):
        if getattr(self, "handle", None):
            library.eg_buffer_free(self.handle)
