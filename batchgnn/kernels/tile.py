"""The sum of one small tile of a matrix product, in vector registers: LLVM code for `product.py`.

Numba has no vectors, and what LLVM makes of loops over columns keeps its sums in memory.
"""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

BYTE, WORD, INT = ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER, NOTHING = BYTE.as_pointer(), ir.VoidType()


def _registers() -> tuple[int, int]:
    """Vectors in a row of a tile, and bytes of a vector, so that sums nearly fill the registers."""
    features = set((numba.config.CPU_FEATURES or get_host_cpu_features()).split(","))
    if "+avx512f" in features:
        return 4, 64
    if "+avx" in features:
        return 2, 32
    return (4 if "+neon" in features else 2), 16


ROWS = 6
VECTORS, VECTOR_BYTES = _registers()


def sum_tile(rows: int, vectors: int, masked: bool) -> Any:
    """The intrinsic (x, weight, out, onto, ahead, more) -> None: out = x @ weight, += where `onto`.

    x       (rows, k)  of any strides
    weight  (k, c), rows contiguous: c is `vectors` of numbers; masked: or fewer
    out     (rows, c), rows contiguous
    ahead, more  bytes: term i prefetches the memory so far after x: ahead + i more

    A number of `out` is a chain of fused multiply-adds, in the order of the k terms.
    """

    @intrinsic
    def tile(_typing, x, weight, out, onto, ahead, more):
        def generate(context, builder, _signature, args):
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip((x, weight, out), args[:3], strict=True)
            ]
            values = []
            for array in arrays:
                values += [builder.bitcast(array.data, POINTER)]
                values += cgutils.unpack_tuple(builder, array.strides)
            values += [*cgutils.unpack_tuple(builder, arrays[1].shape), *args[3:]]
            kinds = [value.type for value in values]
            code = _Code(rows, vectors, masked, out.dtype.bitwidth)
            builder.call(code.function(builder.module, kinds), values)
            return context.get_dummy_value()

        return types.none(x, weight, out, types.boolean, types.int64, types.int64), generate

    return tile


class _Code:
    """Writes the function of one kind of tile; LLVM keeps `sums`, its variables, in registers."""

    def __init__(self, rows: int, vectors: int, masked: bool, bits: int):
        self.rows, self.vectors, self.masked = rows, vectors, masked
        self.num_lanes, self.itemsize = VECTOR_BYTES * 8 // bits, bits // 8
        self.number = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.num_lanes)
        self.suffix = f"v{self.num_lanes}f{bits}"

    def function(self, module: ir.Module, kinds: list) -> ir.Function:
        """Never inlined: which values LLVM holds in registers must not depend on the caller."""
        name = f"batchgnn_tile_{self.rows}_{self.vectors}_{self.masked:d}_{self.suffix}"
        if name not in module.globals:
            function = ir.Function(module, ir.FunctionType(NOTHING, kinds), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            self.module, self.builder = module, ir.IRBuilder(function.append_basic_block())
            args = function.args
            self._write(args[0:3], args[3:6], args[6:9], *args[9:])
            self.builder.ret_void()
        return module.globals[name]

    def _write(self, of_x, of_weight, of_out, num_terms, columns, onto, ahead, more):
        """of_x, of_weight, of_out: where an array begins, and its strides in bytes."""
        (x, x_row, x_step), (weight, weight_row, _), (out, out_row, _) = of_x, of_weight, of_out
        builder = self.builder
        self.masks = [self._mask(columns, c) for c in range(self.vectors)] if self.masked else []
        row_of = [self._at(out, builder.mul(out_row, INT(r))) for r in range(self.rows)]
        places = [(row, c) for row in row_of for c in range(self.vectors)]
        sums = [builder.alloca(self.vector) for _ in places]
        with builder.if_else(onto) as (added, overwritten):
            with added:
                for place, total in zip(places, sums, strict=True):
                    builder.store(self._load(*place), total)
            with overwritten:
                for place, total in zip(places, sums, strict=True):
                    self._prefetch(self._vector_of(*place), for_writing=True)
                    builder.store(ir.Constant(self.vector, None), total)
        with cgutils.for_range(builder, num_terms) as loop:
            self._prefetch(self._at(x, builder.add(ahead, builder.mul(loop.index, more))))
            x_now = self._at(x, builder.mul(loop.index, x_step))
            weight_now = self._at(weight, builder.mul(loop.index, weight_row))
            right = [self._load(weight_now, c) for c in range(self.vectors)]
            for r in range(self.rows):
                left = self._broadcast(self._at(x_now, builder.mul(x_row, INT(r))))
                for c, total in enumerate(sums[r * self.vectors :][: self.vectors]):
                    terms = left, right[c], builder.load(total)
                    builder.store(self._call("fmuladd", self.vector, *terms), total)
        for place, total in zip(places, sums, strict=True):
            self._store(builder.load(total), *place)

    def _at(self, pointer, num_bytes):
        return self.builder.gep(pointer, [num_bytes], source_etype=BYTE)

    def _splat(self, value, kind):
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, WORD(0))
        zeros = ir.Constant(ir.VectorType(WORD, self.num_lanes), None)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def _broadcast(self, pointer):
        pointer = self.builder.bitcast(pointer, self.number.as_pointer())
        return self._splat(self.builder.load(pointer, align=self.itemsize), self.vector)

    def _mask(self, columns, c):
        """Which lanes of vector c hold columns."""
        lanes = [c * self.num_lanes + lane for lane in range(self.num_lanes)]
        numbers = ir.Constant(ir.VectorType(INT, self.num_lanes), lanes)
        return self.builder.icmp_signed("<", numbers, self._splat(columns, numbers.type))

    def _load(self, row, c):
        pointer = self.builder.bitcast(self._vector_of(row, c), self.vector.as_pointer())
        if not self.masked:
            return self.builder.load(pointer, align=self.itemsize)
        zeros = ir.Constant(self.vector, None)
        where = pointer, WORD(self.itemsize), self.masks[c], zeros
        return self._call("masked.load", self.vector, *where)

    def _store(self, value, row, c):
        pointer = self.builder.bitcast(self._vector_of(row, c), self.vector.as_pointer())
        if self.masked:
            self._call("masked.store", NOTHING, value, pointer, WORD(self.itemsize), self.masks[c])
        else:
            self.builder.store(value, pointer, align=self.itemsize)

    def _vector_of(self, row, c):
        """Where vector c of a row begins."""
        return self._at(row, INT(c * VECTOR_BYTES))

    def _prefetch(self, pointer, for_writing=False):
        """Into the second-level cache, as `address.prefetch_line`."""
        self._call("prefetch", NOTHING, pointer, WORD(int(for_writing)), WORD(2), WORD(1))

    def _call(self, name, result, *args):
        """A function of LLVM's own."""
        suffix = {"fmuladd": self.suffix, "prefetch": "p0"}.get(name, f"{self.suffix}.p0")
        kind = ir.FunctionType(result, [each.type for each in args])
        function = cgutils.get_or_insert_function(self.module, kind, f"llvm.{name}.{suffix}")
        return self.builder.call(function, args)
