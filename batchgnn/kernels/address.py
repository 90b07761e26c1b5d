"""Arrays from addresses: how one kernel walks the memory-mapped arrays of several shards.

A rank owns any number of shards, each with arrays of its own. A kernel gets a table of their
addresses (uint64) and views one of them by `array_at`; nothing is copied and nothing recompiled
for another number of shards. The caller keeps the mapped arrays alive.
"""

import ctypes

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic, overload, register_jitable


def addresses(arrays) -> np.ndarray:
    """uint64 (k,): where the data of each C-contiguous array begins; 0 for an empty one."""
    return np.array([a.ctypes.data if a.size else 0 for a in arrays], np.uint64)


def array_at(address, shape, like):
    """A view of `shape` and of `like`'s dtype on the memory at `address`."""
    count = int(np.prod(shape))
    raw = (ctypes.c_char * (count * like.dtype.itemsize)).from_address(int(address))
    return np.frombuffer(raw, like.dtype).reshape(shape)


@intrinsic
def _pointer(_typing, address):
    def generate(_context, builder, _signature, args):
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(address), generate


@overload(array_at, inline="always")
def _array_at(address, shape, like):
    dtype = like.dtype

    def implementation(address, shape, like):
        return carray(_pointer(address), shape, dtype)

    return implementation


def prefetch(array, i):
    """Ask for the cache line of array[i] (one dimension), before it is read; changes nothing."""


@overload(prefetch, inline="always")
def _prefetch(array, i):
    return lambda array, i: prefetch_line(np.uint64(array.ctypes.data + i * array.itemsize))


def prefetch_line(address):
    """Ask for the cache line at an address (uint64)."""


@intrinsic
def _llvm_prefetch(_typing, address):
    """For reading, into the second-level cache: what is asked for is longer than the first."""

    def generate(context, builder, _signature, args):
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        pointer = builder.inttoptr(args[0], byte)
        builder.call(function, [pointer, word(0), word(2), word(1)])
        return context.get_dummy_value()

    return types.none(address), generate


@overload(prefetch_line, inline="always")
def _prefetch_line(address):
    return lambda address: _llvm_prefetch(address)


@register_jitable
def part_of(first, row):
    """The part p with first[p] <= row < first[p + 1], by bisection; parts may be empty."""
    low, high = 0, len(first) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if first[middle] <= row:
            low = middle
        else:
            high = middle
    return low
