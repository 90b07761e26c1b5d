"""Checking a whole graph store: its bytes as they were written, then every value."""

import os
from pathlib import Path

from batchgnn.base.errors import StoreError
from batchgnn.base.progress import progress
from batchgnn.store.format import checksum
from batchgnn.store.graph_store import EDGE_CHUNK, REMEDY, GraphStore
from batchgnn.store.seal import check_seal

CHUNK_BYTES = 32 << 20


def open_whole(path: str | os.PathLike) -> GraphStore:
    """The graph store at `path`, every byte of which is as it was written.

    Raises StoreError, as `GraphStore` too. Stores that have no seal are taken as they are.
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
    return graph


def verify(path: str | os.PathLike, *, show: bool = False) -> GraphStore:
    """Read every value of the graph store at `path` and return the open store.

    show  whether progress is shown on stderr
    Raises StoreError, which names the dataset and the first row with a value out of range.
    """
    graph = open_whole(path)
    with progress("edges", graph.num_edges, "edges", show=show) as bar:
        first, chunk = 0, EDGE_CHUNK
        if graph.events is not None:
            chunk = max(CHUNK_BYTES // graph.events.event_bytes, 1)
        for source, _, _ in graph.iter_edges(chunk):
            for name in graph.event_columns:
                graph.read_event(name, slice(first, first + len(source)))
            if graph.splits_edges:
                graph.read_edge_split(slice(first, first + len(source)))
            first += len(source)
            bar.advance(len(source))
    step = max(CHUNK_BYTES // max(graph.num_features * graph.feature_dtype.itemsize, 64), 1)
    with progress("vertices", graph.num_vertices, "vertices", show=show) as bar:
        for first in range(0, graph.num_vertices, step):
            rows = slice(first, min(first + step, graph.num_vertices))
            graph.read_features(rows)
            graph.read_split(rows)
            graph.read_labels(rows)
            bar.advance(rows.stop - first)
    return graph
