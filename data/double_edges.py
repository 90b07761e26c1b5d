"""Edges that are listed again: counted, and dropped or summed when asked.

An edge is one number, source x N + target (of an undirected edge the lower end first). All edges go
to a few unnamed files by a hash of that number, so that copies meet in one file, which is sorted in
memory: about 50 MiB, however many edges there are, and 8 or 12 bytes of disk an edge.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.kernels.pairs import deal_pairs
from batchgnn.store.graph_writer import GraphStoreWriter

READ_CHUNK = 1 << 20
"Edges that are read back at a time."

BUCKET_EDGES = 1 << 21
"Edges that are sorted at a time, more or less."

MOST_BUCKETS = 1 << 9
MOST_VERTICES = 1 << 32
"With more, an edge is no number of 64 bits."


def settle_double_edges(writer: GraphStoreWriter, wanted: str) -> str:
    """Count the edges that are listed again, and `keep`, `drop` or `sum` them; what to say of it.

    Edges that are dropped or summed come out in another order, the same for the same edges.
    """
    if writer.spec.num_vertices > MOST_VERTICES:
        if wanted != "keep":
            raise ConfigError(
                f"--double-edges {wanted}: needed at most {MOST_VERTICES:,} vertices. Leave it out"
            )
        return "not counted: too many vertices"
    num_again = 0
    with ExitStack() as stack:
        buckets = list(_buckets(writer, stack))
        if wanted != "keep":
            writer.forget_edges()
        for keys, weights in buckets_read(buckets, weighted=writer.spec.weighted):
            if wanted == "keep":
                keys.sort()
                num_again += int(np.count_nonzero(keys[1:] == keys[:-1]))
                continue
            first, which = _first(keys)
            num_again += len(keys) - len(first)
            if weights is not None:
                weights = _sums(weights, which) if wanted == "sum" else weights[first]
            source, target = np.divmod(keys[first], np.uint64(max(writer.spec.num_vertices, 1)))
            writer.append_edges(source, target, weights)
    if not num_again:
        return "none"
    done = {"keep": "kept; --double-edges drop|sum", "drop": "dropped", "sum": "summed"}[wanted]
    return f"{num_again:,} edges are listed again ({done})"


def _first(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(place of the first of each key, in the order of keys; for every key, which one it is)."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return first, which


def _sums(weights: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.bincount(which, weights=weights).astype(np.float32)


def _buckets(writer: GraphStoreWriter, stack: ExitStack) -> Iterator[IO[bytes]]:
    """Files of records (key, weight if there are any), copies of an edge in the same one."""
    num = min(-(-writer.num_edges // BUCKET_EDGES), MOST_BUCKETS) or 1
    files = [stack.enter_context(_unnamed_file(writer)) for _ in range(num)]
    ends, about = np.empty(num, np.int64), (writer.spec.num_vertices, writer.spec.directed)
    for source, target, *weight in writer.edges_so_far(READ_CHUNK):
        keys, order = np.empty(len(source), np.uint64), np.empty(len(source), np.int64)
        deal_pairs(source, target, *about, ends, keys, order)
        records = np.empty(len(source), record_dtype(weighted=bool(weight)))
        records["key"] = keys
        if weight:
            records["weight"] = weight[0][order]
        for file, part in zip(files, np.split(records, ends[:-1]), strict=True):
            file.write(part.data)
    yield from files


def _unnamed_file(writer: GraphStoreWriter) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=writer.folder)


def record_dtype(*, weighted: bool) -> np.dtype:
    """A record of a bucket."""
    return np.dtype([("key", np.uint64), *([("weight", np.float32)] if weighted else [])])


def buckets_read(
    files: list[IO[bytes]], *, weighted: bool
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """(keys uint64, weights float32 or None) of each bucket, in the order they were written."""
    for file in files:
        file.seek(0)
        records = np.frombuffer(file.read(), record_dtype(weighted=weighted))
        yield records["key"].copy(), records["weight"].copy() if weighted else None
