"""How probably sampling reaches a vertex: sums over out-edges, and the rows of what they lead to.

Targets outside a shard are known by a bit per vertex of the graph.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.address import array_at, part_of
from batchgnn.kernels.jit import kernel, parallel_kernel

WORD = 64
PAIRS, FOURS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
EIGHTS = np.uint64(0x0F0F0F0F0F0F0F0F)


class ShardEdges(NamedTuple):
    """The out-edges (or in-edges) of a rank's k shards, where they lie.

    first_row        int64 (k + 1,)  first own row of each shard
    indptr_address   uint64 (k,)     each shard's indptr, int64
    indices_address  uint64 (k,)     each shard's indices, of `like`'s dtype
    like             (0,)
    first_id         int64 (k,)      id of the first vertex of each shard
    """

    first_row: np.ndarray
    indptr_address: np.ndarray
    indices_address: np.ndarray
    like: np.ndarray
    first_id: np.ndarray


class Marked(NamedTuple):
    """Marked vertices, and their rows: the n-th set bit stands for row row_of[n].

    seen    uint64 (ceil(N / 64),)  a bit for each vertex of the graph
    before  int64 (words,)          set bits before each word of `seen`
    row_of  int64 (set bits,)
    """

    seen: np.ndarray
    before: np.ndarray
    row_of: np.ndarray


def marked_rows(seen: np.ndarray, row_of: np.ndarray) -> Marked:
    """The vertices that `mark_targets` marked, with the row of each."""
    ones = np.bitwise_count(seen).astype(np.int64)
    return Marked(seen, np.cumsum(ones) - ones, row_of)


@kernel
def mark_targets(edges, seen):
    """Set the bits of all vertices to which `edges`, ShardEdges, lead out of their shard.

    seen  uint64 (ceil(N / 64),)  bits are added
    """
    first_row, indptr_address, indices_address, like, first_id = edges
    for shard in range(len(first_id)):
        num_rows = first_row[shard + 1] - first_row[shard]
        indptr = array_at(indptr_address[shard], (num_rows + 1,), first_row)
        indices = array_at(indices_address[shard], (indptr[num_rows],), like)
        for e in range(len(indices)):
            ident = np.int64(indices[e])
            if ident < first_id[shard] or ident >= first_id[shard] + num_rows:
                seen[ident // WORD] |= np.uint64(1) << np.uint64(ident % WORD)


@register_jitable
def count_below(ident, seen, before):
    """Set bits before that of `ident`: its place among all marked vertices."""
    mask = (np.uint64(1) << np.uint64(ident % WORD)) - np.uint64(1)
    x = seen[ident // WORD] & mask
    x = x - ((x >> np.uint64(1)) & PAIRS)
    x = (x & FOURS) + ((x >> np.uint64(2)) & FOURS)
    x = (x + (x >> np.uint64(4))) & EIGHTS
    for shift in (8, 16, 32):
        x = x + (x >> np.uint64(shift))
    return before[ident // WORD] + np.int64(x & np.uint64(127))


@parallel_kernel
def add_over_targets(edges, marked, x, out):
    """out[u] += sum of x[row of v] over the out-edges u -> v.

    edges   ShardEdges, the out-edges
    marked  Marked              rows of x; own vertices have their own row
    x       float32 (rows, k)   own rows first
    out     float32 (own, k)    added to

    Edges are added in the order of the file, so that neither the number of threads nor that of
    ranks changes a bit. O(m k) time; each edge reads a row of x at random.
    """
    first_row, indptr_address, indices_address, like, first_id = edges
    seen, before, row_of = marked
    width = out.shape[1]
    for i in prange(out.shape[0]):
        shard = part_of(first_row, i)
        begin, row = first_row[shard], i - first_row[shard]
        num_rows = first_row[shard + 1] - begin
        indptr = array_at(indptr_address[shard], (row + 2,), first_row)
        indices = array_at(indices_address[shard], (indptr[row + 1],), like)
        total = out[i]
        for e in range(indptr[row], indptr[row + 1]):
            ident = np.int64(indices[e])
            place = ident - first_id[shard]
            if place < 0 or place >= num_rows:
                place = row_of[count_below(ident, seen, before)]
            else:
                place += begin
            for j in range(width):
                total[j] += x[place, j]


@parallel_kernel
def log_missed_by_edge(log_missed, degree, fanout, out):
    """out[v] = log of the probability that a sampled v does not draw one given in-edge.

    log_missed  float32 (n, k)  log of the probability that v was not sampled
    degree      int64 (n,)      in-degree
    fanout      int             edges drawn per vertex; -1 = all
    out         float32 (n, k)  overwritten: log(1 - q p), q = min(1, fanout / degree)
    """
    for i in prange(out.shape[0]):
        share = 1.0
        if fanout >= 0 and degree[i] > fanout:
            share = fanout / degree[i]
        for j in range(out.shape[1]):
            missed = share * np.expm1(log_missed[i, j])
            out[i, j] = np.log1p(missed) if missed > -1.0 else -np.inf
