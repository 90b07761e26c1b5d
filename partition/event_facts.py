"""What `inspect` says of a stream of events: its span, what repeats, what batches would lose."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from batchgnn.graph.missing import BATCH_SIZES, LOST_UPDATES, largest_batch, missing_updates
from batchgnn.partition.source import GraphSource
from batchgnn.store.events import SOURCE, SPLIT, TARGET, TIME, EventSpec
from batchgnn.store.seeds import SPLITS


class Events(Protocol):
    """Columns of a stream."""

    @property
    def spec(self) -> EventSpec:
        """What an event has."""

    @property
    def source(self) -> np.ndarray:
        """Vertices (E,)."""

    @property
    def target(self) -> np.ndarray:
        """Vertices (E,)."""

    @property
    def time(self) -> np.ndarray:
        """int64 or float64 (E,), ascending."""

    @property
    def split(self) -> np.ndarray:
        """uint8 (E,)."""


@dataclass(frozen=True, eq=False)
class EventArrays:
    """The columns of a graph store."""

    spec: EventSpec
    source: np.ndarray
    target: np.ndarray
    time: np.ndarray
    split: np.ndarray


def columns_of(graph: GraphSource) -> EventArrays:
    """Those of a graph store of events."""
    names = (SOURCE, TARGET, TIME, SPLIT)
    return EventArrays(
        graph.events or EventSpec(), *(graph.read_event(name, slice(None)) for name in names)
    )


def event_facts(events: Events, num_vertices: int) -> list[tuple[str, str]]:
    """(what, what there is to say of it); 16 bytes an event are held to find repeats."""
    source, target, time = (np.asarray(c) for c in (events.source, events.target, events.time))
    spec, count = events.spec, len(source)
    pairs = source.astype(np.uint64) * np.uint64(num_vertices) + target
    repeats = count - len(np.unique(pairs))
    parts = np.bincount(events.split, minlength=4)
    labels = ", with labels" if spec.has_label else ""
    lost = [
        f"{size:,}: {missing_updates(source, target, num_vertices, size):.3f}"
        for size in BATCH_SIZES
    ]
    return [
        ("vertices", f"{num_vertices:,}, {len(np.unique(target)):,} of them targets"),
        ("events", f"{count:,}{labels}"),
        ("features of an event", f"{spec.num_features:,} {spec.feature_dtype}"),
        ("time", f"{spec.time_dtype}, from {time[0]} to {time[-1]}" if count else spec.time_dtype),
        ("at the time of the one before", f"{int(np.count_nonzero(np.diff(time) == 0)):,}"),
        ("source and target met before", f"{repeats:,} ({100 * repeats / max(count, 1):.1f} %)"),
        ("of a vertex with itself", f"{int(np.count_nonzero(source == target)):,}"),
        ("split", ", ".join(f"{name} {parts[value]:,}" for name, value in SPLITS.items())),
        ("updates lost by batches of", ", ".join(lost)),
        (
            f"largest batch that loses {LOST_UPDATES:.0%}",
            f"{largest_batch(source, target, num_vertices, LOST_UPDATES):,} events",
        ),
    ]
