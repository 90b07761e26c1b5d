"""Checking the values of a graph store, in chunks; `GraphStore` itself checks shapes and dtypes."""

import os
from pathlib import Path

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.base.progress import progress
from batchgnn.store.event_verify import stream_claims
from batchgnn.store.events import FEATURES, SPLIT, TIME
from batchgnn.store.format import checksum
from batchgnn.store.graph_store import REMEDY, GraphStore
from batchgnn.store.labels import in_range
from batchgnn.store.seal import check_seal

CHUNK_BYTES = 32 << 20


def verify(path: str | os.PathLike, *, show: bool = False) -> GraphStore:
    """Read every value of the graph store at `path` and return the open store.

    show  whether progress is shown on stderr
    Raises StoreError, which names the dataset and the first row with a value out of range.
    """
    check_seal(Path(path), f"{REMEDY}, or copy it again")
    graph = GraphStore(path)
    if graph.features is not None and graph.features_checksum not in (
        "",
        checksum(graph.features),
    ):
        raise StoreError(
            f"{graph.path}: the file that its features are linked to was changed since. {REMEDY}"
        )
    with progress("edges", graph.num_edges, "edges", show=show) as bar:
        first = 0
        for source, target, weight in graph.iter_edges():
            kind = "edge" if graph.events is None else "event"
            _require(graph, f"{kind}/source", first, source < graph.num_vertices)
            _require(graph, f"{kind}/target", first, target < graph.num_vertices)
            if weight is not None:
                _require(graph, "edge/weight", first, np.isfinite(weight))
            if graph.events is not None:
                _require_events(graph, slice(first, first + len(source)))
            first += len(source)
            bar.advance(len(source))
    step = max(CHUNK_BYTES // max(graph.num_features * graph.feature_dtype.itemsize, 64), 1)
    with progress("vertices", graph.num_vertices, "vertices", show=show) as bar:
        for first in range(0, graph.num_vertices, step):
            rows = slice(first, min(first + step, graph.num_vertices))
            _require(graph, "vertex/features", first, np.isfinite(graph.read_features(rows)))
            _require(graph, "vertex/split", first, graph.read_split(rows) <= 3)
            known = in_range(graph.task, graph.read_labels(rows), graph.num_classes)
            _require(graph, "vertex/label", first, known)
            bar.advance(rows.stop - first)
    return graph


def _require_events(graph: GraphStore, rows: slice) -> None:
    """Raise StoreError for the first event of some that is out of order, or not finite."""
    time, split = (graph.event_columns[name] for name in (TIME, SPLIT))
    before = (time[rows.start - 1], int(split[rows.start - 1])) if rows.start else None
    for name, good in stream_claims(time[rows], split[rows], before):
        _require(graph, name, rows.start, good)
    if FEATURES in graph.event_columns:
        finite = np.isfinite(graph.event_columns[FEATURES][rows])
        _require(graph, FEATURES, rows.start, finite)


def _require(graph: GraphStore, name: str, first: int, good: np.ndarray) -> None:
    """Raise StoreError for the first row of a chunk, beginning at row `first`, that is not good."""
    if not good.all():
        row = first + int(np.argmin(good.reshape(len(good), -1).all(axis=1)))
        raise StoreError(f"{graph.path}: {name} has a value out of range in row {row:,}. {REMEDY}")
