"""Half-width numbers as their bits, since Numba has neither float16 nor bfloat16.

In memory, in files and on the wire a uint16 holds the bits of a float16 and an int16 those of a
bfloat16, the upper half of a float32. Kernels widen them on reading; arithmetic is float32.
"""

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic, overload

from batchgnn.kernels.jit import parallel_kernel

FEATURE_DTYPES: dict[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.int16),
}
"What features may be stored as -> the dtype of their dataset."


def dtype_name(dtype) -> str:
    """Name in `FEATURE_DTYPES` of a dataset's dtype, or of the bits in memory."""
    dtype = np.dtype(np.float16) if dtype == np.uint16 else np.dtype(dtype)
    return next((name for name, known in FEATURE_DTYPES.items() if known == dtype), dtype.name)


def as_bits(array: np.ndarray) -> np.ndarray:
    """The array itself; a float16 one as a view of its bits, uint16."""
    return array.view(np.uint16) if array.dtype == np.float16 else array


def as_floats(array: np.ndarray) -> np.ndarray:
    """The numbers that an array stands for: float16 bits as a view, bfloat16 bits as float32."""
    if array.dtype == np.uint16:
        return array.view(np.float16)
    if array.dtype == np.int16:
        return (array.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array


@intrinsic
def _float_of_half(_typing, bits):
    def generate(_context, builder, _signature, args):
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def _float_of_bfloat(_typing, bits):
    def generate(_context, builder, _signature, args):
        wide = builder.zext(args[0], ir.IntType(32))
        return builder.bitcast(builder.shl(wide, ir.Constant(wide.type, 16)), ir.FloatType())

    return types.float32(types.int16), generate


@intrinsic
def _half_of_float(_typing, value):
    def generate(_context, builder, _signature, args):
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), generate


@intrinsic
def _bfloat_of_float(_typing, value):
    """Adds just under one half of the last place that stays, one more where that place is odd."""

    def generate(_context, builder, _signature, args):
        word = ir.IntType(32)
        bits = builder.bitcast(args[0], word)
        upper = builder.lshr(bits, ir.Constant(word, 16))
        odd = builder.and_(upper, ir.Constant(word, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(word, 0x7FFF)))
        quiet_nan = builder.or_(upper, ir.Constant(word, 0x40))
        is_nan = builder.fcmp_unordered("uno", args[0], args[0])
        chosen = builder.select(is_nan, quiet_nan, builder.lshr(rounded, ir.Constant(word, 16)))
        return builder.trunc(chosen, ir.IntType(16))

    return types.int16(types.float32), generate


def widen(value, like):
    """A number for an array of `like`'s dtype: half-width bits become float32 in a float array."""
    if value.dtype in (np.uint16, np.int16) and like.dtype != value.dtype:
        return np.float32(as_floats(value.reshape(1))[0])
    return value


@overload(widen, inline="always")
def _widen(value, like):
    if value == types.uint16 and like.dtype != types.uint16:
        return lambda value, like: _float_of_half(value)
    if value == types.int16 and like.dtype != types.int16:
        return lambda value, like: _float_of_bfloat(value)
    return lambda value, like: value


def narrow(value, like):
    """The bits of a float32 for an array of `like`'s dtype, rounded to nearest, ties to even."""
    if like.dtype == np.uint16:
        with np.errstate(over="ignore"):
            return np.float16(value).view(np.uint16)
    bits = int(np.float32(value).view(np.uint32))
    upper = bits >> 16
    rounded = upper | 0x40 if np.isnan(value) else (bits + 0x7FFF + (upper & 1)) >> 16
    return np.uint16(rounded).view(np.int16)


@overload(narrow, inline="always")
def _narrow(value, like):
    if like.dtype == types.uint16:
        return lambda value, like: _half_of_float(value)
    return lambda value, like: _bfloat_of_float(value)


@parallel_kernel
def narrow_rows(x, out):
    """out = x rounded to half width, to nearest with ties to even; nan stays nan.

    x    float32 (n, d)
    out  (n, d)  overwritten: uint16 for float16, int16 for bfloat16

    Returns how many finite numbers became infinite.
    """
    num_lost = 0
    for i in prange(x.shape[0]):
        row, source = out[i], x[i]
        lost = 0
        for j in range(x.shape[1]):
            row[j] = narrow(source[j], out)
            lost += np.isfinite(source[j]) and not np.isfinite(widen(row[j], x))
        num_lost += lost
    return num_lost
