"""The shards of one rank as tables of addresses that kernels walk; nothing is copied.

Own rows are numbered shard after shard, as in `graph.ownership`.
"""

from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from batchgnn.base import buffers
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.address import addresses
from batchgnn.kernels.aggregate import join_rows
from batchgnn.kernels.gather import address_rows, copy_rows, gather_values
from batchgnn.kernels.half import FEATURE_DTYPES, as_bits, dtype_name
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.spmm import BESIDE
from batchgnn.kernels.walk import loop_weights
from batchgnn.store.edges import ShardEdges
from batchgnn.store.links import HELD_OUT, arc_numbers, link_seeds
from batchgnn.store.narrow import converted
from batchgnn.store.shard_store import Shard, ShardStore

WALKED_EDGES = 1 << 23
"Edges that are looked at together."


class Column:
    """One dataset over all shards of a rank: a vector, or a matrix whose rows are gathered.

    float16 is held as its bits, uint16, and travels so; kernels widen it as they read.
    """

    def __init__(self, parts: list[np.ndarray]):
        self.parts = parts = [as_bits(part) for part in parts]
        self.first_row = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        self.address = addresses(parts)
        self.dtype = parts[0].dtype
        self.width = parts[0].shape[1] if parts[0].ndim == 2 else 1
        self.like = np.empty((0, self.width) if parts[0].ndim == 2 else 0, self.dtype)

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = row rows[i] of the matrix; int64 (n,), (n, width)."""
        copy_rows(self.at(rows), out)

    def at(self, rows: np.ndarray, fetched: np.ndarray | None = None) -> Rows:
        """The addresses of own rows rows[i], or of fetched[-1 - rows[i]] where that is negative.

        fetched: (h, width), its rows contiguous. Valid as long as this column and `fetched` are.
        """
        address = buffers.empty(len(rows), np.uint64)
        other = self.like if fetched is None else fetched
        own = self.first_row, self.address, self.width * self.dtype.itemsize
        address_rows(rows, *own, other.ctypes.data, other.strides[0], address)
        return Rows(address, self.like)

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Values of the vector at `rows`."""
        out = np.empty(len(rows), self.dtype)
        gather_values(rows, self.first_row, self.address, self.like, out)
        return out


class RowSource(Protocol):
    """A matrix of own rows."""

    width: int
    dtype: np.dtype

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = row rows[i]; int64 (n,), (n, width)."""


class Beside:
    """Two matrices with the same rows as one: [left | right]."""

    def __init__(self, left: Column, right: Column):
        """left, right: of one dtype."""
        self.left, self.right = left, right
        self.width, self.dtype = left.width + right.width, left.dtype

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = both rows rows[i]."""
        join_rows(self.left.at(rows), self.right.at(rows), BESIDE, out)


class ById:
    """The rows of a matrix of own rows (a `Column` or an `ArrayRows`), asked for by global id."""

    def __init__(self, source: "RowSource", ownership: Ownership):
        self.source, self.ownership = source, ownership
        self.width, self.dtype = source.width, source.dtype

    def take(self, ids: np.ndarray, out: np.ndarray) -> None:
        """out[i] = the row of vertex ids[i], which this rank owns."""
        self.source.take(self.ownership.local_rows(ids), out)


