"""Edges split for link prediction: those of training are the topology, others are held out.

An edge's part follows from a hash of its unordered pair of vertices, so that all parallel and
reverse arcs of a pair go together. Held-out edges lie as arcs with the owner of their source, of an
undirected graph in both directions, each once, ascending: what a vertex is joined to is known where
the vertex is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.pairs import hash_pairs
from batchgnn.kernels.rng import stream_key
from batchgnn.store.spec import Spec, parsed_spec

HELD_OUT = {"val": "link/val", "test": "link/test"}
"By split: dataset of its arcs, (m, 2), source and target."

WALKED_ARCS = 1 << 20
"Arcs that are looked at together."


@dataclass(frozen=True)
class LinkSpec(Spec):
    """Shares of the pairs that are for training, validation and test, and the seed of the draw.

    is_given: edges said themselves which part they are of; shares are those of the edges
    """

    train: float
    val: float
    test: float
    seed: int = 0
    is_given: bool = False

    def part(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """int (m,): 0, 1, 2 = the pair is of training, validation, test.

        source, target: int64 (m,), rows of the graph store, so that the cut does not matter
        """
        drawn = pair_bits(self.seed, Purpose.LINK_SPLIT, source, target) / 2.0**64
        return np.searchsorted([self.train, self.train + self.val], drawn, side="right")


def split_of(text: str) -> LinkSpec | None:
    """The `LinkSpec` of an attribute; None of an empty one. Raises ValueError for another text."""
    return parsed_spec(LinkSpec, text, "a split of edges")


def link_layout(
    held_out: Sequence[int], id_dtype: np.dtype
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Dataset -> (dtype, shape) of a shard's held-out arcs; held_out: of validation, of test."""
    return {
        name: (id_dtype, (int(count), 2))
        for name, count in zip(HELD_OUT.values(), held_out, strict=True)
    }


def pair_bits(seed: int, purpose: Purpose, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """uint64 (m,): what each unordered pair draws; source, target: integers (m,)."""
    key, bits = np.uint64(stream_key(seed, purpose, 0, 0, 0)), np.empty(len(source), np.uint64)
    hash_pairs(key, source.astype(np.int64), target.astype(np.int64), bits)
    return bits


def stands_for_edge(source: np.ndarray, target: np.ndarray, *, directed: bool) -> np.ndarray:
    """bool (m,): whether an arc is the one that is trained on or scored, of those of its edge.

    Both arcs of an undirected edge are asked for, by ids of the shard store: one is taken, as
    likely the one as the other. Every arc of a directed graph stands for itself.
    """
    if directed:
        return np.ones(len(source), bool)
    larger_first = pair_bits(0, Purpose.LINK_SOURCE, source, target) >> np.uint64(63) == 1
    return (source > target) == larger_first


def arc_numbers(
    indptr: np.ndarray, indices: np.ndarray, first_vertex: int, num_vertices: int
) -> np.ndarray:
    """int64 (m,): source x num_vertices + target of the arcs out of consecutive vertices."""
    target = indices[indptr[0] : indptr[-1]].astype(np.int64)
    degree = np.diff(indptr)
    source = first_vertex + np.repeat(np.arange(len(degree)), degree)
    return source * num_vertices + target


def link_seeds(
    indptr: np.ndarray,
    indices: np.ndarray,
    first_vertex: int,
    *,
    num_vertices: int,
    directed: bool,
) -> Iterator[np.ndarray]:
    """The edges of a shard that are trained on, each once and no loops: int64 (k,), in chunks.

    An edge u -> v is the number u x num_vertices + v, by ids of the shard store. Its shard is that
    of its source. The arcs are those out of the shard's vertices, ascending within a row.
    """
    cuts = np.searchsorted(indptr, np.arange(indptr[0], indptr[-1], WALKED_ARCS))
    for begin, end in pairwise([*np.unique(cuts).tolist(), len(indptr) - 1]):
        number = arc_numbers(indptr[begin : end + 1], indices, first_vertex + begin, num_vertices)
        source, target = np.divmod(number, num_vertices)
        chosen = (source != target) & stands_for_edge(source, target, directed=directed)
        chosen[1:] &= number[1:] != number[:-1]  # parallel arcs are one edge
        yield number[chosen]
