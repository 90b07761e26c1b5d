"""Global ids to the rows of a block, by an open-addressing hash table.

A table is two arrays of a power-of-two length: `table_id` (ids' dtype) and `table_row` (int32,
-1 = free). Rows are given in the order of first appearance, so they are the same on every machine.
"""

import numpy as np

from batchgnn.kernels.jit import kernel
from batchgnn.kernels.rng import mix


@kernel
def find_or_add(ident, table_id, table_row, new_row):
    """The row of `ident`; when it has none, it gets `new_row`."""
    mask = np.uint64(len(table_id) - 1)
    slot = mix(np.uint64(ident)) & mask
    while table_row[slot] >= 0:
        if table_id[slot] == ident:
            return table_row[slot]
        slot = (slot + np.uint64(1)) & mask
    table_id[slot] = ident
    table_row[slot] = new_row
    return new_row


@kernel
def add_distinct(ids, count, table_id, table_row):
    """Enter ids[:count], all distinct, as rows 0 ... count - 1; the table is cleared first."""
    table_row[:] = -1
    for i in range(count):
        find_or_add(ids[i], table_id, table_row, np.int32(i))


@kernel
def relabel(neighbors, table_id, table_row, ids, num_ids, indices):
    """Rows of `neighbors`; ids not met before are appended to `ids`.

    neighbors  uint32/uint64 (m,)
    ids        same dtype, ids[:num_ids] are in the table; room for m more
    indices    int32 (m,)   overwritten
    Returns the new number of ids.
    """
    for e in range(len(neighbors)):
        row = find_or_add(neighbors[e], table_id, table_row, np.int32(num_ids))
        if row == num_ids:
            ids[num_ids] = neighbors[e]
            num_ids += 1
        indices[e] = row
    return num_ids


@kernel
def relabel_rows(
    request, edge_start, neighbors, table_id, table_row, ids, num_ids, indptr, indices
):
    """`relabel` of one minibatch's share of the replies to a macrobatch's requests.

    request     int64 (n,)     place of each target's request among all requests
    edge_start  int64 (R + 1,) where each request's neighbours begin in `neighbors`
    indptr      int64 (n + 1,) of the block; indices int32 (indptr[n],) overwritten
    Returns the new number of ids.
    """
    for i in range(len(request)):
        begin, end = edge_start[request[i]], edge_start[request[i] + 1]
        num_ids = relabel(
            neighbors[begin:end],
            table_id,
            table_row,
            ids,
            num_ids,
            indices[indptr[i] : indptr[i + 1]],
        )
    return num_ids


@kernel
def place_rows(ids, owner, local_row, me, table_id, table_row, remote_ids, num_remote, rows):
    """Where each input row will be found: an own row, or -1 - (place among the fetched rows).

    ids, owner, local_row  (n,)   global id, owning rank, row at its owner
    remote_ids  ids' dtype        distinct remote ids met so far, `num_remote` of them; appended to
    rows        int64 (n,)        overwritten
    Returns the new number of remote ids.
    """
    for i in range(len(ids)):
        if owner[i] == me:
            rows[i] = local_row[i]
        else:
            row = find_or_add(ids[i], table_id, table_row, np.int32(num_remote))
            if row == num_remote:
                remote_ids[num_remote] = ids[i]
                num_remote += 1
            rows[i] = -1 - row
    return num_remote


@kernel
def renumber_fetched(rows, place):
    """Fetched rows arrive grouped by owner: row -1 - r becomes -1 - place[r], in place."""
    for i in range(len(rows)):
        if rows[i] < 0:
            rows[i] = -1 - place[-1 - rows[i]]
