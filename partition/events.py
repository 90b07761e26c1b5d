"""Events on their way into shards: arcs that carry their event, and runs of the stream.

A stream is cut by its vertices, as any graph is. A shard has the arcs of its vertices in the order
of events, and a run of consecutive events, whosever they are.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from batchgnn.partition.source import Edges, GraphSource
from batchgnn.store.events import SOURCE, SPLIT, TARGET
from batchgnn.store.schema import Schema
from batchgnn.store.seeds import TRAIN
from batchgnn.store.shard_writer import Draft

CHUNK_BYTES = 32 << 20


def beside_of(schema: Schema) -> np.dtype | None:
    """Dtype of what an arc carries into its shard: an event's number, a weight, or nothing."""
    if schema.events is not None:
        return np.dtype(np.int64)
    return np.dtype(np.float32) if schema.weighted else None


def with_events(graph: GraphSource, chunk: int) -> Iterator[Edges]:
    """(source, target, what the arc carries) of at most `chunk` edges at a time."""
    first = 0
    for source, target, weight in graph.iter_edges(chunk):
        number = np.arange(first, first + len(source)) if graph.events is not None else weight
        first += len(source)
        yield source, target, number


def write_runs(graph: GraphSource, new_id: np.ndarray, drafts: Sequence[Draft]) -> np.ndarray:
    """Fill each shard's run of events; returns how many of them are trained on, int64 (K, 1).

    new_id: shard-store id of each row of the graph store
    """
    num_seeds = np.zeros((len(drafts), 1), np.int64)
    if graph.events is None:
        return num_seeds
    chunk = max(CHUNK_BYTES // graph.events.event_bytes, 1)
    for s, draft in enumerate(drafts):
        run = graph.events.run(s, len(drafts))
        for name in graph.event_columns:
            out = draft.open(name)
            for begin in range(run.start, run.stop, chunk):
                part = graph.read_event(name, slice(begin, min(begin + chunk, run.stop)))
                part = new_id[part] if name in (SOURCE, TARGET) else part
                out[begin - run.start : begin - run.start + len(part)] = part
                if name == SPLIT:
                    num_seeds[s] += np.count_nonzero(part == TRAIN)
    return num_seeds
