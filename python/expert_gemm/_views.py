"""Which tensors are taken as what.

Callers of sgl_kernel hand over views whose strides that library never looked at. Here a view is taken if its memory
is what the kernel reads, and refused if it is not, or if nobody can tell.

A `View` is (tensor, element code, shape, strides or None): what the C interface is told of a tensor. Everything that is not
judged here (ranks, lengths, strides, alignment, overlap) is judged there, by one set of rules for all languages.
"""

from . import _library as lib

_ELEMENTS = {
    "torch.bfloat16": lib.BF16,
    "torch.float16": lib.F16,
    "torch.float32": lib.F32,
    "torch.float8_e4m3fn": lib.E4M3,
    "torch.float8_e8m0fnu": lib.E8M0,
    "torch.int32": lib.I32,
    "torch.uint32": lib.U32,
    "torch.uint8": lib.U8,
}


class View:
    """What the C interface is told of a tensor."""

    __slots__ = ("name", "tensor", "element", "shape", "strides")

    def __init__(self, name, tensor, element, shape, strides):
        self.name, self.tensor, self.element = name, tensor, element
        self.shape, self.strides = tuple(shape), strides


def element(name, tensor, byte=None):
    """The element code; a tensor of bytes is taken as `byte`, if that is given."""
    code = _ELEMENTS.get(str(tensor.dtype))
    if code is None:
        raise TypeError(f"`{name}` holds {tensor.dtype}, which no operation takes: convert it before the call")
    return byte if byte is not None and code == lib.U8 else code


def plain(name, tensor, byte=None):
    """A tensor as it is."""
    return View(name, tensor, element(name, tensor, byte), tensor.shape, tuple(tensor.stride()))


def rank(name, tensor, expected, layout):
    """The shape of a tensor of this many dimensions."""
    shape = tuple(tensor.shape)
    if len(shape) != expected:
        raise ValueError(f"`{name}` has {len(shape)} dimensions, but {expected} are needed: pass it as {layout}")
    return shape


def first_rows(name, tensor, rows, layout, byte=None):
    """The first `rows` rows of a tensor that may have more: no expert owns those beyond."""
    shape = rank(name, tensor, 2, layout)
    if shape[0] < rows:
        raise ValueError(f"`{name}` has {shape[0]} rows, but {rows} are needed: pass {layout}")
    return View(name, tensor, element(name, tensor, byte), (rows, shape[1]), tuple(tensor.stride()))


def _packed(shape, strides):
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides)):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def of_weights(name, tensor, shape, layout, byte=None):
    """Weights or their scales `[E, N, K]`: that, or what sgl_kernel's callers pass, the view `[E, K, N]` of it.

    Where N equals K, a contiguous tensor could be either, so only the view is taken.
    """
    experts, n, k = shape
    given, strides = rank(name, tensor, 3, layout), tuple(tensor.stride())
    turned = (strides[0], strides[2], strides[1])
    code = element(name, tensor, byte)
    if 0 in given:
        given_either_way = given in (shape, (experts, k, n))
        return View(name, tensor, code, shape if given_either_way else given, None)
    if given == (experts, k, n) and _packed(shape, turned):
        return View(name, tensor, code, shape, None)
    if given == shape and n != k:
        return View(name, tensor, code, shape, strides)
    if given == (experts, k, n) and _packed(given, strides):
        wrong = "which could be [E, N, K] or its transpose" if n == k else "whose K is not contiguous"
        raise ValueError(
            f"`{name}` is a contiguous {list(given)}, {wrong}: pass `weights.transpose(1, 2)` of a contiguous {layout}"
        )
    if given == (experts, k, n):
        raise ValueError(
            f"`{name}` has the strides {list(strides)}, but a view of a contiguous {layout} has "
            f"{[n * k, 1, k]}: pass `weights.transpose(1, 2)` of one"
        )
    return View(name, tensor, code, given, strides)


def of_atoms(name, tensor, columns, rows=None):
    """MXFP8 scales in atoms, of `rows` rows or of as many whole atoms as there are.

    The bytes of an atom are in an order of their own, so the shape says only how many there are: any view whose memory has no
    gaps will do.
    """
    shape, strides = tuple(tensor.shape), tuple(tensor.stride())
    count = 1
    for length in shape:
        count *= length
    if len(shape) > 1 and count and columns not in shape:
        raise ValueError(f"`{name}` is {list(shape)}, but no dimension is K / 32 = {columns}: pass one scale for 32 elements")
    order = sorted(zip(strides, shape))
    if count and not _packed([length for _, length in reversed(order)], [stride for stride, _ in reversed(order)]):
        raise ValueError(f"`{name}` has gaps (shape {list(shape)}, strides {list(strides)}): make it contiguous")
    if columns and count % columns:
        raise ValueError(f"`{name}` has {count} bytes, which is no multiple of K / 32 = {columns}: pass whole rows of scales")
    have = count // columns if columns else 0
    if rows is None:
        rows = have // 128 * 128
    elif have != rows:
        raise ValueError(f"`{name}` has {have} rows of scales, but {rows} are needed: pass one for each column of each expert")
    return View(name, tensor, element(name, tensor), (rows, columns), None)
