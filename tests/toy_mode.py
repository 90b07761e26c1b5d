"""A mode in one file: plain SGD, a step for the seeds of each shard, through the whole graph.

It shows that a mode is a file, a row of `modes.kinds.MODES` and one of `plan.predictions`, which
`registered` puts there. It keeps a state of each kind: the velocity, the same on every rank; how
often each vertex was a seed; and how many steps each rank had seeds for.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from batchgnn.base.bytes import MemoryPlan
from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.step_sum import StepSum
from batchgnn.modes.kinds import MODES, ModeKind
from batchgnn.modes.mode import StepResult
from batchgnn.modes.whole.halo_graph import halo_operator
from batchgnn.modes.whole.mode import WholeGraph, WholeInference
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.linear import dense
from batchgnn.plan.prediction import TERMS, Prediction
from batchgnn.plan.predictions import PREDICTIONS, PredictionKind
from batchgnn.settings.general import Optimiser
from batchgnn.store.mode_state import ModeState


@dataclass(frozen=True, kw_only=True)
class Gliding:
    """What a step leaves of the one before."""

    glide: float = 0.5
    "Share of the velocity that stays."


class ToyMode:
    """A step for each shard of the store, whoever owns it."""

    def __init__(self, share):
        self.share, self.model, self.task = share, share.model, share.task
        self.graph = graph_of(share)
        self.num_steps = share.manifest.num_shards
        self.seeds = self.task.seeds(share.own, share.split_index)
        self.step_sum = StepSum(share.grid.world, self.model.parameters.grad)
        self.velocity = np.zeros_like(self.model.parameters.buffer)
        self.times_seed = np.zeros(share.own.num_own, np.int32)
        self.steps_here = np.zeros(1, np.int64)

    @property
    def exactness(self):
        return "exact; a toy"

    def epoch(self, epoch, first_step=0):
        for step in range(first_step, self.num_steps):
            loss_sum, num_seeds = self.gradient(epoch, step)
            words = self.step_sum(loss_sum)
            self.velocity *= self.share.settings[Gliding].glide
            self.velocity += self.model.parameters.grad
            self.model.parameters.buffer -= self.share.settings[Optimiser].lr * self.velocity
            yield StepResult(step, loss_sum, num_seeds, words)

    def gradient(self, epoch, step):
        """Fill `parameters.grad` with this rank's share; own seeds' sum of losses, own seeds."""
        own, model = self.share.own, self.model
        mine = [ids for shard, ids in zip(own.shards, self.seeds.own, strict=True) if shard == step]
        roots = self.task.roots(own, np.concatenate([own.ids[:0], *mine]))
        places = own.rows(roots.ids)
        stream = DropoutStream(self.share.seed, epoch, step)
        rows, saved = model.forward(self.graph.operators, self.graph.x, stream)
        scale = 1 / max(int(self.seeds.counts[step]), 1)
        loss_sum, drows_of_roots = self.task.loss(rows[places], roots, scale)
        drows = np.zeros_like(rows)
        drows[places] = drows_of_roots
        model.backward(drows, saved)
        self.times_seed[places] += 1
        self.steps_here += len(places) > 0
        return loss_sum, roots.num_seeds

    def inference(self):
        return WholeInference(self.model, self.graph)

    def evaluate(self):
        return self.share.evaluate(self.inference(), "val", "test")

    def state(self):
        return ModeState(
            replicated={"velocity": self.velocity},
            by_vertex={"times_seed": self.times_seed},
            by_trainer={"steps_here": self.steps_here},
            trainer=self.share.grid.rank,
        )

    def load(self, state):
        self.velocity[:] = state.replicated["velocity"]
        self.times_seed[:] = state.by_vertex["times_seed"]
        self.steps_here[:] = state.by_trainer.get("steps_here", 0)

    def counts(self):
        total = np.array([self.times_seed.sum()], np.int64)
        allreduce_sum(self.share.grid.world, total, "epoch sums")
        return {"times_seed": int(total[0])}

    def totals(self):
        return {"toy": True}


def graph_of(share):
    """Operators over all edges, without options of their own; collective."""
    own, model = share.own, share.model
    A = halo_operator(share.grid, own, model.aggregation, overlap=False)
    x = dense(own.features.at(np.arange(own.num_own)))
    return WholeGraph([A] * model.num_layers, x.astype(model.parameters.buffer.dtype))


def memory_of(extent):
    return MemoryPlan(extent.held_bytes(per_vertex=16) | {"edges": 16 * extent.num_edges})


def predict_toy(job, rates):
    return Prediction(
        exactness="exact",
        seconds=dict.fromkeys(TERMS, 0.125),
        hidden_s=0.0,
        steps=job.manifest.num_shards,
        bytes=0.0,
        calls=0.0,
        memory=memory_of(job.extent(0)),
        allowed=job.allowed,
    )


TOY = ModeKind(
    name="toy",
    options=(Gliding,),
    resolve=lambda settings: settings,
    make=ToyMode,
    infer=lambda share: WholeInference(share.model, graph_of(share)),
    memory=memory_of,
    advice="Play with less.",
    whole_graph=True,
)


@contextmanager
def registered():
    """The mode has its two rows inside of the block."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(MODES, {TOY.name: TOY}))
        stack.enter_context(
            patch.dict(PREDICTIONS, {TOY.name: PredictionKind(predict=predict_toy)})
        )
        yield
