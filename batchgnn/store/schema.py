"""What every shard of a store has in common, and what follows from it: datasets and dtypes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchgnn.kernels.half import dtype_name
from batchgnn.store.events import ARC, EventSpec, spec_of
from batchgnn.store.labels import EVENTS, LINKS, label_layout
from batchgnn.store.links import LinkSpec, link_layout, split_of

SPECS: dict[str, Callable[[str], Any]] = {EVENTS: spec_of, LINKS: split_of}
"Attributes of a manifest, and its fields, that are JSON in its file; empty where there is none."


@dataclass(frozen=True, eq=False, kw_only=True)
class Schema:
    """What every shard of a store has in common: it fixes the datasets and their dtypes.

    task         multiclass, multilabel, regression, events or links; says what `vertex/label` is
    num_classes  of regression 1
    events       of a stream of events, whose edges they are; None: edges have no time
    links        how edges were split, those of training are the topology; None: all edges are
    """

    directed: bool
    weighted: bool
    num_vertices: int
    num_features: int
    feature_dtype: np.dtype
    num_classes: int
    task: str
    num_splits: int
    id_dtype: np.dtype
    name_dtype: np.dtype | None
    events: EventSpec | None = None
    links: LinkSpec | None = None

    @property
    def has_name(self) -> bool:
        """Whether the vertices carry the user's own ids."""
        return self.name_dtype is not None

    @property
    def feature_name(self) -> str:
        """What the features are stored as: float32, float16 or bfloat16."""
        return dtype_name(self.feature_dtype)

    def layout(
        self, n: int, m_in: int, m_out: int, num_events: int = 0, held_out: Sequence[int] = (0, 0)
    ) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Dataset -> (dtype, shape) of a shard of n vertices, m_in in-arcs and m_out out-arcs.

        m_out       counts for directed graphs only
        num_events  of the run of events that the shard has, where edges are events
        held_out    arcs of validation and of test, where edges are split
        """
        rows: dict[str, tuple] = {"vertex/original_id": (np.int64, (n,))}
        if self.name_dtype is not None:
            rows["vertex/name"] = (self.name_dtype, (n,))
        rows |= {
            "vertex/features": (self.feature_dtype, (n, self.num_features)),
            "vertex/label": label_layout(self.task, n, self.num_classes),
            "vertex/split": (np.uint8, (n, self.num_splits)),
        }
        for side, m in (("in", m_in), ("out", m_out))[: 1 + self.directed]:
            rows |= {
                f"{side}/indptr": (np.int64, (n + 1,)),
                f"{side}/indices": (self.id_dtype, (m,)),
            }
            if self.weighted:
                rows[f"{side}/weight"] = (np.float32, (m,))
        rows |= {"degree/in": (np.int64, (n,)), "degree/out": (np.int64, (n,))}
        if self.weighted:
            rows["degree/weighted_in"] = (np.float32, (n,))
        if self.events is not None:
            rows |= {ARC: (np.int64, (m_in,)), **self.events.layout(num_events, self.id_dtype)}
        if self.links is not None:
            rows |= link_layout(held_out, self.id_dtype)
        return {name: (np.dtype(dtype), shape) for name, (dtype, shape) in rows.items()}

    @property
    def told_bytes(self) -> int:
        """Of a vertex: its label, and its splits."""
        layout = self.layout(1, 0, 0)
        told = [layout[name] for name in ("vertex/label", "vertex/split")]
        return sum(dtype.itemsize * math.prod(shape) for dtype, shape in told)
