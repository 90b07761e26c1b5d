"""Which remote rows a rank holds copies of: an open-addressing hash table from ids to rows.

The table is two arrays of a power-of-two length, at least twice as long as there are ids:
`table_id` (ids' dtype) and `table_row` (int32, -1 = free).
"""

import numpy as np
from numba import prange

from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rng import mix


@kernel
def enter_rows(ids, table_id, table_row):
    """Enter the distinct ids (n,) as rows 0 ... n - 1; the table is cleared first."""
    mask = np.uint64(len(table_id) - 1)
    table_row[:] = -1
    for i in range(len(ids)):
        slot = mix(np.uint64(ids[i])) & mask
        while table_row[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        table_id[slot] = ids[i]
        table_row[slot] = i


@parallel_kernel
def redirect_rows(ids, owner, local_row, me, first_cached, table_id, table_row):
    """Rows of other ranks that are in the table become rows of this rank, in place.

    ids        uint32/uint64 (n,)
    owner      int32 (n,)   a remote id in the table gets `me`
    local_row  int64 (n,)   and first_cached + its row in the table
    """
    mask = np.uint64(len(table_id) - 1)
    for i in prange(len(ids)):
        if owner[i] != me:
            slot = mix(np.uint64(ids[i])) & mask
            while table_row[slot] >= 0:
                if table_id[slot] == ids[i]:
                    owner[i] = me
                    local_row[i] = first_cached + table_row[slot]
                    break
                slot = (slot + np.uint64(1)) & mask
