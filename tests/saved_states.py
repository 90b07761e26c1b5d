"""States of a mode that say where each value comes from, and vertices dealt to ranks."""

from itertools import pairwise

import numpy as np

from batchgnn.store.mode_state import ModeState

NUM_VERTICES = 23


def rows_of(ids, tag=0):
    """Arrays by vertex of these vertices: several dtypes and shapes, one of no width."""
    ids = np.asarray(ids, np.int64)
    memory = (1000 * tag + ids[:, None] + np.arange(3) / 8).astype(np.float32)
    events = (ids % 2 == tag % 2)[:, None, None] & np.array([[True, False]])
    return {
        "memory": memory,
        "last": (ids + tag).astype(np.uint16),
        "events": events,
        "none": np.empty((len(ids), 0)),
    }


def trainer_arrays(trainer, tag=0):
    """Moments of one trainer."""
    return {"moment": np.arange(5.0) + 100 * trainer + tag}


def state_of(ids, trainer=0, tag=0):
    """A state with all three kinds of arrays."""
    replicated = {"parameters": np.arange(7, dtype=np.float32) + tag, "steps": np.int64([3, tag])}
    scalars = {"optimizer_steps": 9 + tag, "rate": 0.1, "name": "adam"}
    return ModeState(replicated, rows_of(ids, tag), trainer_arrays(trainer, tag), trainer, scalars)


def assert_same(found, wanted):
    """Names, dtypes and values."""
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def assert_same_state(found, wanted):
    """All of it, apart from the trainer's arrays."""
    assert_same(found.replicated, wanted.replicated)
    assert_same(found.by_vertex, wanted.by_vertex)
    assert found.scalars == wanted.scalars


def dealt(cuts, owners, num_ranks, num_vertices=NUM_VERTICES):
    """Ids by rank: the k-th run of ids between two cuts belongs to rank owners[k]."""
    bounds = [0, *sorted(cuts), num_vertices]
    runs = [np.arange(a, b, dtype=np.uint32) for a, b in pairwise(bounds)]
    empty = np.empty(0, np.uint32)
    return [
        np.concatenate([empty, *(r for r, owner in zip(runs, owners, strict=True) if owner == p)])
        for p in range(num_ranks)
    ]
