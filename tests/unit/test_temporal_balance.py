"""Ranks that share batches of a stream have about equal work, counted in states and meetings."""

import numpy as np
import pytest

from batchgnn.comm.vertex_rows import OwnRows
from batchgnn.data.event_stream import StreamOptions, generate_events
from batchgnn.modes.temporal.batches import TRAINING, Sampler, negative_key, training_negatives
from batchgnn.modes.temporal.schedule import Schedule
from batchgnn.modes.temporal.states import VertexStates
from batchgnn.modes.temporal.stream import read_stream
from batchgnn.modes.temporal.ways import Ways
from batchgnn.partition.partition import partition
from batchgnn.store.shard_store import ShardStore

BATCH, MOST = 600, 1.1


class Part(Ways):
    """A slice, without MPI."""

    def __init__(self, slices, part):
        self.slices, self.part = slices, part


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    options = StreamOptions(vertices=3000, sources=2600, events=24_000, repeat=0.8, eras=3)
    generate_events(folder / "g.h5", options, show=False)
    partition(folder / "g.h5", folder / "s", "random", 2, 0)
    return read_stream(ShardStore(folder / "s"))


@pytest.mark.parametrize("slices", [2, 4])
def test_slices_have_about_equal_work_over_an_epoch(stream, slices):
    """The sum over steps of the most that a rank has, beside that of the mean."""
    sampler, states = (
        Sampler(stream, 10),
        VertexStates(stream, OwnRows(stream.num_vertices, 1, "f4")),
    )
    schedule, key, work = (
        Schedule(len(stream.split("train")), BATCH),
        negative_key(0, 0, TRAINING),
        [],
    )
    for step in range(schedule.num_steps):
        turn = schedule.turn(step, 0, 0)
        found = []
        for part in range(slices):
            events = np.arange(*Part(slices, part).mine(turn.first, turn.last))
            others = training_negatives(stream, events, 1, key)[0]
            roots = np.concatenate([stream.source[events], stream.target[events], others])
            placed = sampler.place(roots, np.tile(events, 3), states.mail)
            found.append((len(placed.member), np.count_nonzero(placed.batch.neighbor_row >= 0)))
        work.append(found)
        states.tell(turn.first, turn.last)
    counts = np.array(work)  # (steps, slices, 2)
    ratio = counts.max(axis=1).sum(axis=0) / counts.mean(axis=1).sum(axis=0)
    assert counts[-1].min() > 100
    assert (ratio < MOST).all(), ratio
