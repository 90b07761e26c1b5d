"""Consecutive layers on stages, so that the slowest stage takes as little as can be.

Seconds of a layer are predicted, by the rates that the planner assumes where nothing was measured:
they have to be the same on every rank and in every run, for the memory that a stage needs is
planned by them.
"""

from collections.abc import Sequence

import numpy as np

from batchgnn.nn.model import Model
from batchgnn.nn.work import LayerWork, whole_graph_work

FLOPS = 2e11
ELEMENT_S = 0.4e-9
EDGE_S, COLUMN_S = 1.65e-9, 0.15e-9
ATTENDED_EDGE_S, ATTENDED_COLUMN_S = 20e-9, 0.6e-9
"Of one rank, as `plan.rates.ASSUMED`."


def layer_seconds(model: Model, kept: bool, num_rows: int, num_edges: int) -> list[float]:
    """Forward and backward of each layer; linear layers around them count with the outer ones.

    kept: the first layer's aggregation is computed before training
    """
    seconds = [seconds_of(each, num_rows, num_edges) for each in whole_graph_work(model, kept, 1)]
    if len(seconds) > model.num_layers:
        before, *seconds, after = seconds
        seconds[0] += before
        seconds[-1] += after
    return seconds


def seconds_of(work: LayerWork, num_rows: int, num_edges: int) -> float:
    """Of so many times what `work` has for one row, and products with so many edges."""
    edges = sum(num_edges * (EDGE_S + COLUMN_S * d) for d in work.gathers)
    attended = num_edges + num_rows
    edges += sum(attended * (ATTENDED_EDGE_S + ATTENDED_COLUMN_S * d) for d, _ in work.attends)
    return edges + num_rows * (work.flops / FLOPS + work.elements * ELEMENT_S)


def least_slowest(seconds: Sequence[float], num_stages: int) -> np.ndarray:
    """int64 (S + 1,): stage s has the layers bounds[s] : bounds[s + 1], at least one.

    By a dynamic programme: best[l] is the slowest of the stages so far, which have l layers. Of
    equal partings the one whose later stages have fewer layers.
    """
    num_layers = len(seconds)
    before = np.concatenate([[0.0], np.cumsum(seconds)])
    best = np.full(num_layers + 1, np.inf)
    best[0] = 0.0
    cuts = []
    for _ in range(num_stages):
        slowest = np.maximum(best[None, :], before[:, None] - before[None, :])
        slowest[np.triu_indices(num_layers + 1)] = np.inf
        cuts.append(num_layers - np.argmin(slowest[:, ::-1], axis=1))
        best = slowest.min(axis=1)
    bounds = [num_layers]
    for cut in reversed(cuts):
        bounds.append(int(cut[bounds[-1]]))
    return np.array(bounds[::-1], np.int64)
