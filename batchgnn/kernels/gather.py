"""Rows gathered from the memory-mapped shards of a rank, and the addresses of rows anywhere."""

import numpy as np
from numba import prange

from batchgnn.kernels.address import array_at, part_of
from batchgnn.kernels.half import widen
from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rows import AHEAD, prefetch_row, row_at

NUM_SHARES = 128


@parallel_kernel
def address_rows(rows, first_row, address, row_bytes, fetched_address, fetched_bytes, out):
    """Where each row begins: own row rows[i], or fetched row -1 - rows[i] when rows[i] < 0.

    rows             int64 (n,)
    first_row        int64 (k + 1,)  first own row of each of the rank's k parts
    address          uint64 (k,)     where each part's matrix begins, row after row
    row_bytes        int             bytes of a row of the parts
    fetched_address  int             where the matrix of fetched rows begins
    fetched_bytes    int             from one of its rows to the next
    out              uint64 (n,)     overwritten
    """
    size, fetched_size = np.uint64(row_bytes), np.uint64(fetched_bytes)
    for i in prange(len(rows)):
        if rows[i] < 0:
            out[i] = np.uint64(fetched_address) + np.uint64(-1 - rows[i]) * fetched_size
        else:
            part = part_of(first_row, rows[i])
            out[i] = address[part] + np.uint64(rows[i] - first_row[part]) * size


@parallel_kernel
def copy_rows(x, out):
    """out[i] = row i of x, a matrix or Rows; (n, d), overwritten; halves are widened into floats.

    Reads and writes n d elements once.
    """
    num_rows, width = out.shape
    for share in prange(NUM_SHARES):
        end = num_rows * (share + 1) // NUM_SHARES
        for i in range(num_rows * share // NUM_SHARES, end):
            if i + AHEAD < end:
                prefetch_row(x, i + AHEAD)
            source, target = row_at(x, i), out[i]
            for j in range(width):
                target[j] = widen(source[j], out)


@kernel
def gather_values(rows, first_row, address, like, out):
    """out[i] = own value rows[i] of a vector that lies in the rank's shards.

    rows, first_row, address as `address_rows`; like, out: arrays of the vector's dtype.
    """
    for i in range(len(rows)):
        shard = part_of(first_row, rows[i])
        row = rows[i] - first_row[shard]
        out[i] = array_at(address[shard], (row + 1,), like)[row]
