"""Trained rows of vertices: a parameter that is dealt to the ranks, each row moved by its owner.

A row's first values are keyed by its vertex, so that any cut and any number of ranks begin alike.
A step moves the rows that it met, whose gradient is not 0: torch.optim.SparseAdam's lazy moments,
which stay as they are until the row is met again, with the number of the optimiser's steps so far
for the bias correction, the same on every rank. SGD's momentum is as lazy. Rows do not decay.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base.rng import Purpose
from batchgnn.kernels.optim import AdamRates, adam, sgd
from batchgnn.kernels.rng import fill_draws, stream_key

BLOCK_ROWS = 1 << 12
"Rows that are drawn, or moved, together."
BOUND = 1.0
"Rows begin as uniform draws from [-BOUND, BOUND)."
ROWS, BEST = "input_rows", "best_input_rows"
MOMENTS = {"adam": ("first_moment", "second_moment"), "sgd": ("velocity",)}


class RowTable:
    """One row for each own vertex.

    rows      (num_own, d), which the first layer reads where they are
    gradient  (num_own, d) of the step that is under way, or (k, d); None between steps
    met       int64 (k,), the distinct rows that `gradient` is of; None: of all
    """

    def __init__(
        self,
        vertices: np.ndarray,
        width: int,
        *,
        seed: int,
        optimizer: str,
        lr: float,
        dtype: DTypeLike = np.float32,
    ):
        """vertices: int64 (num_own,), rows of the graph store; optimizer: of `MOMENTS`."""
        self.optimizer, self.lr = optimizer, lr
        self.rows = initial_rows(vertices, width, seed, dtype)
        self.gradient: np.ndarray | None = None
        self.met: np.ndarray | None = None
        self._moments: dict[str, np.ndarray] | None = None
        self._best: np.ndarray | None = None

    def step(self, steps: int) -> None:
        """Move the rows that `gradient` has met, and let it go; steps: of the optimiser, from 1."""
        grad, of, moments = self.gradient, self.met, list(self._all_moments().values())
        self.gradient = self.met = None
        if grad is None:
            raise ValueError("no gradient of the rows was computed")
        for begin in range(0, len(grad), BLOCK_ROWS):
            some = begin + np.flatnonzero(grad[begin : begin + BLOCK_ROWS].any(axis=1))
            met = some if of is None else of[some]
            moved = [array[met] for array in (self.rows, *moments)]
            flat = [array.reshape(-1) for array in (moved[0], grad[some], *moved[1:])]
            self._move(flat, steps)
            for array, part in zip((self.rows, *moments), moved, strict=True):
                array[met] = part

    def _move(self, flat: list[np.ndarray], steps: int) -> None:
        """flat: parameters, gradients, moments of the rows that are met."""
        if self.optimizer == "adam":
            adam(*flat, AdamRates(self.lr, 0.9, 0.999, 1e-8, 0.0), steps)
        else:
            sgd(*flat, self.lr, 0.9, 0.0)

    def keep_best(self) -> None:
        """Remember the rows as they are: the model has its best score."""
        self._all_best()[...] = self.rows

    def put_best(self) -> None:
        """Let the rows be those that were remembered."""
        self.rows[...] = self._all_best()

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of own vertices: (num_own, d) each."""
        moments = {f"input_{name}": array for name, array in self._all_moments().items()}
        return {ROWS: self.rows, BEST: self._all_best(), **moments}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from `arrays`."""
        for name, array in self.arrays().items():
            array[...] = arrays[name]

    def _all_moments(self) -> dict[str, np.ndarray]:
        if self._moments is None:
            names = MOMENTS[self.optimizer]
            self._moments = {name: np.zeros_like(self.rows) for name in names}
        return self._moments

    def _all_best(self) -> np.ndarray:
        if self._best is None:
            self._best = self.rows.copy()
        return self._best


def initial_rows(vertices: np.ndarray, width: int, seed: int, dtype: DTypeLike) -> np.ndarray:
    """(n, width): draws that are keyed by vertex and column."""
    key = np.uint64(stream_key(seed, int(Purpose.INPUT_ROWS), 0, 0, 0))
    out = np.empty((len(vertices), width), dtype)
    for begin in range(0, len(vertices), BLOCK_ROWS):
        some = vertices[begin : begin + BLOCK_ROWS, None].astype(np.int64)
        places = (some * width + np.arange(width)).reshape(-1)
        bits = np.empty(len(places), np.uint64)
        fill_draws(key, places, bits)
        unit = (bits >> np.uint64(11)) * 2.0**-53
        out[begin : begin + BLOCK_ROWS] = (BOUND * (2 * unit - 1)).reshape(len(some), width)
    return out
