"""Neighbour sampling without replacement, on the shards that hold the in-edges.

A draw depends on (stream key, vertex id, degree, fanout) alone, so that any rank, thread or order
gives the same neighbours. Two passes: `locate` finds where each list lies and how much of it is
drawn, `draw_neighbors` fills. Both wait for random reads, and ask for them AHEAD rows early.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from batchgnn.kernels.address import array_at, part_of, prefetch_line
from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rng import below, draw

SMALL_FANOUT = 32
NUM_SHARES = 64
AHEAD = 16
MOST_LINES = 6
"Cache lines of an adjacency list that are asked for early."


@parallel_kernel
def locate(rows, first_row, indptr_address, address, itemsize, fanout, where, degree, count):
    """Where the in-edges of own rows lie, and how many of them are drawn.

    rows            int64  (n,)     own rows of this rank, over its shards
    first_row       int64  (k + 1,) first own row of each of its k shards
    indptr_address  uint64 (k,)     each shard's in/indptr, int64
    address         uint64 (k,)     each shard's in/indices (or in/weight), of `itemsize` bytes each
    fanout          int             edges kept per row; -1 = all
    where           uint64 (n,)     overwritten: address of the row's first edge
    degree, count   int64 (n,)      overwritten: in-degree, number of edges drawn
    """
    for share in prange(NUM_SHARES):
        end = len(rows) * (share + 1) // NUM_SHARES
        for i in range(len(rows) * share // NUM_SHARES, end):
            if i + AHEAD < end:
                shard = part_of(first_row, rows[i + AHEAD])
                later = rows[i + AHEAD] - first_row[shard]
                prefetch_line(indptr_address[shard] + np.uint64(8 * later))
            shard = part_of(first_row, rows[i])
            row = rows[i] - first_row[shard]
            indptr = array_at(indptr_address[shard], (row + 2,), degree)
            where[i] = address[shard] + np.uint64(indptr[row] * itemsize)
            degree[i] = indptr[row + 1] - indptr[row]
            count[i] = degree[i] if fanout < 0 else min(degree[i], fanout)


@kernel
def choose(key, degree, count, out):
    """`count` distinct positions below `degree`, uniform among all such sets.

    Floyd's algorithm (CACM 30(9), 1987) for few, Knuth's selection sampling (TAOCP 3.4.2 S) for
    many: which of the two depends on `count` only. out int64, overwritten up to count.
    """
    if count == degree:
        for j in range(count):
            out[j] = j
    elif count <= SMALL_FANOUT:
        for j in range(count):
            top = degree - count + j
            position = below(draw(key, np.uint64(j)), top + 1)
            taken = False
            for i in range(j):  # without a break, so that it needs no branch
                taken |= out[i] == position
            out[j] = top if taken else position
    else:
        num_taken = 0
        for position in range(degree):
            if below(draw(key, np.uint64(position)), degree - position) < count - num_taken:
                out[num_taken] = position
                num_taken += 1


@parallel_kernel
def draw_neighbors(keys, ids, where, degree, count, start, positions, out):
    """Global ids of the drawn in-neighbours of each row, or their edges' weights.

    keys       uint64 (n,)  stream key of each row's minibatch and hop
    ids        uint32/uint64 (n,)  global ids of the rows
    where, degree, count    of `locate`; the lists are of `out`'s dtype
    start      int64 (n + 1,)  where each row's drawn edges begin in `out`
    positions  int64 (NUM_SHARES, at least max(count))  scratch
    out        (start[n],)  overwritten
    """
    for share in prange(NUM_SHARES):
        end = len(ids) * (share + 1) // NUM_SHARES
        place = positions[share]
        for i in range(len(ids) * share // NUM_SHARES, end):
            if i + AHEAD < end:
                later = where[i + AHEAD]
                for line in range(min(MOST_LINES, 1 + degree[i + AHEAD] * out.itemsize // 64)):
                    prefetch_line(later + np.uint64(64 * line))
            source = array_at(where[i], (degree[i],), out)
            if count[i] == degree[i]:
                for j in range(count[i]):
                    out[start[i] + j] = source[j]
            else:
                choose(draw(keys[i], np.uint64(ids[i])), degree[i], count[i], place)
                for j in range(count[i]):
                    out[start[i] + j] = source[place[j]]


class Listed(NamedTuple):
    """Edges that are left out in each of M steps, by step, target and source.

    start           int64 (M + 1,)  where each step's begin
    target, source  int64 (m,)
    """

    start: np.ndarray
    target: np.ndarray
    source: np.ndarray


@parallel_kernel
def keep_others(step, ids, edge_start, neighbors, listed, keep, count):
    """Which drawn edges are not among those that their step leaves out.

    step        int64 (n,)             of each row
    ids         uint32/uint64 (n,)     global ids of the rows
    edge_start  int64 (n + 1,)         where each row's drawn edges begin
    neighbors   ids' dtype (m,)        their sources
    keep        bool (m,)   overwritten
    count       int64 (n,)  overwritten: how many of each row are kept
    """
    for i in prange(len(ids)):
        begin, end = listed.start[step[i]], listed.start[step[i] + 1]
        target, ident = listed.target[begin:end], np.int64(ids[i])
        first = begin + np.searchsorted(target, ident)
        sources = listed.source[first : begin + np.searchsorted(target, ident + 1)]
        num_kept = 0
        for e in range(edge_start[i], edge_start[i + 1]):
            source = np.int64(neighbors[e])
            place = np.searchsorted(sources, source)
            keep[e] = place == len(sources) or sources[place] != source
            num_kept += keep[e]
        count[i] = num_kept
