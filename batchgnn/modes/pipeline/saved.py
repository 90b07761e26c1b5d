"""Histories in a checkpoint: rows by vertex, whichever stage has their layer.

Arrays are named LAYER.rows.M and LAYER.gradients, M = 0 or, of attention's scores, 1.
"""

import numpy as np

from batchgnn.comm.grid import Comm
from batchgnn.comm.values import values_of_all
from batchgnn.modes.pipeline.owners import Owners
from batchgnn.modes.pipeline.stage import Stage
from batchgnn.operators.history import History


def saved_histories(comm: Comm, stage: Stage, owners: Owners) -> dict[str, np.ndarray]:
    """Rows of own vertices, (num_own, width) by name, of the layers of all stages; collective."""
    mine = _arrays_of(stage)
    told = {name: [array.shape[1], array.dtype.str] for name, array in mine.items()}
    shapes = {n: shape for each in values_of_all(comm, told) for n, shape in each.items()}
    return {
        name: owners.deal(_stage(owners, name), mine.get(name), *shape)
        for name, shape in sorted(shapes.items())
    }


def load_histories(stage: Stage, arrays: dict[str, np.ndarray], owners: Owners) -> None:
    """The stages' histories are those of `saved_histories`, by any stages; collective."""
    for name, own in sorted(arrays.items()):
        rows = owners.collect(_stage(owners, name), own)
        if rows is not None:
            _put(stage.histories[_layer(name)], name, rows)


def _arrays_of(stage: Stage) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for layer, history in stage.histories.items():
        own = slice(history.graph.num_own)
        found |= {f"{layer}.rows.{m}": kept.old[own] for m, kept in enumerate(history.rows)}
        if history.rule.keeps and history.gradients is not None:
            found[f"{layer}.gradients"] = history.gradients
    return found


def _put(history: History, name: str, rows: np.ndarray) -> None:
    if name.endswith(".gradients"):
        history.gradients = rows
    else:  # in the order of their numbers
        history.add(rows)


def _stage(owners: Owners, name: str) -> int:
    return owners.layout.stage_of_layer(_layer(name))


def _layer(name: str) -> int:
    return int(name.partition(".")[0])
