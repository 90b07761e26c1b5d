"""Products of a tall matrix and a narrow one, a tile of the result at a time.

A BLAS first copies both factors into an order of its own, which a narrow product does not pay back.
Here nothing is copied or allocated. Every number of a result is one chain of fused multiply-adds in
the order of its terms, so that a row has the same bits wherever it stands.
"""

from numba.extending import overload, register_jitable

from batchgnn.kernels.jit import kernel
from batchgnn.kernels.tile import ROWS, VECTOR_BYTES, VECTORS, sum_tile

CACHED_ROWS = 96
"Rows of the tall matrix that stay in a core's cache until all tiles that need them are summed."

_tile, _row_of_tile = sum_tile(ROWS, VECTORS, False), sum_tile(1, VECTORS, False)
_one, _two, _three, _four = (sum_tile(ROWS, min(v, VECTORS), True) for v in (1, 2, 3, 4))
_row_of_end = sum_tile(1, VECTORS, True)


def _multiply(x, weight, out, onto, ahead, more):
    """out = x @ weight, or += where `onto`; ahead, more: as `sum_tile`."""
    if not onto:
        out[:] = 0
    for k in range(len(weight)):
        out += x[:, k : k + 1] * weight[k]


@overload(_multiply, inline="always")
def _multiply_tiles(x, weight, out, onto, ahead, more):
    lanes = VECTOR_BYTES // (out.dtype.bitwidth // 8)
    width = VECTORS * lanes

    def implementation(x, weight, out, onto, ahead, more):
        num_columns = out.shape[1]
        for begin in range(0, num_columns, width):
            end = min(begin + width, num_columns)
            w, vectors = weight[:, begin:end], -(-(end - begin) // lanes)
            for i in range(0, len(out), ROWS):
                a, target = x[i : i + ROWS], out[i : i + ROWS, begin:end]
                if len(a) < ROWS:
                    for r in range(len(a)):
                        if end - begin == width:
                            _row_of_tile(a[r : r + 1], w, target[r : r + 1], onto, ahead, more)
                        else:
                            _row_of_end(a[r : r + 1], w, target[r : r + 1], onto, ahead, more)
                elif end - begin == width:
                    _tile(a, w, target, onto, ahead, more)
                elif vectors == 1:
                    _one(a, w, target, onto, ahead, more)
                elif vectors == 2:
                    _two(a, w, target, onto, ahead, more)
                elif vectors == 3:
                    _three(a, w, target, onto, ahead, more)
                else:
                    _four(a, w, target, onto, ahead, more)

    return implementation


@register_jitable
def _refuse_gaps(x):
    """Raises ValueError unless numbers lie side by side in each row."""
    if x.size > 0 and x.shape[1] > 1 and x.strides[1] != x.itemsize:
        raise ValueError("only the tall factor of a product may have gaps in its rows")


@kernel
def multiply_rows(x, weight, out, onto):
    """out = x @ weight, or += where `onto`.

    x       float (n, d_in)
    weight  of the same dtype (d_in, d_out), rows without gaps
    out     (n, d_out), rows without gaps

    n d_in d_out fused multiply-adds at nearly the peak rate; the next rows are prefetched.
    """
    _refuse_gaps(weight)
    _refuse_gaps(out)
    for begin in range(0, len(x), CACHED_ROWS):
        rows = slice(begin, begin + CACHED_ROWS)
        _multiply(x[rows], weight, out[rows], onto, ROWS * x.strides[0], ROWS * x.itemsize)


@kernel
def multiply_columns(x, dy, out):
    """out = x^T @ dy, summed in the order of the rows.

    x    float (n, d_in)
    dy   of the same dtype (n, d_out), rows without gaps
    out  (d_in, d_out), rows without gaps, overwritten
    """
    _refuse_gaps(dy)
    _refuse_gaps(out)
    out[:] = 0
    for begin in range(0, len(x), CACHED_ROWS):
        rows = slice(begin, begin + CACHED_ROWS)
        _multiply(x[rows].T, dy[rows], out, True, CACHED_ROWS * x.strides[0], x.strides[0])
