"""Products of a tall matrix and a narrow one, a tile of the result at a time.

A BLAS first copies both factors into an order of its own, which a narrow product does not pay back.
Here nothing is copied or allocated. Every number of a result is one chain of fused multiply-adds in
the order of its terms, so that a row has the same bits wherever it stands.
"""

from numba.core.errors import TypingError
from numba.extending import overload

from batchgnn.kernels.jit import kernel
from batchgnn.kernels.tile import ROWS, VECTOR_BYTES, VECTORS, sum_tile

CACHED_ROWS = 96
"Rows of the tall matrix that stay in a core's cache until all tiles that need them are summed."

_tile, _row_of_tile = sum_tile(ROWS, VECTORS, False), sum_tile(1, VECTORS, False)
_narrow, _row_of_narrow = sum_tile(ROWS, 1, True), sum_tile(1, 1, True)


def _multiply(x, weight, out, onto, ahead, more):
    """out = x @ weight, or += where `onto`; ahead, more: as `sum_tile`."""
    if not onto:
        out[:] = 0
    for k in range(len(weight)):
        out += x[:, k : k + 1] * weight[k]


@overload(_multiply, inline="always")
def _multiply_tiles(x, weight, out, onto, ahead, more):
    if weight.layout != "C" or out.layout != "C":
        raise TypingError("only the tall factor of a product may have rows with gaps")
    lanes = VECTOR_BYTES // (out.dtype.bitwidth // 8)
    width = VECTORS * lanes

    def implementation(x, weight, out, onto, ahead, more):
        num_columns, begin = out.shape[1], 0
        while begin < num_columns:
            wide = begin + width <= num_columns
            end = begin + width if wide else min(begin + lanes, num_columns)
            w = weight[:, begin:end]
            for i in range(0, len(out), ROWS):
                a, target = x[i : i + ROWS], out[i : i + ROWS, begin:end]
                if len(a) == ROWS:
                    if wide:
                        _tile(a, w, target, onto, ahead, more)
                    else:
                        _narrow(a, w, target, onto, ahead, more)
                    continue
                for r in range(len(a)):
                    if wide:
                        _row_of_tile(a[r : r + 1], w, target[r : r + 1], onto, ahead, more)
                    else:
                        _row_of_narrow(a[r : r + 1], w, target[r : r + 1], onto, ahead, more)
            begin = end

    return implementation


@kernel
def multiply_rows(x, weight, out, onto):
    """out = x @ weight, or += where `onto`.

    x       float (n, d_in)
    weight  of the same dtype (d_in, d_out), C-contiguous
    out     (n, d_out), C-contiguous

    n d_in d_out fused multiply-adds at nearly the peak rate; the next rows are prefetched.
    """
    for begin in range(0, len(x), CACHED_ROWS):
        rows = slice(begin, begin + CACHED_ROWS)
        _multiply(x[rows], weight, out[rows], onto, ROWS * x.strides[0], ROWS * x.itemsize)


@kernel
def multiply_columns(x, dy, out):
    """out = x^T @ dy, summed in the order of the rows.

    x    float (n, d_in)
    dy   of the same dtype (n, d_out), C-contiguous
    out  (d_in, d_out), C-contiguous, overwritten
    """
    out[:] = 0
    for begin in range(0, len(x), CACHED_ROWS):
        rows = slice(begin, begin + CACHED_ROWS)
        _multiply(x[rows].T, dy[rows], out, True, CACHED_ROWS * x.strides[0], x.strides[0])
