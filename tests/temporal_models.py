"""Small models of events in float64, on small streams, with what trains them."""

from types import SimpleNamespace

import numpy as np
from event_streams import shards_of

from batchgnn.comm.vertex_rows import OwnRows
from batchgnn.modes.temporal.batches import Sampler
from batchgnn.modes.temporal.states import VertexStates
from batchgnn.modes.temporal.stream import read_stream
from batchgnn.modes.temporal.ways import Ways
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.temporal_layers import DeepTemporalModel
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.events import Events

WIDTH, RECENT, DECODED = 4, 3, "decoder.c"


class Alone(Ways):
    """One rank, without MPI."""

    def __init__(self):
        self.slices = self.ahead = self.copies = 1
        self.copy = self.slot = self.part = 0
        self.comm = SimpleNamespace(size=1)


class Walk:
    """A model, its task, memories and sampler on one stream."""

    def __init__(self, folder, columns, *, loss="bce", time_encoder="learned", layers=1, **options):
        self.stream = read_stream(ShardStore(shards_of(folder, columns, **options)), np.float64)
        spec = ModelSpec(
            model="tgn",
            state_width=WIDTH,
            time_width=5,
            state_heads=2,
            state_layers=layers,
            time_encoder=time_encoder,
        )
        self.task = Events("mrr", loss, WIDTH)
        self.model = DeepTemporalModel(
            spec,
            self.stream.features.shape[1],
            extra=self.task.head(),
            seed=3,
            dtype=np.float64,
        )
        self.task.attach(self.model.parameters)
        rng = np.random.default_rng(12)
        for values in self.model.parameters.values():  # biases too, and slow clocks
            values += 0.1 * rng.normal(size=values.shape)
        self.states = VertexStates(
            self.stream, OwnRows(self.stream.num_vertices, 2 * WIDTH, np.float64)
        )
        self.sampler, self.ways = Sampler(self.stream, RECENT, hops=layers), Alone()

    def place(self, first, last, negatives):
        events = np.arange(first, last)
        ends = self.stream.source[events], self.stream.target[events]
        vertex = np.concatenate([*ends, np.ravel(negatives)])
        return self.sampler.place(vertex, np.tile(events, 2 + len(negatives)), self.states.mail)

    def forward(self, first, last, negatives, placed=None):
        """(rows, states of members, what backward needs, the batch as it is placed)."""
        placed = placed or self.place(first, last, negatives)
        now, remembered = self.model.remember(self.states.read(placed.member).mails(self.stream))
        rows, attended = self.model.attend(placed.batch, now, training=True)
        return rows, now, (remembered, attended), placed

    def tell(self, first, last, now, placed):
        self.ways.tell(self.states, first, last, now, placed.batch.state_row)


def slope_at(flat, i, before, total, step=3e-6):
    """Central difference of fourth order by one element."""
    ends = []
    for factor in (2, 1, -1, -2):
        flat[i] = before + factor * step
        ends.append(total())
    flat[i] = before
    return (8 * (ends[1] - ends[2]) - (ends[0] - ends[3])) / (12 * step)


def assert_gradients(parameters, total, zero=()):
    """`parameters.grads` are central differences of a loss; zero: names whose slope may be 0."""
    gradient = {name: each.copy() for name, each in parameters.grads.items()}
    for name, values in parameters.items():
        flat, slopes = values.reshape(-1), np.empty(values.size)
        for i, before in enumerate(flat.copy()):
            slopes[i] = slope_at(flat, i, before, total)
        assert np.abs(slopes).max() > 0 or name in zero, name
        found = gradient[name].ravel()
        np.testing.assert_allclose(found, slopes, rtol=2e-9, atol=1e-9, err_msg=name)
