"""What tests of mode pipeline share: models, and the mode opened on some ranks, in float64."""

from typing import NamedTuple

import numpy as np
from mpi.together import WHOLE, changed, counted_epoch, sent_bytes, with_model

from batchgnn.modes.open import make_mode
from batchgnn.plan.beside import plan_of
from batchgnn.plan.prediction import Prediction
from batchgnn.run.session import open_session
from batchgnn.watch import trace

LAYERS = 5
BASE = changed(WHOLE, mode="pipeline", layers=LAYERS, hidden=10, overlap=True)
MODELS = {
    "sage": {},
    "gcn": {"residual": True, "norm": "layer", "overlap": False},
    "gin": {"norm": "layer", "aggregate_cache": "off", "input_dropout": 0.2},
    "gat": {"attention_dropout": 0.3, "residual": True},
    "gcnii": {"input_dropout": 0.1},
}


def settings_of(model, **options):
    return changed(BASE, model=model, **MODELS[model] | options)


def exact(settings):
    """The same model trained exactly."""
    return changed(settings, mode="fullgraph", overlap=False)


class Opened:
    """A mode on all ranks, and what they have of it together."""

    def __init__(self, session, dtype=np.float64):
        self.comm, self.mode = session.grid.world, make_mode(with_model(session, dtype))
        self.parameters, self.num_seeds = session.model.parameters, self.mode.line.num_seeds
        self.histories = self.mode.line.stage.histories

    def loss(self, epoch):
        """Of all seeds; fills the gradient."""
        return self.comm.allreduce(self.mode.gradient(epoch)) / self.num_seeds

    def gradient(self, epoch):
        self.loss(epoch)
        return self.comm.allreduce(self.parameters.grad)

    def forget(self):
        """Histories become wrong, after an epoch that has made them."""
        self.loss(0)
        self.make_wrong()

    def make_wrong(self, scale=1.0):
        """Noise, the same wherever a layer is."""
        for layer, history in self.histories.items():
            rng = np.random.default_rng(layer)
            for kept in history.rows:
                kept.old[...] = kept.now[...] = scale * rng.normal(size=kept.old.shape)


def exactly(comm, shards, settings):
    """Loss and gradient of the first parameters, by the exact mode."""
    with open_session(shards, exact(settings), comm) as session:
        mode = make_mode(with_model(session, np.float64))
        return mode.gradient(0) / mode.num_seeds, session.model.parameters.grad.copy()


class Sent(NamedTuple):
    """Of all ranks in an epoch: bytes between stages, between ways, all bytes and calls; a plan."""

    stages: int
    ways: int
    num_bytes: int
    num_calls: int
    prediction: Prediction


def sent_in_an_epoch(session, mode, shards):
    """Of the second epoch, the first of which an exact pass comes before; collective."""
    comm, (prediction, _) = session.grid.world, plan_of(session, shards)
    list(mode.epoch(0))
    counts = counted_epoch(mode, 1)
    num_bytes, num_calls = map(comm.allreduce, trace.sent())
    stages = sent_bytes(comm, counts, "stage rows", "stage gradients")
    ways = sent_bytes(comm, counts, "rows of ways", "rows of ways adjoint")
    return Sent(stages, ways, num_bytes, num_calls, prediction)
