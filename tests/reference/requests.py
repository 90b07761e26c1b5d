"""Requests and replies as lists; functions return their result."""

import numpy as np


def count_owners(owner, num_ranks):
    """How many of `owner` equal each rank."""
    return [list(owner).count(p) for p in range(num_ranks)]


def post_requests(ids, owner, num_ranks):
    """The ids grouped by owner, in order."""
    return [v for p in range(num_ranks) for v, o in zip(ids, owner, strict=True) if o == p]


def read_replies(request, count, degree):
    """(indptr, degrees) of the requested rows."""
    return np.cumsum([0, *(count[q] for q in request)]), [degree[q] for q in request]


def copy_segments(request, edge_start, values):
    """The values that came with each request, one after the other."""
    return np.concatenate([values[edge_start[q] : edge_start[q + 1]] for q in request])
