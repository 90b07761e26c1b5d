"""Sampling requests on their way to the owners, and replies on their way back into blocks."""

from typing import NamedTuple

import numpy as np
from numba import prange

from batchgnn.kernels.jit import kernel, parallel_kernel


class Blocks(NamedTuple):
    """Where the parts of M blocks lie, which have n targets together.

    start       int64 (M + 1,)  where each block's targets begin among all n
    request     int64 (n,)      place of each target's request among all requests
    indptr      int64 (n + M,)  of `read_replies`: block m's begins at start[m] + m, with 0
    edge_begin  int64 (M + 1,)  where each block's edges begin among all edges
    """

    start: np.ndarray
    request: np.ndarray
    indptr: np.ndarray
    edge_begin: np.ndarray


@kernel
def count_owners(owner, out):
    """out[p] = how many of `owner` (int32) equal p; int64 (P,), overwritten."""
    out[:] = 0
    for i in range(len(owner)):
        out[owner[i]] += 1


@kernel
def post_requests(ids, owner, cursor, out, request):
    """Put each id behind its owner's cursor; the cursors advance.

    ids      uint32/uint64 (n,)
    owner    int32 (n,)
    cursor   int64 (P,)    next free place of each owner's part of `out`; moved
    out      ids' dtype    written at the cursors
    request  int64 (n,)    overwritten: where each id went
    """
    for i in range(len(ids)):
        place = cursor[owner[i]]
        out[place] = ids[i]
        request[i] = place
        cursor[owner[i]] = place + 1


@parallel_kernel
def read_replies(start, request, count, degree, indptr, target_degree):
    """indptr and in-degrees of M blocks from the replies to their requests.

    start, request, indptr  as in Blocks; indptr is overwritten
    count, degree  int64 (R,)      of the replies: edges drawn, and all there are
    target_degree  int64 (n,)      overwritten
    """
    for m in prange(len(start) - 1):
        total = 0
        indptr[start[m] + m] = 0
        for i in range(start[m], start[m + 1]):
            total += count[request[i]]
            indptr[i + m + 1] = total
            target_degree[i] = degree[request[i]]


@parallel_kernel
def copy_segments(blocks, edge_start, values, out):
    """What came with each edge, from the order of the requests into that of the blocks' edges.

    blocks      Blocks
    edge_start  int64 (R + 1,)  where each request's edges begin in `values`
    out         (edges,)        overwritten
    """
    start, request, indptr, edge_begin = blocks
    for m in prange(len(start) - 1):
        for i in range(start[m], start[m + 1]):
            begin, place = edge_start[request[i]], edge_begin[m] + indptr[i + m]
            for j in range(indptr[i + m + 1] - indptr[i + m]):
                out[place + j] = values[begin + j]
