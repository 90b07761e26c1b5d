"""Global ids to the rows of a block, by tables that are used again without being cleared.

A table is `marks` (int64: a stamp in the upper half, a row in the lower): an entry counts when it
has the stamp of the day. Either there is a slot for each vertex of the graph, and `idents` is
empty; or a power-of-two number of slots of an open-addressing hash table, and `idents` says whose
they are. Rows are given in the order of first appearance, so they are the same on every machine.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.address import prefetch
from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rng import mix

AHEAD = 16
LOW_HALF = np.int64(0xFFFFFFFF)
SHIFT = np.int64(32)


class Table(NamedTuple):
    """A table of rows by ids; of T threads, with another axis before the slots.

    idents  uint32/uint64 (slots,), or empty
    marks   int64 (slots,)
    stamp   int
    """

    idents: np.ndarray
    marks: np.ndarray
    stamp: int


@register_jitable
def _first_slot(ident, idents, marks):
    if len(idents) == 0:
        return np.int64(ident)
    return np.int64(mix(np.uint64(ident)) & np.uint64(len(marks) - 1))


@kernel
def find_or_add(ident, idents, marks, stamp, new_row):
    """The row of `ident`; when it has none, it gets `new_row`.

    The table comes in parts: as a record, called for each id, it took 1.6 times as long.
    """
    slot = _first_slot(ident, idents, marks)
    while marks[slot] >> SHIFT == stamp:
        if len(idents) == 0 or idents[slot] == ident:
            return marks[slot] & LOW_HALF
        slot = (slot + 1) & (len(marks) - 1)
    if len(idents) > 0:
        idents[slot] = ident
    marks[slot] = (np.int64(stamp) << SHIFT) | np.int64(new_row)
    return np.int64(new_row)


@kernel
def relabel(neighbors, table, ids, num_ids, indices):
    """Rows of `neighbors`; ids not met before are appended to `ids`.

    neighbors  uint32/uint64 (m,)
    ids        same dtype, ids[:num_ids] are in the table; room for m more
    indices    int32 (m,)   overwritten
    Returns the new number of ids.
    """
    idents, marks, stamp = table
    for e in range(len(neighbors)):
        if e + AHEAD < len(neighbors):
            prefetch(marks, _first_slot(neighbors[e + AHEAD], idents, marks))
        row = find_or_add(neighbors[e], idents, marks, stamp, num_ids)
        if row == num_ids:
            ids[num_ids] = neighbors[e]
            num_ids += 1
        indices[e] = row
    return num_ids


@parallel_kernel
def relabel_blocks(blocks, ids, edge_start, neighbors, tables, sources, num_sources, indices):
    """Number the sources of M blocks, targets first; a block is one thread's.

    blocks       requests.Blocks
    ids          uint32/uint64 (n,)  targets of all blocks, distinct within a block
    edge_start   int64 (R + 1,)   where each request's neighbours begin in `neighbors`
    tables       Table of T threads; block m has stamp + m, not used before
    sources      ids' dtype (n + edges,)  overwritten: block m's from start[m] + edge_begin[m] on
    num_sources  int64 (M,)       overwritten
    indices      int32 (edges,)   overwritten
    """
    start, request, indptr, edge_begin = blocks
    idents, marks, stamp = tables
    num_tables, num_blocks = len(marks), len(start) - 1
    for thread in prange(num_tables):
        for m in range(thread, num_blocks, num_tables):
            table = Table(idents[thread], marks[thread], stamp + m)
            first = start[m]
            mine = sources[first + edge_begin[m] : start[m + 1] + edge_begin[m + 1]]
            count = start[m + 1] - first
            for i in range(count):
                mine[i] = ids[first + i]
                find_or_add(mine[i], idents[thread], marks[thread], stamp + m, i)
            row_begin = indptr[first + m : start[m + 1] + m + 1]
            rows = indices[edge_begin[m] : edge_begin[m + 1]]
            num_ids, i = count, 0
            while i < count:
                # Neighbours of consecutive requests lie one after the other: take them together.
                last = i + 1
                while last < count and request[first + last] == request[first + last - 1] + 1:
                    last += 1
                begin, end = (
                    edge_start[request[first + i]],
                    edge_start[request[first + last - 1] + 1],
                )
                own_rows = rows[row_begin[i] : row_begin[last]]
                num_ids = relabel(neighbors[begin:end], table, mine, num_ids, own_rows)
                i = last
            num_sources[m] = num_ids


@kernel
def place_rows(ids, owner, local_row, me, table, remote_ids, num_remote, rows, touched):
    """Where each input row will be found: an own row, or -1 - (place among the fetched rows).

    ids, owner, local_row  (n,)   global id, owning rank, row at its owner
    remote_ids  ids' dtype        distinct remote ids met so far, `num_remote` of them; appended to
    rows        int64 (n,)        overwritten
    touched     uint8             set to 1 at the own rows
    Returns the new number of remote ids.
    """
    idents, marks, stamp = table
    for i in range(len(ids)):
        if i + AHEAD < len(ids) and owner[i + AHEAD] != me:
            prefetch(marks, _first_slot(ids[i + AHEAD], idents, marks))
        if owner[i] == me:
            rows[i] = local_row[i]
            touched[rows[i]] = 1
        else:
            row = find_or_add(ids[i], idents, marks, stamp, num_remote)
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
