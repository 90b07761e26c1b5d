"""Half-width numbers: Numba has no float16, so kernels read the bits as uint16 and widen them."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload


def as_bits(array: np.ndarray) -> np.ndarray:
    """The array itself; a float16 one as a view of its bits, uint16."""
    return array.view(np.uint16) if array.dtype == np.float16 else array


@intrinsic
def _float_of_half(_typing, bits):
    def generate(_context, builder, _signature, args):
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


def widen(value, like):
    """A number for an array of `like`'s dtype: float16 bits become a float32 in a float array."""
    if value.dtype == np.uint16 and like.dtype != np.uint16:
        return np.float32(value.view(np.float16))
    return value


@overload(widen, inline="always")
def _widen(value, like):
    if value == types.uint16 and like.dtype != types.uint16:
        return lambda value, like: _float_of_half(value)
    return lambda value, like: value
