"""Inner products and weighted sums of short rows, in vector registers: LLVM code.

Of rows of a hundred numbers LLVM's own loops leave up to a third to a tail of single numbers, and
keep sums in memory. Here the last vector is masked, and a sum stays in registers until its last
term. The order of additions depends on lengths alone.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from batchgnn.kernels.tile import VECTOR_BYTES

INT, WORD = ir.IntType(64), ir.IntType(32)
VECTORS = 4
"Of a sum that are in registers at a time."


def dot(a, b):
    """Inner product of two contiguous rows of one length and dtype."""
    return a @ b


def weighted_sum(weight, place, x, out, onto):
    """out = sum of weight[i] x[place[i]] over places that are not negative, += where `onto`.

    weight  as x (k,), contiguous; place integers (k,), contiguous
    x       float (n, at least d), rows contiguous
    out     as x (d,), contiguous
    """
    some = place >= 0
    total = weight[some] @ x[place[some], : len(out)]
    out[:] = out + total if onto else total


@overload(dot, inline="always")
def _dot(a, b):
    return lambda a, b: _dot_of_rows(a, b)


@overload(weighted_sum, inline="always")
def _weighted_sum(weight, place, x, out, onto):
    return lambda weight, place, x, out, onto: _sum_of_rows(weight, place, x, out, onto)


@intrinsic
def _dot_of_rows(_typing, a, b):
    def generate(context, builder, _signature, args):
        left, right = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip((a, b), args, strict=True)
        )
        (length,) = cgutils.unpack_tuple(builder, left.shape)
        code = _Code(builder, a.dtype.bitwidth)
        total = cgutils.alloca_once_value(builder, code.zeros)

        def add(at, mask):
            terms = (code.load(each.data, at, mask) for each in (left, right))
            builder.store(code.multiply_add(*terms, builder.load(total)), total)

        code.each_vector(length, add)
        return code.total(builder.load(total))

    return a.dtype(a, b), generate


@intrinsic
def _sum_of_rows(_typing, weight, place, x, out, onto):
    def generate(context, builder, _signature, args):
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip((weight, place, x, out), args[:4], strict=True)
        ]
        (count,) = cgutils.unpack_tuple(builder, arrays[1].shape)
        (length,) = cgutils.unpack_tuple(builder, arrays[3].shape)
        stride = cgutils.unpack_tuple(builder, arrays[2].strides)[0]
        values = [*(each.data for each in arrays), count, stride, length, args[4]]
        kinds = [each.type for each in values]
        name = f"batchgnn_sum_{x.dtype.bitwidth}_{place.dtype.bitwidth}"
        if name not in builder.module.globals:
            function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inner = ir.IRBuilder(function.append_basic_block())
            _write_sum(_Code(inner, x.dtype.bitwidth), *function.args)
            inner.ret_void()
        builder.call(builder.module.globals[name], values)
        return context.get_dummy_value()

    return types.none(weight, place, x, out, onto), generate


def _write_sum(code, weight, place, x, out, count, stride, length, onto):
    """The body of `weighted_sum`: block after block of columns, each over all rows."""
    builder, lanes = code.builder, code.num_lanes
    block = VECTORS * lanes
    whole = builder.and_(length, INT(-block))

    def write(first, vectors, mask):
        masks = [None] * (vectors - 1) + [mask]
        at = [builder.add(first, INT(n * lanes)) for n in range(vectors)]
        sums = [builder.alloca(code.vector) for _ in at]
        for total, begin, each in zip(sums, at, masks, strict=True):
            before = code.load(out, begin, each)
            builder.store(builder.select(onto, before, code.zeros), total)
        with cgutils.for_range(builder, count) as loop:
            row = builder.sext(builder.load(builder.gep(place, [loop.index])), INT)
            with builder.if_then(builder.icmp_signed(">=", row, INT(0)), likely=True):
                factor = code.splat(builder.load(builder.gep(weight, [loop.index])))
                begin_of_row = code.moved(x, builder.mul(row, stride))
                for total, begin, each in zip(sums, at, masks, strict=True):
                    terms = factor, code.load(begin_of_row, begin, each), builder.load(total)
                    builder.store(code.multiply_add(*terms), total)
        for total, begin, each in zip(sums, at, masks, strict=True):
            code.store(builder.load(total), out, begin, each)

    with cgutils.for_range_slice(builder, INT(0), whole, INT(block), INT) as (first, _):
        write(first, VECTORS, None)
    left = builder.sub(length, whole)
    for vectors in range(1, 1 + VECTORS):
        above = builder.icmp_signed(">", left, INT((vectors - 1) * lanes))
        upto = builder.icmp_signed("<=", left, INT(vectors * lanes))
        with builder.if_then(builder.and_(above, upto)):
            write(whole, vectors, code.mask(builder.sub(left, INT((vectors - 1) * lanes))))


class _Code:
    """Writes what vectors of a float do."""

    def __init__(self, builder: ir.IRBuilder, bits: int):
        self.builder, self.itemsize = builder, bits // 8
        self.num_lanes = VECTOR_BYTES // self.itemsize
        self.number = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.num_lanes)
        self.suffix = f"v{self.num_lanes}f{bits}"
        self.zeros = ir.Constant(self.vector, None)

    def each_vector(self, length: Any, write: Callable[[Any, Any], None]) -> None:
        """write(at, mask): once in a loop over whole vectors, once for what is left."""
        builder = self.builder
        whole, step = builder.and_(length, INT(-self.num_lanes)), INT(self.num_lanes)
        with cgutils.for_range_slice(builder, INT(0), whole, step, INT) as (at, _):
            write(at, None)
        left = builder.sub(length, whole)
        with builder.if_then(builder.icmp_signed(">", left, INT(0))):
            write(whole, self.mask(left))

    def mask(self, count: Any) -> Any:
        """The first lanes, so many."""
        lanes = ir.Constant(ir.VectorType(INT, self.num_lanes), list(range(self.num_lanes)))
        return self.builder.icmp_signed("<", lanes, self.splat(count))

    def splat(self, value: Any) -> Any:
        """A vector of one number."""
        kind = ir.VectorType(value.type, self.num_lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, WORD(0))
        zeros = ir.Constant(ir.VectorType(WORD, self.num_lanes), None)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """A b + c."""
        return self._call(f"fmuladd.{self.suffix}", self.vector, a, b, c)

    def total(self, vector: Any) -> Any:
        """The sum of a vector's numbers."""
        kind = ir.FunctionType(self.number, [self.number, self.vector])
        name = f"llvm.vector.reduce.fadd.{self.suffix}"
        reduce = cgutils.get_or_insert_function(self.builder.module, kind, name)
        args = ir.Constant(self.number, -0.0), vector
        return self.builder.call(reduce, args, fastmath=("reassoc",))

    def moved(self, pointer: Any, num_bytes: Any) -> Any:
        """A pointer so many bytes behind another."""
        return self.builder.bitcast(
            self.builder.gep(pointer, [num_bytes], source_etype=ir.IntType(8)), pointer.type
        )

    def load(self, begin: Any, at: Any, mask: Any) -> Any:
        """The numbers from `at` on; mask: or None."""
        pointer = self._pointer(begin, at)
        if mask is None:
            return self.builder.load(pointer, align=self.itemsize)
        where = pointer, WORD(self.itemsize), mask, self.zeros
        return self._call(f"masked.load.{self.suffix}.p0", self.vector, *where)

    def store(self, value: Any, begin: Any, at: Any, mask: Any) -> None:
        """Likewise."""
        pointer = self._pointer(begin, at)
        if mask is None:
            self.builder.store(value, pointer, align=self.itemsize)
        else:
            where = value, pointer, WORD(self.itemsize), mask
            self._call(f"masked.store.{self.suffix}.p0", ir.VoidType(), *where)

    def _pointer(self, begin: Any, at: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(begin, [at]), self.vector.as_pointer())

    def _call(self, name: str, result: Any, *args: Any) -> Any:
        """A function of LLVM's own."""
        kind = ir.FunctionType(result, [each.type for each in args])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}")
        return self.builder.call(function, args)