class OwnShards:
    """Topology, features, labels and splits of the vertices that this rank owns."""

    def __init__(
        self, store: ShardStore, ownership: Ownership, rank: int, feature_dtype: str | None = None
    ):
        """feature_dtype: what `features` are held as, None = as stored; see `Settings`."""
        self.ownership, self.rank = ownership, rank
        self.shards = ownership.own_shards(rank)
        opened = [store.shard(int(s)) for s in self.shards] or [without_vertices(store.shard(0))]
        self._opened = opened
        self.path, self.manifest, self.whole = store.path, store.manifest, store.whole
        self.feature_dtype = FEATURE_DTYPES[feature_dtype or store.manifest.feature_name]
        "What `features` are held as: float32, float16, or int16 for bfloat16."
        self.features_in_memory = False
        "Whether `features` are copied into memory on first use."
        self.feature_memory: list[np.ndarray] | None = None
        "Where that copy goes, a matrix for each own shard; None: memory of this rank alone."
        self.first_row = np.cumsum([0, *(len(s.label) for s in opened)], dtype=np.int64)
        self.num_own = int(self.first_row[-1])
        self.ids = ownership.own_ids(rank).astype(store.manifest.id_dtype)

        def column(name: str) -> Column:
            return Column([getattr(shard, name) for shard in opened])

        self.in_indptr, self.in_indices = column("in_indptr"), column("in_indices")
        directed = store.manifest.directed
        self.out_indptr = column("out_indptr") if directed else self.in_indptr
        self.out_indices = column("out_indices") if directed else self.in_indices
        self.in_weight = column("in_weight") if store.manifest.weighted else None
        self.label = np.concatenate([shard.label for shard in opened])
        self.split = np.concatenate([shard.split for shard in opened])
        self.original_id = np.concatenate([shard.original_id for shard in opened])
        self._name = [shard.name for shard in opened if shard.name is not None]
        self.degree_in = np.concatenate([shard.degree_in for shard in opened])

    @cached_property
    def _gcn(self) -> tuple[np.ndarray, np.ndarray]:
        """As `gcn_norms`, of all own vertices; reads all their edges, once."""
        scales, loops = zip(*map(gcn_norms, self._opened), strict=True)
        return np.concatenate(scales), np.concatenate(loops)

    @property
    def gcn_scale(self) -> np.ndarray:
        """float32 (num_own,): the norm of GCN, rsqrt of the weighted in-degree with one loop."""
        return self._gcn[0]

    @property
    def gcn_loop(self) -> np.ndarray | None:
        """float32 (num_own,): weight of each vertex's own loop; None where it is always 1."""
        return self._gcn[1] if self.manifest.weighted else None

    @cached_property
    def features(self) -> Column:
        """The features; a copy, made on first use, in memory or narrower than stored.

        A copy is read up to half as fast again as a mapped file, whose pages are small.
        Raises DataError when a feature is too large for float16.
        """
        return Column([self._features(k) for k in range(len(self._opened))])

    def _features(self, k: int) -> np.ndarray:
        shard, where = self._opened[k], str(self.path)
        held = converted(shard.features, self.feature_dtype, shard.original_id, where)
        if self.feature_memory is not None:
            self.feature_memory[k][...] = held
            return self.feature_memory[k]
        return np.array(held) if self.features_in_memory and held is shard.features else held

    def serve(self, rows: np.ndarray) -> None:
        """Let `features` be rows in memory, (num_own, d) in own order, as they are at any time."""
        self.features = Column([rows])

    def load_features(self) -> None:
        """Make the copy that `features` may be, now; no message."""
        _ = self.features

    @property
    def copies_features(self) -> bool:
        """Whether `features` are a copy in memory; else they are mapped."""
        return self.features_in_memory or self.feature_dtype != self.manifest.feature_dtype

    @property
    def copied_feature_bytes(self) -> int:
        """Bytes of `features` when they are a copy, else 0: they are mapped."""
        return self.feature_bytes if self.copies_features else 0

    @property
    def feature_bytes(self) -> int:
        """Bytes of `features`, copied or mapped."""
        return self.num_own * self.manifest.num_features * self.feature_dtype.itemsize

    @property
    def rounded_features(self) -> str | None:
        """`features rounded to bfloat16` (or float16), when they have lost digits; a label."""
        before = self.manifest.options.get("features_rounded_from")
        if before is None and self.feature_dtype == self.manifest.feature_dtype:
            return None
        return f"features rounded to {dtype_name(self.feature_dtype)}"

    def link_seeds(self) -> list[np.ndarray]:
        """Of each own shard, int64 (n,): edges that are trained on, as `links.link_seeds`."""
        many = self.manifest.num_vertices
        found: list[np.ndarray] = []
        for shard in self._opened:
            arcs = self._out_arcs(shard)
            parts = link_seeds(*arcs, num_vertices=many, directed=self.manifest.directed)
            found.append(np.concatenate([np.empty(0, np.int64), *parts]))
        return found

    def held_out(self, split: str) -> np.ndarray:
        """Held-out arcs out of own vertices, ids (m, 2); split: of `links.HELD_OUT`."""
        return np.concatenate([getattr(shard, f"link_{split}") for shard in self._opened])

    def known_links(self) -> np.ndarray:
        """int64 (m,), ascending: all arcs out of own vertices, held-out ones too, as numbers."""
        many = self.manifest.num_vertices
        arcs = [arc_numbers(*self._out_arcs(shard), many) for shard in self._opened]
        held = np.concatenate([self.held_out(split) for split in HELD_OUT]).astype(np.int64)
        arcs.append(held[:, 0] * many + held[:, 1])
        return np.sort(np.concatenate(arcs), kind="stable")

    def _out_arcs(self, shard: Shard) -> tuple[np.ndarray, np.ndarray, int]:
        """indptr and indices of the arcs out of a shard's vertices, and the first of these."""
        indptr, indices = shard.in_indptr, shard.in_indices
        if shard.out_indptr is not None and shard.out_indices is not None:
            indptr, indices = shard.out_indptr, shard.out_indices
        return indptr, indices, shard.first_vertex

    def names(self) -> np.ndarray:
        """The user's own ids of the own vertices: int64 or bytes (num_own,)."""
        return np.concatenate(self._name) if self._name else self.original_id

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """int64 (n,): own rows of own vertices."""
        return self.ownership.local_rows(ids)


def without_vertices(shard: Shard) -> Shard:
    """None of its vertices and edges, as arrays of the same types: for a rank without shards."""
    arrays = {k: v for k, v in vars(shard).items() if isinstance(v, np.ndarray)}
    none: dict[str, Any] = {
        k: np.zeros(1, v.dtype) if "indptr" in k else v[:0] for k, v in arrays.items()
    }
    return replace(shard, **none)


def gcn_norms(shard: Shard) -> tuple[np.ndarray, np.ndarray]:
    """GCN's norms of a shard's vertices, and the weights of their loops: float32 (n,) each.

    A vertex has one loop, as in PyG's gcn_norm: the one that the graph has there, with its weight
    (of several their sum; 1 without weights), else one of weight 1. The norm is rsqrt of the
    in-degree with that; not finite where it is 0 or less.
    """
    there = _loops(shard)
    if shard.weighted_in is None:
        loop, others = np.ones_like(there), shard.degree_in - there
    else:
        loop = np.where(there == 0, 1, there)
        others = np.where(there == 0, shard.weighted_in, shard.weighted_in - there)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (1 / np.sqrt(loop + others)).astype(np.float32), loop.astype(np.float32)


def _loops(shard: Shard) -> np.ndarray:
    """float64 (n,): total weight of each vertex's edges to itself; pages are given back behind."""
    edges, first, indptr = ShardEdges(shard), shard.first_vertex, shard.in_indptr
    cuts = np.searchsorted(indptr, np.arange(indptr[0], indptr[-1], WALKED_EDGES))
    out = np.zeros(shard.num_vertices)
    for begin, end in pairwise([*np.unique(cuts).tolist(), shard.num_vertices]):
        for run in edges.runs(first + begin, first + end):
            loop_weights(run, out[begin:end])
        edges.forget(first + begin, first + end)
    return out
