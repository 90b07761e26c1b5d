"""Grids: vertices on a square, joined to their neighbours; labels are vertical bands.

Vertex v lies in row v // width and column v % width, width = ceil(sqrt(vertices)); the last row may
be short.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.data.generate import GraphOptions, generate


@dataclass(frozen=True, kw_only=True)
class GridOptions(GraphOptions):
    """Options of `grid`."""

    degree: float = 4.0
    "4, or 8 with the diagonals."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        if self.degree not in (4, 8):
            raise ConfigError(f"--degree {self.degree:g}: a grid has degree 4, or 8 (diagonals)")
        super().check()


class Grid:
    """The grid of some options, as `generate.RandomGraph`; `degree` is 4, or 8 with diagonals."""

    directed = False

    def __init__(self, options: GridOptions):
        """Raises ConfigError for options that cannot be."""
        options.check()
        self.options = options
        self.width = math.isqrt(options.vertices - 1) + 1
        if options.classes > self.width:
            raise ConfigError(
                f"--classes {options.classes}: this grid has {self.width} columns, and a class is "
                f"a band of columns. Lower --classes, or raise --vertices"
            )
        self.num_edges = options.vertices * int(options.degree) // 2

    def labels(self, first: int, last: int) -> np.ndarray:
        """int32 (last - first,): bands of columns."""
        column = np.arange(first, last) % self.width
        return (column * self.options.classes // self.width).astype(np.int32)

    def edges(self, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(source, target) in parts of about `chunk` edges, sources ascending."""
        n, width = self.options.vertices, self.width
        steps = [(1, 0), (0, 1)] if self.options.degree == 4 else [(1, 0), (-1, 1), (0, 1), (1, 1)]
        across, down = np.array(steps).T
        rows = max(chunk // len(steps), 1)
        for first in range(0, n, rows):
            v = np.arange(first, min(first + rows, n))[:, None]
            column, target = v % width + across, v + across + down * width
            kept = (column >= 0) & (column < width) & (target < n)
            yield np.broadcast_to(v, target.shape)[kept], target[kept]


def generate_grid(out: str | os.PathLike, options: GridOptions, *, show: bool = True) -> Path:
    """Write a grid to the graph store `out`."""
    return generate(Grid(options), options, out, name="grid", show=show)
