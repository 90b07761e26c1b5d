"""Small streams of events: as text, as a graph store, as shards."""

import numpy as np

from batchgnn.data.convert_events import convert_events
from batchgnn.data.event_options import EventOptions
from batchgnn.partition.partition import partition
from batchgnn.store.event_writer import StreamSpec, write_events
from batchgnn.store.events import FEATURES, LABEL, SOURCE, TARGET, TIME, EventSpec
from batchgnn.store.graph_store import GraphStore

TEXT = """source,target,time,label,size
ann,bob,3,0,0.5
bob,cem,1,1,1
ann,ann,3,0,2
cem,bob,7,-1,3
"""
"Out of order, with a tie and an event of a vertex with itself."


def of_text(folder, text=TEXT, name="e.csv", **options):
    """The graph store of a file of events."""
    (folder / name).write_text(text, encoding="utf-8")
    convert_events(folder / name, folder / "e.h5", EventOptions(**options), show=False)
    return GraphStore(folder / "e.h5")


def random_events(
    num_vertices=12, num_events=80, num_features=0, seed=0, *, bipartite=False, num_classes=0
):
    """Columns of a stream with ties, repeats, and (not bipartite) events of one vertex."""
    rng = np.random.default_rng(seed)
    half = num_vertices // 2 if bipartite else num_vertices
    first = num_vertices - half
    columns = {
        SOURCE: (half * rng.random(num_events) ** 2).astype(np.int64),
        TARGET: first * bipartite + rng.integers(0, half, num_events),
        TIME: np.sort(rng.integers(0, num_events, num_events)),
    }
    if num_features:
        columns[FEATURES] = rng.normal(size=(num_events, num_features)).astype(np.float32)
    if num_classes:  # and some events without a label
        columns[LABEL] = rng.integers(-1, num_classes, num_events).astype(np.int32)
    return columns


def stored(path, columns, num_vertices=12, shares=(0.7, 0.15, 0.15)):
    """The graph store of some columns."""
    features = columns.get(FEATURES, np.empty((0, 0)))
    spec = StreamSpec(
        name="stream",
        num_vertices=num_vertices,
        events=EventSpec(
            time_dtype=columns[TIME].dtype.name,
            num_features=features.shape[1],
            has_label=LABEL in columns,
        ),
        shares=shares,
    )
    with write_events(path, spec) as writer:
        writer.append(columns)
        writer.finish()
    return path


def shards_of(folder, columns=None, num_shards=3, method="random", **options):
    """The shards of a stream, `random_events` by default."""
    graph = stored(folder / "g.h5", random_events() if columns is None else columns, **options)
    partition(graph, folder / "shards", method, num_shards, 0)
    return folder / "shards"
