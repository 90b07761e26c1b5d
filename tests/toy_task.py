"""A task in one file: whether a vertex is of the first class, a number above or below 0.

Its head is one parameter, which is added to every number.

It shows that a task is a file and a row of `tasks.kinds.TASKS`, which `registered` puts there.
"""

from unittest.mock import patch

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.nn.init import Declared
from batchgnn.nn.loss import squared_loss
from batchgnn.tasks.kinds import TASKS, TaskKind
from batchgnn.tasks.options import Scoring
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import Loss
from batchgnn.tasks.vertices import VertexTask

SHIFT = "head.shift"


def side_of(label):
    """float32 (n,): 1 of the first class, -1 of the others, NaN without a class."""
    return np.where(label < 0, np.nan, np.where(label == 0, 1, -1)).astype(np.float32)


class FirstOrNot(VertexTask):
    """One column, which is compared with 1 and -1."""

    def width(self, manifest):
        return 1

    def head(self):
        return {SHIFT: Declared((1,))}

    def attach(self, parameters):
        self.shift, self.dshift = parameters[SHIFT], parameters.grads[SHIFT]

    def loss(self, rows, roots, scale):
        loss = Loss(*squared_loss(rows + self.shift, side_of(roots.targets), scale))
        self.dshift[:] = loss.gradient.sum(axis=0)
        return loss

    def score(self, comm, logits, labels):
        """The share of the vertices on the right side; collective."""
        side = side_of(labels)
        known = np.isfinite(side)
        total = np.array([(side * self.numbers(logits) > 0).sum(), known.sum()], np.int64)
        allreduce_sum(comm, total, "score counts")
        return [Score("hits", total[0] / total[1])]

    def predict(self, inference):
        return {"is_first": self.numbers(inference.logits()) > 0}

    def numbers(self, logits):
        return (logits + self.shift)[:, 0]


ROW = TaskKind(
    name="first-or-not",
    options=(Scoring,),
    make=lambda settings: FirstOrNot(settings[Scoring].score),
    metrics=("hits",),
    manifest_task="multiclass",
)


def registered():
    """A context in which the task has its row."""
    return patch.dict(TASKS, {ROW.name: ROW})
