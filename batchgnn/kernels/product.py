"""Products of tall matrices with narrow ones, in tiles that stay in the vector registers.

A BLAS first copies both factors into an order of its own, which a narrow product does not pay back.
Here nothing is copied or allocated: a tile of the result, ROWS rows of VECTORS vectors, is summed
in registers, while one factor is read a number and the other a vector at a time. Each number of a
result is one chain of fused multiply-adds, in the order of its terms, so that it has the same bits
wherever its row stands and for any number of threads.
"""

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from batchgnn.kernels.jit import kernel


def _registers() -> tuple[int, int]:
    """Vectors of a row of a tile, and bytes of a vector: sums nearly fill the registers."""
    features = get_host_cpu_features()
    if features.get("avx512f"):
        return 4, 64
    if features.get("avx"):
        return 2, 32
    return (4 if features.get("neon") else 1), 16


VECTORS, VECTOR_BYTES = _registers()
ROWS = 6
CACHED_ROWS = 96
"Rows of a tall matrix that stay in a core's cache while all tiles that need them are summed."

BYTE, INT, BIT, WORD = ir.IntType(8), ir.IntType(64), ir.IntType(1), ir.IntType(32)
POINTER = BYTE.as_pointer()


class _Tile:
    """Writes the function of one kind of tile into a module: the sum of products of k terms.

    rows, vectors  of the result
    masked         only the first `columns` numbers of a row are there, of the one vector
    """

    def __init__(self, rows: int, vectors: int, masked: bool, bits: int):
        self.rows, self.vectors, self.masked = rows, vectors, masked
        self.lanes, self.align = VECTOR_BYTES * 8 // bits, bits // 8
        self.number = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.lanes)
        self.suffix = f"v{self.lanes}f{bits}"

    def function(self, module: ir.Module) -> ir.Function:
        """One that is not inlined, so that its registers do not depend on the caller."""
        name = f"batchgnn_tile_{self.rows}_{self.vectors}_{self.masked}_{self.suffix}"
        if name in module.globals:
            return module.globals[name]
        kind = ir.FunctionType(ir.VoidType(), [POINTER, INT, INT, POINTER, INT, POINTER, INT, INT, INT, BIT, INT, INT])
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        self.module, self.builder = module, ir.IRBuilder(function.append_basic_block())
        self._write(*function.args)
        self.builder.ret_void()
        return function

    def _write(self, x, x_row, x_step, weight, weight_step, out, out_row, count, columns, onto, ahead, more):
        builder = self.builder
        if self.masked:
            lane = ir.Constant(ir.VectorType(INT, self.lanes), list(range(self.lanes)))
            self.mask = builder.icmp_signed("<", lane, self._splat(columns, lane.type))
        places = [
            self._at(out, builder.add(builder.mul(out_row, INT(r)), INT(c * VECTOR_BYTES)))
            for r in range(self.rows)
            for c in range(self.vectors)
        ]
        sums = [builder.alloca(self.vector) for _ in places]
        with builder.if_else(onto) as (added, overwritten):
            with added:
                for place, total in zip(places, sums, strict=True):
                    builder.store(self._load(place), total)
            with overwritten:
                for place, total in zip(places, sums, strict=True):
                    self._prefetch(place, for_writing=True)
                    builder.store(ir.Constant(self.vector, None), total)
        with cgutils.for_range(builder, count) as loop:
            self._prefetch(self._at(x, builder.add(ahead, builder.mul(loop.index, more))))
            x_now = self._at(x, builder.mul(loop.index, x_step))
            weight_now = self._at(weight, builder.mul(loop.index, weight_step))
            factors = [self._load(self._at(weight_now, INT(c * VECTOR_BYTES))) for c in range(self.vectors)]
            for r in range(self.rows):
                place = builder.bitcast(self._at(x_now, builder.mul(x_row, INT(r))), self.number.as_pointer())
                factor = self._splat(builder.load(place, align=self.align), self.vector)
                for c, total in enumerate(sums[r * self.vectors:][:self.vectors]):
                    builder.store(self._call("fmuladd", self.vector, factor, factors[c], builder.load(total)), total)
        for place, total in zip(places, sums, strict=True):
            self._store(builder.load(total), place)

    def _at(self, pointer, num_bytes):
        return self.builder.gep(pointer, [num_bytes], source_etype=BYTE)

    def _splat(self, value, kind):
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, value, WORD(0))
        return self.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(WORD, self.lanes), None))

    def _load(self, pointer):
        pointer = self.builder.bitcast(pointer, self.vector.as_pointer())
        if self.masked:
            zeros = ir.Constant(self.vector, None)
            return self._call("masked.load", self.vector, pointer, WORD(self.align), self.mask, zeros)
        return self.builder.load(pointer, align=self.align)

    def _store(self, value, pointer):
        pointer = self.builder.bitcast(pointer, self.vector.as_pointer())
        if self.masked:
            self._call("masked.store", ir.VoidType(), value, pointer, WORD(self.align), self.mask)
        else:
            self.builder.store(value, pointer, align=self.align)

    def _prefetch(self, pointer, for_writing=False):
        self._call("prefetch", ir.VoidType(), pointer, WORD(int(for_writing)), WORD(2), WORD(1))

    def _call(self, name, result, *args):
        """An LLVM intrinsic on vectors and pointers."""
        suffix = {"fmuladd": self.suffix, "prefetch": "p0"}.get(name, f"{self.suffix}.p0")
        kind = ir.FunctionType(result, [a.type for a in args])
        function = cgutils.get_or_insert_function(self.module, kind, f"llvm.{name}.{suffix}")
        return self.builder.call(function, args)


