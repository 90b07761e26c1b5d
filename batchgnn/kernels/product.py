"""Products of a tall matrix with a narrow one, in tiles that stay in the vector registers.

A BLAS copies both matrices into an order of its own first, which a product this narrow does not pay
back. Here nothing is copied and nothing allocated: a tile of the result, ROWS rows by VECTORS
vectors, is summed in registers while one factor is read an element and the other a vector at a
time. Each element of a result is one chain of fused multiply-adds in the order of the terms, so
that it has the same bits wherever its row stands, and for any number of threads.
"""

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

from batchgnn.kernels.jit import kernel


def _registers() -> tuple[int, int]:
    """VECTORS and the bytes of a vector: as many sums as fill the registers of this processor."""
    features = get_host_cpu_features()
    if features.get("avx512f"):
        return 4, 64
    if features.get("avx"):
        return 2, 32
    return (4 if features.get("neon") else 1), 16


ROWS = 6
VECTORS, VECTOR_BYTES = _registers()
TILE_ROWS = 96
"Rows of the tall matrix that stay in a core's cache while all columns of the result are summed."


def _tile(rows: int, vectors: int, masked: bool):
    """The intrinsic that sums one tile: out = x @ weight, or += where `onto`.

    out (rows, vectors of numbers; masked: only its own columns), x (rows, k) with any strides,
    weight (k, as out); `ahead` bytes after the element of x that each step reads, memory is
    prefetched, and `more` bytes further each step.
    """

    @intrinsic
    def tile(_typing, x, weight, out, onto, ahead, more):
        def generate(context, builder, _signature, args):
            x_, weight_, out_ = (
                context.make_array(kind)(context, builder, value)
                for kind, value in zip((x, weight, out), args, strict=False)
            )
            byte, index = ir.IntType(8), ir.IntType(64)
            number = ir.FloatType() if out.dtype == types.float32 else ir.DoubleType()
            lanes = VECTOR_BYTES * 8 // out.dtype.bitwidth
            vector = ir.VectorType(number, lanes)
            bits = ir.VectorType(ir.IntType(1), lanes)
            align = out.dtype.bitwidth // 8

            def splat(value, kind):
                one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, index(0))
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

            def declare(name, result, *arguments):
                kind = ir.FunctionType(result, arguments)
                return cgutils.get_or_insert_function(builder.module, kind, name)

            x_data, weight_data, out_data = (
                builder.bitcast(a.data, byte.as_pointer()) for a in (x_, weight_, out_)
            )
            x_row, x_step = cgutils.unpack_tuple(builder, x_.strides)
            weight_step, _ = cgutils.unpack_tuple(builder, weight_.strides)
            out_row, _ = cgutils.unpack_tuple(builder, out_.strides)
            count, columns = cgutils.unpack_tuple(builder, weight_.shape)
            name = f"v{lanes}f{out.dtype.bitwidth}"
            fma = declare(f"llvm.fmuladd.{name}", vector, vector, vector, vector)
            fetch = declare("llvm.prefetch.p0", ir.VoidType(), byte.as_pointer(), *[ir.IntType(32)] * 3)
            zero = ir.Constant(vector, [0.0] * lanes)
            mask = None
            if masked:
                lane = ir.Constant(ir.VectorType(index, lanes), list(range(lanes)))
                mask = builder.icmp_signed("<", lane, splat(columns, lane.type))

            def at(base, offset, kind=vector):
                return builder.bitcast(builder.gep(base, [offset], source_etype=byte), kind.as_pointer())

            def load(pointer):
                if masked:
                    f = declare(f"llvm.masked.load.{name}.p0", vector, vector.as_pointer(), ir.IntType(32), bits, vector)
                    return builder.call(f, [pointer, ir.IntType(32)(align), mask, zero])
                return builder.load(pointer, align=align)

            def store(value, pointer):
                if masked:
                    f = declare(f"llvm.masked.store.{name}.p0", ir.VoidType(), vector, vector.as_pointer(), ir.IntType(32), bits)
                    builder.call(f, [value, pointer, ir.IntType(32)(align), mask])
                else:
                    builder.store(value, pointer, align=align)

            places = [
                builder.add(builder.mul(out_row, index(r)), index(c * VECTOR_BYTES))
                for r in range(rows)
                for c in range(vectors)
            ]
            x_rows = [builder.gep(x_data, [builder.mul(x_row, index(r))], source_etype=byte) for r in range(rows)]
            ahead_data = builder.gep(x_data, [args[4]], source_etype=byte)
            ahead_step = args[5]
            start = builder.block
            old = builder.append_basic_block("old")
            head = builder.append_basic_block("head")
            body = builder.append_basic_block("body")
            end = builder.append_basic_block("end")
            builder.cbranch(args[3], old, head)
            builder.position_at_end(old)
            loaded = [load(at(out_data, place)) for place in places]
            builder.branch(head)
            builder.position_at_end(head)
            first = []
            for value in loaded:
                phi = builder.phi(vector)
                phi.add_incoming(zero, start)
                phi.add_incoming(value, old)
                first.append(phi)
            builder.cbranch(builder.icmp_signed(">", count, index(0)), body, end)
            builder.position_at_end(body)
            k, xo, wo, ao = (builder.phi(index) for _ in range(4))
            sums = [builder.phi(vector) for _ in places]
            for phi in (k, xo, wo, ao):
                phi.add_incoming(index(0), head)
            for phi, value in zip(sums, first, strict=True):
                phi.add_incoming(value, head)
            builder.call(fetch, [builder.gep(ahead_data, [ao], source_etype=byte), *map(ir.IntType(32), (0, 2, 1))])
            w_at = builder.gep(weight_data, [wo], source_etype=byte)
            w = [load(at(w_at, index(c * VECTOR_BYTES))) for c in range(vectors)]
            new = []
            for r in range(rows):
                value = splat(builder.load(at(x_rows[r], xo, number), align=align), vector)
                new += [builder.call(fma, [value, w[c], sums[r * vectors + c]]) for c in range(vectors)]
            for phi, value in zip(sums, new, strict=True):
                phi.add_incoming(value, body)
            for phi, step in ((k, index(1)), (xo, x_step), (wo, weight_step), (ao, ahead_step)):
                phi.add_incoming(builder.add(phi, step), body)
            builder.cbranch(builder.icmp_signed("<", builder.add(k, index(1)), count), body, end)
            builder.position_at_end(end)
            for place, before, after in zip(places, first, new, strict=True):
                phi = builder.phi(vector)
                phi.add_incoming(before, head)
                phi.add_incoming(after, body)
                new[new.index(after)] = phi
            for place, value in zip(places, new, strict=True):
                store(value, at(out_data, place))
            return context.get_dummy_value()

        return types.none(x, weight, out, types.boolean, types.int64, types.int64), generate

    return tile


