"""What a converter took as what: said after the conversion, and kept in the graph store as JSON.

A record is a mapping from a thing to know (`source`, `label`, `not used`, `classes`, ...) to what
there is to say of it: text, a number, a list of names, or names with counts.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from batchgnn.base.parse import parse_json
from batchgnn.store.labels import MULTICLASS, MULTILABEL, NOT_KNOWN
from batchgnn.store.seeds import SPLITS, has_label

Value = str | int | list[str] | dict[str, int]
Record = dict[str, Value]

MOST_NAMES = 20
"Names of a list that are kept; an attribute of HDF5 holds 64 KiB."

MOST_LETTERS = 60
"Letters of a name that are kept."


class Tally:
    """Counts of a graph store while it is written, in chunks; one byte a vertex."""

    def __init__(self, num_vertices: int, task: str):
        """Nothing is counted yet."""
        self.task, self.num_unlabelled = task, 0
        self.by_class: Counter[int] = Counter()
        self.by_part: np.ndarray | None = None
        self.has_edge = np.zeros(num_vertices, bool)
        self.num_weights_not_positive = self.num_not_known = 0

    def add_labels(self, labels: np.ndarray) -> None:
        """Count labels as the store has them."""
        known = has_label(labels)
        self.num_unlabelled += int(np.count_nonzero(~known))
        if self.task == MULTICLASS:
            values, counts = np.unique(labels[known], return_counts=True)
            self.by_class.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        elif self.task == MULTILABEL:
            counts = (labels == 1).sum(axis=0)
            self.by_class.update(dict(enumerate(counts.tolist())))
            self.num_not_known += int(np.count_nonzero(labels == NOT_KNOWN))

    def add_split(self, split: np.ndarray) -> None:
        """Count the vertices of each part, of each split: uint8 (k,) or (k, R)."""
        columns = np.reshape(split, (len(split), -1)).T
        counts = np.array([np.bincount(column, minlength=4) for column in columns])
        if counts.size:
            self.by_part = counts if self.by_part is None else self.by_part + counts

    def add_edges(self, source: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> None:
        """Note which vertices have an edge, and weights that are not above 0."""
        self.has_edge[source] = True
        self.has_edge[target] = True
        if weight is not None:
            self.num_weights_not_positive += int(np.count_nonzero(weight <= 0))

    def record(self, class_names: Sequence[str] | None) -> Record:
        """What was counted, as a part of the record."""
        kept: Record = {}
        if self.task in (MULTICLASS, MULTILABEL) and self.by_class:
            order = sorted(self.by_class)
            names = [str(c) if class_names is None else class_names[c] for c in order]
            counts = [self.by_class[c] for c in order]
            kept["vertices of each class"] = dict(zip(names, counts, strict=True))
        kept["vertices without a label"] = self.num_unlabelled
        if self.num_not_known:
            kept["labels not known"] = self.num_not_known
        if self.by_part is not None:
            kept["vertices of each part"] = dict(
                zip(("none", *SPLITS), self.by_part[0].tolist(), strict=True)
            )
        kept["vertices without an edge"] = int(np.count_nonzero(~self.has_edge))
        if self.num_weights_not_positive:
            kept["weights of 0 or below"] = self.num_weights_not_positive
        return kept


def to_json(record: Mapping[str, Value]) -> str:
    """The record as the store keeps it, with lists and names cut to what an attribute holds."""
    return json.dumps({key: _cut(value) for key, value in record.items()}, ensure_ascii=False)


def from_json(text: str) -> Record:
    """The record as a store keeps it; an empty one where it cannot be read."""
    try:
        record = parse_json(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def lines_of(record: Mapping[str, Value]) -> list[tuple[str, str]]:
    """(thing to know, what there is to say of it) for people."""
    return [(key, _said(_cut(value))) for key, value in record.items()]


def _cut(value: Value) -> Value:
    if isinstance(value, str | int):
        return value
    rest = f"... and {len(value) - MOST_NAMES:,} more"
    if isinstance(value, dict):
        kept = {_short(k): n for k, n in list(value.items())[:MOST_NAMES]}
        return kept if len(value) <= MOST_NAMES else {**kept, rest: 0}
    shown = [_short(name) for name in value[:MOST_NAMES]]
    return shown if len(value) <= MOST_NAMES else [*shown, rest]


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[:MOST_LETTERS]}..."


def _said(value: Value) -> str:
    if isinstance(value, dict):
        return ", ".join(k if k.startswith("... and ") else f"{k}: {n:,}" for k, n in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
