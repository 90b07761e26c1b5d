"""Rows cut into slices of columns for other ranks, and put together again.

Each rank gets its slice as a block of its own, row after row, so that a message is one piece of
memory. Rows are scaled on the way: D A D of GCN and D A of a mean cost no pass of their own.
"""

from numba import prange

from batchgnn.kernels.half import widen
from batchgnn.kernels.jit import parallel_kernel


@parallel_kernel
def pack_columns(x, rows, scale, bounds, out):
    """For each p, one after the other: columns bounds[p] : bounds[p + 1] of rows of x, scaled.

    x       float32 or float64 (n, at least d)
    rows    int64 (k,)       which rows
    scale   float32 (n,)     what each row of x is multiplied by; empty: nothing
    bounds  int64 (P + 1,)   from 0 to d
    out     as x (k d,)      overwritten: block p begins at k bounds[p]
    """
    num_rows = len(rows)
    for i in prange(num_rows):
        source = x[rows[i]]
        for p in range(len(bounds) - 1):
            width = bounds[p + 1] - bounds[p]
            begin = num_rows * bounds[p] + i * width
            if len(scale) > 0:
                factor = scale[rows[i]]
                for j in range(width):
                    out[begin + j] = source[bounds[p] + j] * factor
            else:
                for j in range(width):
                    out[begin + j] = source[bounds[p] + j]


@parallel_kernel
def unpack_columns(blocks, bounds, count, first, scale, coefficient, x, column, out):
    """out[v] = scale[v] * (the blocks side by side) + coefficient[v] * x[v, column : column + d].

    blocks       float32, float64 or bits of halves (count d,)  as `pack_columns` leaves them
    bounds       int64 (P + 1,)    from 0 to d
    count, first                   the rows v = first ... first + count - 1 of out
    scale        float32 (n,)      empty: 1
    coefficient  float64 (n,)      empty: 0, and x is not read
    x            as out (n, at least column + d)
    out          float (n, at least d)  overwritten in these rows and the first d columns
    """
    for i in prange(count):
        v = first + i
        target = out[v]
        for p in range(len(bounds) - 1):
            width = bounds[p + 1] - bounds[p]
            begin = count * bounds[p] + i * width
            if len(scale) > 0:
                for j in range(width):
                    target[bounds[p] + j] = widen(blocks[begin + j], out) * scale[v]
            else:
                for j in range(width):
                    target[bounds[p] + j] = widen(blocks[begin + j], out)
        if len(coefficient) > 0:
            for j in range(bounds[-1]):
                target[j] += coefficient[v] * x[v, column + j]
