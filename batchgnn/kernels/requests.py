"""Sampling requests on their way to the owners, and replies on their way back into blocks."""

from batchgnn.kernels.jit import kernel


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


@kernel
def read_replies(request, count, degree, indptr, target_degree):
    """A block's indptr (n + 1,) and in-degrees (n,), int64, from the replies to its requests."""
    indptr[0] = 0
    for i in range(len(request)):
        indptr[i + 1] = indptr[i] + count[request[i]]
        target_degree[i] = degree[request[i]]


@kernel
def copy_segments(request, edge_start, values, indptr, out):
    """out[indptr[i] : indptr[i + 1]] = the values that came with request[i]."""
    for i in range(len(request)):
        begin = edge_start[request[i]]
        for j in range(indptr[i + 1] - indptr[i]):
            out[indptr[i] + j] = values[begin + j]
