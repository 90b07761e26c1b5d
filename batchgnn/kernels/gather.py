"""Rows gathered from the memory-mapped shards of a rank and from a buffer of fetched rows."""

from numba import prange

from batchgnn.kernels.address import array_at, part_of
from batchgnn.kernels.half import widen
from batchgnn.kernels.jit import kernel, parallel_kernel


@parallel_kernel
def gather_rows(rows, first_row, address, like, fetched, out):
    """out[i] = own row rows[i], or fetched row -1 - rows[i] when rows[i] is negative.

    rows       int64 (n,)
    first_row  int64 (k + 1,)  first own row of each of the rank's k shards
    address    uint64 (k,)     each shard's matrix of `like`'s dtype, d columns, row after row
    fetched    (h, d)          rows that other ranks sent, of `like`'s dtype
    out        (n, d)          overwritten; float16 bits (uint16) are widened into a float array

    Reads and writes n d elements once; the result does not depend on the number of threads.
    """
    width = out.shape[1]
    for i in prange(len(rows)):
        target = out[i]
        if rows[i] < 0:
            source = fetched[-1 - rows[i]]
            for j in range(width):
                target[j] = widen(source[j], out)
        else:
            shard = part_of(first_row, rows[i])
            row = rows[i] - first_row[shard]
            source = array_at(address[shard], (row + 1, width), like)[row]
            for j in range(width):
                target[j] = widen(source[j], out)


@kernel
def gather_values(rows, first_row, address, like, out):
    """out[i] = own value rows[i] of a vector that lies in the rank's shards; as `gather_rows`."""
    for i in range(len(rows)):
        shard = part_of(first_row, rows[i])
        row = rows[i] - first_row[shard]
        out[i] = array_at(address[shard], (row + 1,), like)[row]