def _tile(rows: int, vectors: int, masked: bool):
    @intrinsic
    def tile(_typing, x, weight, out, onto, ahead, more):
        def generate(context, builder, _signature, args):
            x_, weight_, out_ = (
                context.make_array(kind)(context, builder, value)
                for kind, value in zip((x, weight, out), args[:3], strict=True)
            )
            data = [builder.bitcast(each.data, POINTER) for each in (x_, weight_, out_)]
            x_row, x_step = cgutils.unpack_tuple(builder, x_.strides)
            weight_step, _ = cgutils.unpack_tuple(builder, weight_.strides)
            out_row, _ = cgutils.unpack_tuple(builder, out_.strides)
            count, columns = cgutils.unpack_tuple(builder, weight_.shape)
            function = _Tile(rows, vectors, masked, out.dtype.bitwidth).function(builder.module)
            builder.call(
                function,
                [data[0], x_row, x_step, data[1], weight_step, data[2], out_row, count, columns, args[3], args[4], args[5]],
            )
            return context.get_dummy_value()

        return types.none(x, weight, out, types.boolean, types.int64, types.int64), generate

    return tile


_full, _row = _tile(ROWS, VECTORS, False), _tile(1, VECTORS, False)
_narrow, _vector = _tile(ROWS, 1, True), _tile(1, 1, True)


def multiply(x, weight, out, onto, ahead, more):
    out[...] = (out if onto else 0) + x @ weight


@overload(multiply, inline="always")
def _multiply(x, weight, out, onto, ahead, more):
    lanes = VECTOR_BYTES * 8 // out.dtype.bitwidth
    width = VECTORS * lanes

    def implementation(x, weight, out, onto, ahead, more):
        begin = 0
        while begin < out.shape[1]:
            end = begin + width if begin + width <= out.shape[1] else min(begin + lanes, out.shape[1])
            w = weight[:, begin:end]
            for i in range(0, len(out), ROWS):
                a, o = x[i : i + ROWS], out[i : i + ROWS, begin:end]
                if end - begin == width:
                    if len(o) == ROWS:
                        _full(a, w, o, onto, ahead, more)
                    else:
                        for r in range(len(o)):
                            _row(a[r : r + 1], w, o[r : r + 1], onto, ahead, more)
                elif len(o) == ROWS:
                    _narrow(a, w, o, onto, ahead, more)
                else:
                    for r in range(len(o)):
                        _vector(a[r : r + 1], w, o[r : r + 1], onto, ahead, more)
            begin = end

    return implementation


@kernel
def multiply_rows(x, weight, out, onto):
    """out (n, d_out) = x (n, d_in) @ weight (d_in, d_out), or += where `onto`."""
    step = ROWS * x.itemsize
    for begin in range(0, len(x), CACHED_ROWS):
        rows = slice(begin, begin + CACHED_ROWS)
        multiply(x[rows], weight, out[rows], onto, step * x.shape[1], step)


@kernel
def multiply_columns(x, dy, out):
    """out (d_in, d_out) = x^T (d_in, n) @ dy (n, d_out)."""
    out[:] = 0
    step = x.shape[1] * x.itemsize
    for begin in range(0, len(x), CACHED_ROWS):
        rows = slice(begin, begin + CACHED_ROWS)
        multiply(x[rows].T, dy[rows], out, True, CACHED_ROWS * step, step)
