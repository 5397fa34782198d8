"""Tensors on the CPU without PyTorch: the attributes that the package uses, over ctypes memory."""

import ctypes
import struct


class Named:
    """A dtype or a device: something with a name."""

    def __init__(self, name, **attributes):
        self.name = name
        self.__dict__.update(attributes)

    def __str__(self):
        return self.name


BF16, F16, F32, F64, E4M3, E8M0, I32, I64, U8 = (
    Named(f"torch.{name}", code=code, bytes=size)
    for name, code, size in (
        ("bfloat16", "H", 2),
        ("float16", "e", 2),
        ("float32", "f", 4),
        ("float64", "d", 8),
        ("float8_e4m3fn", "B", 1),
        ("float8_e8m0fnu", "B", 1),
        ("int32", "i", 4),
        ("int64", "q", 8),
        ("uint8", "B", 1),
    )
)
CPU = Named("cpu", type="cpu", index=None)
OTHER = Named("meta", type="meta", index=None)


class Tensor:
    """A packed tensor of numbers, or a view of one."""

    def __init__(self, dtype, shape, numbers=0, device=CPU):
        self.dtype, self.shape, self.device = dtype, tuple(shape), device
        count = 1
        strides = []
        for length in reversed(self.shape):
            strides.append(count)
            count *= length
        self._strides = tuple(reversed(strides))
        values = [numbers] * count if isinstance(numbers, (int, float)) else list(numbers)
        assert len(values) == count, (len(values), count)
        self._memory = ctypes.create_string_buffer(count * dtype.bytes + 64)
        self._address = (ctypes.addressof(self._memory) + 63) // 64 * 64
        self._count = count
        packed = struct.pack(f"={count}{dtype.code}", *values)
        ctypes.memmove(self._address, packed, len(packed))

    def data_ptr(self):
        return self._address

    def stride(self):
        return self._strides

    def transpose(self, i, j):
        """The same memory with two dimensions exchanged."""
        view = object.__new__(Tensor)
        view.__dict__.update(self.__dict__)
        shape, strides = list(self.shape), list(self._strides)
        shape[i], shape[j] = shape[j], shape[i]
        strides[i], strides[j] = strides[j], strides[i]
        view.shape, view._strides = tuple(shape), tuple(strides)
        return view

    def moved(self, elements):
        """The same shape, some elements further on."""
        view = object.__new__(Tensor)
        view.__dict__.update(self.__dict__)
        view._address += elements * self.dtype.bytes
        return view

    def numbers(self):
        """All numbers, as they lie in memory; bf16 as floats."""
        raw = ctypes.string_at(self._address, self._count * self.dtype.bytes)
        values = struct.unpack(f"={self._count}{self.dtype.code}", raw)
        if self.dtype is BF16:
            return [struct.unpack("=f", struct.pack("=I", value << 16))[0] for value in values]
        return list(values)


def e4m3(byte):
    """The number that a byte stands for."""
    exponent, mantissa = byte >> 3 & 15, byte & 7
    value = mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10)
    return -value if byte & 128 else value
