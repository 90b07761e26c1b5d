"""What a store of events has of each event: source, target, time, and what else there may be.

A stream of events is a graph whose edges happen at a time, in the order of (time, row of the
input); an event's number is its place in that order. Its datasets are `event/*` in a graph store,
and a run of consecutive events in each shard.
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.store.labels import EVENTS
from batchgnn.store.spec import Spec, parsed_spec

SOURCE, TARGET, TIME, SPLIT = "event/source", "event/target", "event/time", "event/split"
LABEL, FEATURES, ARC = "event/label", "event/features", "event/id"

ATTRIBUTE = EVENTS
"Attribute of a file, and field of a manifest, that has the `EventSpec`."

TIMES = (np.dtype(np.int64), np.dtype(np.float64))
"What times are held as; narrower ones would make equal times of different ones."

Layout = dict[str, tuple[np.dtype, tuple[int, ...]]]


@dataclass(frozen=True, kw_only=True)
class EventSpec(Spec):
    """What is known of every event, and as what.

    time_dtype     int64 or float64
    num_features   columns of `event/features`; 0: there are none
    feature_dtype  float32 or float16
    has_label      whether events have labels: int32, -1 = none
    """

    num_events: int = 0
    time_dtype: str = "int64"
    num_features: int = 0
    feature_dtype: str = "float32"
    has_label: bool = False

    def layout(self, num_events: int, id_dtype: np.dtype) -> Layout:
        """Dataset -> (dtype, shape) of a run of events."""
        shape = (num_events,)
        rows: Layout = {
            SOURCE: (id_dtype, shape),
            TARGET: (id_dtype, shape),
            TIME: (np.dtype(self.time_dtype), shape),
            SPLIT: (np.dtype(np.uint8), shape),
        }
        if self.has_label:
            rows[LABEL] = (np.dtype(np.int32), shape)
        if self.num_features:
            rows[FEATURES] = (np.dtype(self.feature_dtype), (num_events, self.num_features))
        return rows

    @property
    def event_bytes(self) -> int:
        """Bytes of an event, with 32-bit vertices."""
        layout = self.layout(1, np.dtype(np.uint32))
        return sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in layout.values())

    def run(self, s: int, num_shards: int) -> slice:
        """The events that lie in shard s: runs of equal length, up to one."""
        return slice(self.num_events * s // num_shards, self.num_events * (s + 1) // num_shards)


def spec_of(text: str) -> EventSpec | None:
    """The `EventSpec` of an attribute; None of an empty one. Raises ValueError for another text."""
    spec = parsed_spec(EventSpec, text, EVENTS)
    if spec is None:
        return None
    if np.dtype(spec.time_dtype) not in TIMES or min(spec.num_events, spec.num_features) < 0:
        raise ValueError(f"{text!r} does not describe events")
    return spec


def good_rows(
    name: str, rows: np.ndarray, ahead: np.ndarray, num_vertices: int, num_classes: int
) -> np.ndarray:
    """bool, shaped as the rows: whether each of consecutive rows may stand where it does.

    name   dataset that the rows are of
    ahead  the row before the first; empty: there is none
    """
    if name in (SOURCE, TARGET):
        return np.asarray(rows < num_vertices)
    if name == LABEL:
        return np.asarray((rows >= -1) & (rows < num_classes))
    if name not in (TIME, SPLIT):
        return np.isfinite(rows)
    before = np.concatenate([ahead if len(ahead) else rows[:1], rows[:-1]])
    if name == SPLIT:
        return (rows >= 1) & (rows <= 3) & (rows >= before)
    return np.isfinite(rows) & (rows >= before)
