"""Planted communities with power-law degrees: simple undirected graphs with learnable labels.

A degree-corrected planted partition: a vertex has weight (rank + shift)^(-1 / (exponent - 1)) in
its community, so that degrees follow a power law with that exponent (Chung and Lu, 2002), and a
neighbour lies in the own community with probability `inside`. The community is the label.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.data.generate import EDGES, OWNERS, SCATTER, GraphOptions, generate
from batchgnn.kernels.generate import CommunityWeights, community_edges, owned_edges, rank_mass
from batchgnn.kernels.permutation import positions


@dataclass(frozen=True, kw_only=True)
class CommunityOptions(GraphOptions):
    """Options of `communities`."""

    inside: float = 0.7
    "Probability that a neighbour belongs to the same community."

    exponent: float = 2.5
    "Exponent of the power law of degrees, above 2: smaller is more skewed."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        super().check()
        if not 0 <= self.inside <= 1:
            raise ConfigError(f"--inside {self.inside}: needed a probability, 0 to 1")
        if not 2 < self.exponent < np.inf:
            raise ConfigError(f"--exponent {self.exponent}: needed a number above 2")
        room = self.vertices // self.classes - 1
        if self.degree * self.inside > room / 2:
            raise ConfigError(
                f"--degree {self.degree} --inside {self.inside}: {self.degree * self.inside:g} "
                f"neighbours inside a community of {room + 1} vertices; at most half of it can be "
                f"neighbours. Lower --degree, --inside or --classes, or raise --vertices"
            )


class Communities:
    """The graph of some options, as `generate.RandomGraph`."""

    directed = False

    def __init__(self, options: CommunityOptions):
        """Fix the weights; raises ConfigError for options that cannot be."""
        options.check()
        self.options = options
        self.power = 1.0 / (options.exponent - 1.0)
        self.shift = self._shift()
        self.num_edges = round(options.vertices * options.degree / 2)

    def _shift(self) -> float:
        """The shift of ranks that keeps the largest degree feasible, by bisection.

        Its bound is sqrt(vertices x degree), the natural cut-off of a simple graph, and half a
        community.
        """
        o = self.options
        size = o.vertices // o.classes
        largest = min(np.sqrt(o.vertices * o.degree), size / 2)
        allowed = max(largest / max(o.degree, 1e-9), 1.0 + 1e-3)
        low, high = -7.0, 12.0  # decimal logarithms
        for _ in range(60):
            middle = (low + high) / 2
            mass = [rank_mass(float(r), self.power, 10.0**middle) for r in (1, size)]
            low, high = (middle, high) if mass[0] / mass[1] * size > allowed else (low, middle)
        return 10.0**high

    def places(self, first: int, last: int) -> np.ndarray:
        """int64 (last - first,): what the vertices of these ids are; see kernels/generate.py."""
        out = np.empty(last - first, np.int64)
        positions(self.options.key(SCATTER), self.options.vertices, first, out)
        return out

    def labels(self, first: int, last: int) -> np.ndarray:
        """int32 (last - first,): communities."""
        return (self.places(first, last) % self.options.classes).astype(np.int32)

    def edges(self, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(source, target) in parts of about `chunk` edges, sources ascending."""
        o = self.options
        step = max(int(chunk / max(o.degree / 2, 1)), 1)
        for first in range(0, o.vertices, step):
            last = min(first + step, o.vertices)
            place, owned = self.places(first, last), np.empty(last - first, np.int64)
            weights = CommunityWeights(o.vertices, o.classes, self.power, self.shift)
            owned_edges(o.key(OWNERS), place, weights, self.num_edges, owned)
            begin = np.concatenate([[0], np.cumsum(owned)])
            target, found = np.empty(begin[-1], np.int64), np.empty_like(owned)
            keys = o.key(EDGES), o.key(SCATTER)
            community_edges(*keys, place, begin, weights, o.inside, target, found)
            source = np.repeat(np.arange(first, last), owned)
            if (found < owned).any():
                kept = np.arange(begin[-1]) < np.repeat(begin[:-1] + found, owned)
                source, target = source[kept], target[kept]
            yield source, target


def generate_communities(
    out: str | os.PathLike, options: CommunityOptions, *, show: bool = True
) -> Path:
    """Write a graph of planted communities to the graph store `out`."""
    return generate(Communities(options), options, out, name="communities", show=show)
