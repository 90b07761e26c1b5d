"""R-MAT graphs: skewed degrees and nested communities, quick to draw; double edges occur."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.data.generate import EDGES, SCATTER, GraphOptions, generate
from batchgnn.kernels.generate import rmat_edges
from batchgnn.kernels.permutation import positions


@dataclass(frozen=True, kw_only=True)
class RmatOptions(GraphOptions):
    """Options of `rmat`."""

    quarters: tuple[float, float, float] = (0.57, 0.19, 0.19)
    """Probability of the upper left, upper right and lower left quarter of the adjacency matrix;
    the default is Graph500's."""

    directed: bool = False
    "Make arcs; the degree is then the mean in-degree."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        super().check()
        a, b, c = self.quarters
        if min(a, b, c) < 0 or a + b + c > 1 or b + c + min(a, 1 - a - b - c) < 0.01:
            raise ConfigError(
                f"--quarters {a} {b} {c}: needed three probabilities, together at most 1, that do "
                f"not put all edges on the diagonal: --quarters 0.57 0.19 0.19"
            )


class Rmat:
    """The graph of some options, as `generate.RandomGraph`."""

    def __init__(self, options: RmatOptions):
        """Raises ConfigError for options that cannot be."""
        options.check()
        self.options, self.directed = options, options.directed
        self.num_edges = round(options.vertices * options.degree / (1 if self.directed else 2))
        self.scale = max((options.vertices - 1).bit_length(), 1)

    def labels(self, first: int, last: int) -> np.ndarray:
        """int32 (last - first,): equal runs of R-MAT addresses, its nested communities."""
        place = np.empty(last - first, np.int64)
        positions(self.options.key(SCATTER), self.options.vertices, first, place)
        return (place * self.options.classes // self.options.vertices).astype(np.int32)

    def edges(self, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(source, target) in parts of `chunk` edges."""
        o = self.options
        for first in range(0, self.num_edges, chunk):
            count = min(chunk, self.num_edges - first)
            source, target = np.empty(count, np.int64), np.empty(count, np.int64)
            rmat_edges(
                *(o.key(EDGES), o.key(SCATTER), first, o.vertices, self.scale),
                *(o.quarters, source, target),
            )
            yield source, target


def generate_rmat(out: str | os.PathLike, options: RmatOptions, *, show: bool = True) -> Path:
    """Write an R-MAT graph to the graph store `out`."""
    return generate(Rmat(options), options, out, name="rmat", show=show)
