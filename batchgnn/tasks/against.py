"""Edges and the pairs that the loss compares them with, in the order that decoders take."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Against(NamedTuple):
    """Some edges and the pairs that they are compared with: vertices, or rows of these.

    ends     int64 (2, B), sources and targets
    others   int64 (n, B), targets of n pairs of each edge; or (n, 1), the same of all edges
    sources  int64 (n, B), of these pairs; None: that of the edge. A pair that is no pair of two
             vertices, or the edge itself, counts for nothing.
    """

    ends: np.ndarray
    others: np.ndarray
    sources: np.ndarray | None = None

    @property
    def is_shared(self) -> bool:
        """Whether the others are the same of several edges."""
        return self.others.shape[1] != self.ends.shape[1]

    @property
    def rows_of_edge(self) -> int:
        """Rows that are decoded for an edge."""
        return 2 + len(self.others) * (1 if self.sources is None else 2)

    def parts(self, size: int) -> Iterator["Against"]:
        """So many edges at a time."""
        for begin in range(0, self.ends.shape[1], size):
            some = slice(begin, begin + size)
            others = self.others if self.is_shared else self.others[:, some]
            sources = None if self.sources is None else self.sources[:, some]
            yield Against(self.ends[:, some], others, sources)

    def pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Left (b,) and right (n, b) or (n, 1) for a decoder: edges first, then the others."""
        source, target = self.ends
        if self.sources is not None:
            return [(source, target[None]), (self.sources.ravel(), self.others.reshape(1, -1))]
        if self.is_shared:
            return [(source, target[None]), (source, self.others)]
        return [(source, np.vstack([target[None], self.others]))]

    @property
    def absent(self) -> np.ndarray:
        """bool (n, B): pairs that count for nothing."""
        return self.others == (self.ends[1] if self.sources is None else self.sources)

    def replaced(self, rows: Iterator[np.ndarray]) -> "Against":
        """The same, of what `rows` has for each array, flat, in this order."""
        ends, others = (next(rows).reshape(each.shape) for each in (self.ends, self.others))
        sources = self.sources
        return Against(
            ends, others, sources if sources is None else next(rows).reshape(others.shape)
        )
