"""The halo by minimum vertex cover: of some remote sources the rows travel, of the others sums.

The edges from the vertices of one rank to those of another are a bipartite graph. Where all of them
have an end in a set of vertices, the rank needs the rows of the sources in the set, and for each
target in it one sum over the edges whose source is not: as many rows as the set has vertices. A
smallest one has as many as a maximum matching has edges (Koenig), never more than there are
sources. The pre- and post-aggregation of SuperGCN (arXiv:2411.16025). Any set of rows to be sent is
exact: the targets whose sums are needed follow from it.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from batchgnn.comm.exchange import Lanes, RowExchange, exchange_counts, exchange_parts, starts
from batchgnn.graph.block import Block
from batchgnn.kernels.cover import reach_alternating
from batchgnn.kernels.segment import transpose_csr
from batchgnn.kernels.spmm import NO_WEIGHTS, PER_EDGE, UNWEIGHTED
from batchgnn.operators.part import Part
from batchgnn.operators.sent import SentSums

MOST_EDGES = np.iinfo(np.int32).max
"Between two ranks that SciPy's matching can count; where there are more, all rows travel."


class Terms(NamedTuple):
    """Of what is to come in.

    place, source  integers (t,)  where its sum will lie, and its row among those of the exchange
    weight         float32 (t,), or None: all 1
    """

    place: np.ndarray
    source: np.ndarray
    weight: np.ndarray | None


def choose_rows(block: Block, counts: np.ndarray) -> tuple[np.ndarray, int]:
    """Which remote sources send their rows, bool (h,), and how many rows travel, with the sums.

    block: own vertices, and as sources they and then the remote ones, by owner
    counts: int64 (P,), how many remote ones each rank owns
    """
    num_own, num_halo = block.num_targets, block.num_sources - block.num_targets
    indptr, targets = _far_edges(block)
    chosen, num_rows = np.empty(num_halo, bool), 0
    for begin, end in pairwise(starts(counts).tolist()):
        first, last = indptr[begin], indptr[end]
        edges = indptr[begin : end + 1] - first, targets[first:last]
        chosen[begin:end], num = minimum_cover(*edges, num_own)
        num_rows += num
    return chosen, num_rows


def minimum_cover(
    indptr: np.ndarray, targets: np.ndarray, num_targets: int
) -> tuple[np.ndarray, int]:
    """The sources in a minimum vertex cover, bool (n,), and the vertices in it, of both kinds.

    indptr int64 (n + 1,), targets int32 (m,): edges by source; every source has one
    """
    num_sources, num_edges = len(indptr) - 1, len(targets)
    if not num_sources or num_edges > MOST_EDGES:
        return np.ones(num_sources, bool), num_sources
    there = np.ones(num_edges, np.uint8)
    shape = num_sources, num_targets
    graph = csr_array((there, targets, indptr.astype(np.int32)), shape)
    match = maximum_bipartite_matching(graph, perm_type="column")
    matched = np.flatnonzero(match >= 0)
    inverse = np.full(num_targets, -1, np.int32)
    inverse[match[matched]] = matched
    reached, queue = np.empty(num_sources, bool), np.empty(num_sources, np.int32)
    reach_alternating(indptr, targets, match, inverse, reached, queue)
    return ~reached, len(matched)


def covered(halo: Part, exchange: RowExchange, chosen: np.ndarray) -> tuple[Part, Lanes, SentSums]:
    """The same product by fewer rows: edges from what comes in, its plan, what goes out.

    Collective. What comes in are, of each rank, its chosen rows and then its sums by target.
    halo: edges from all rows that `exchange` fetches; chosen: bool (h,), those to be fetched
    """
    counts, num_ranks = exchange.recv_counts, exchange.comm.size
    owner = np.repeat(np.arange(num_ranks, dtype=np.min_scalar_type(num_ranks)), counts)
    (indptr, sources), weighted = halo.edges, halo.per == PER_EDGE
    targets = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    by_row = chosen[sources]
    near, far = np.flatnonzero(by_row), np.flatnonzero(~by_row)
    far = far[np.argsort(owner[sources[far]], kind="stable")]  # by owner, and then by target
    is_first = _differs(owner[sources[far]]) | _differs(targets[far])
    sums = far[is_first]  # an edge of each
    rows = np.flatnonzero(chosen)
    place, lanes = _placed(exchange, np.concatenate([owner[rows], owner[sources[sums]]]))
    row_place, sum_place = np.split(place, [len(rows)])
    place_of = np.empty(len(chosen), np.int32)
    place_of[rows] = row_place
    weight = halo.weight
    if weighted:
        weight = np.concatenate([weight[near], np.ones(len(sums), np.float32)])
    into = np.concatenate([targets[near], targets[sums]])
    come = np.concatenate([place_of[sources[near]], sum_place])
    received = _by_target(into, come, weight, halo.per, halo.num_targets, lanes.num_received)
    terms = Terms(
        np.concatenate([row_place, sum_place[np.cumsum(is_first) - 1]]),
        np.concatenate([rows, sources[far]]),
        np.concatenate([np.ones(len(rows), np.float32), halo.weight[far]]) if weighted else None,
    )
    return received, lanes, SentSums(_tell(exchange, lanes, owner, terms, halo.num_targets))


def _far_edges(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """indptr int64 (h + 1,) and targets int32 of the edges from remote sources, by source."""
    num_own, num_halo = block.num_targets, block.num_sources - block.num_targets
    far = block.indices >= num_own
    before = starts(far)
    sources = block.indices[far] - np.int32(num_own)
    indptr, targets = np.empty(num_halo + 1, np.int64), np.empty_like(sources)
    transpose_csr(before[block.indptr], sources, indptr, targets, np.empty(len(sources), np.int64))
    return indptr, targets


def _differs(values: np.ndarray) -> np.ndarray:
    """bool (n,): whether each differs from the one before; the first does."""
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])


def _placed(exchange: RowExchange, owner: np.ndarray) -> tuple[np.ndarray, Lanes]:
    """Where what each rank sends will lie, int32, in this order by rank; and the plan of it."""
    place = np.empty(len(owner), np.int32)
    place[np.argsort(owner, kind="stable")] = np.arange(len(owner), dtype=np.int32)
    comm, counts = exchange.comm, np.bincount(owner, minlength=exchange.comm.size)
    theirs = exchange_counts(comm, counts, f"{exchange.name} ids")
    return place, Lanes(comm, counts, theirs, exchange.name)


def _by_target(
    targets: np.ndarray,
    sources: np.ndarray,
    weight: np.ndarray,
    per: int,
    num_targets: int,
    num_sources: int,
) -> Part:
    """The CSR of edges; weight: one an edge with PER_EDGE, else it stays as it is."""
    order = np.argsort(targets, kind="stable")
    indptr = starts(np.bincount(targets, minlength=num_targets))
    weight = weight[order] if per == PER_EDGE else weight
    return Part(indptr, sources[order], weight, per, num_sources)


def _tell(
    exchange: RowExchange, lanes: Lanes, owner: np.ndarray, terms: Terms, num_own: int
) -> Part:
    """Tell each rank what its sums are made of; what the others' are of own rows."""
    comm, name = exchange.comm, f"{exchange.name} ids"
    order = np.argsort(terms.place, kind="stable")
    source = terms.source[order]
    counts = np.bincount(owner[source], minlength=comm.size)
    told = Lanes(comm, counts, exchange_counts(comm, counts, name), name)

    def to_owners(mine: np.ndarray, by: Lanes) -> np.ndarray:
        theirs = np.empty(by.num_sent, mine.dtype)
        exchange_parts(comm, mine, by.recv_counts, theirs, by.send_counts, name)
        return theirs

    lengths = to_owners(np.bincount(terms.place, minlength=lanes.num_received), lanes)
    asked = to_owners(source - np.repeat(starts(exchange.recv_counts)[:-1], counts), told)
    asked += np.repeat(starts(exchange.send_counts)[:-1], told.send_counts)
    rows = exchange.send_rows[asked].astype(np.int32)
    if terms.weight is None:
        return Part(starts(lengths), rows, NO_WEIGHTS, UNWEIGHTED, num_own)
    weight = to_owners(terms.weight[order], told)
    return Part(starts(lengths), rows, weight, PER_EDGE, num_own)