_full, _one_row = _tile(ROWS, VECTORS, False), _tile(1, VECTORS, False)
_narrow, _one_vector = _tile(ROWS, 1, True), _tile(1, 1, True)


def multiply_tile(x, weight, out, onto, ahead, more):
    out[...] = (out if onto else 0) + x @ weight


@overload(multiply_tile, inline="always")
def _multiply_tile(x, weight, out, onto, ahead, more):
    lanes = VECTOR_BYTES * 8 // out.dtype.bitwidth
    width = VECTORS * lanes

    def implementation(x, weight, out, onto, ahead, more):
        rows, columns = out.shape
        if columns == width:
            if rows == ROWS:
                _full(x, weight, out, onto, ahead, more)
            else:
                for i in range(rows):
                    _one_row(x[i : i + 1], weight, out[i : i + 1], onto, ahead, more)
        else:
            for j in range(0, columns, lanes):
                w, o = weight[:, j : j + lanes], out[:, j : j + lanes]
                if rows == ROWS:
                    _narrow(x, w, o, onto, ahead, more)
                else:
                    for i in range(rows):
                        _one_vector(x[i : i + 1], w, o[i : i + 1], onto, ahead, more)

    return implementation


@register_jitable
def _multiply(x, weight, out, onto, ahead, more):
    width = VECTORS * VECTOR_BYTES // out.itemsize
    for j in range(0, out.shape[1], width):
        for i in range(0, len(out), ROWS):
            multiply_tile(
                x[i : i + ROWS],
                weight[:, j : j + width],
                out[i : i + ROWS, j : j + width],
                onto,
                ahead,
                more,
            )


@kernel
def multiply_rows(x, weight, out, onto):
    """out (n, d_out) = x (n, d_in) @ weight (d_in, d_out), or += where `onto`."""
    step = ROWS * x.itemsize
    for begin in range(0, len(x), TILE_ROWS):
        rows = slice(begin, begin + TILE_ROWS)
        _multiply(x[rows], weight, out[rows], onto, ROWS * x.shape[1] * x.itemsize, step)


@kernel
def multiply_columns(x, dy, out):
    """out (d_in, d_out) = x^T (d_in, n) @ dy (n, d_out)."""
    for begin in range(0, len(x), DW_ROWS):
        rows = slice(begin, begin + DW_ROWS)
        _multiply(x[rows].T, dy[rows], out, begin > 0, DW_ROWS * x.shape[1] * x.itemsize, x.shape[1]*x.itemsize)


DW_ROWS = 128
