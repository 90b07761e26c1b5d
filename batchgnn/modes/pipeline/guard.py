"""Whether the pipeline still computes what the exact model would: now and then both are compared.

Historical rows may leave the exact ones behind: the loss that a step sees goes on falling while
the model's own gets worse. Shorter histories were seen not to cure that; exact steps do.
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.modes.pipeline.owners import Owners
from batchgnn.modes.pipeline.start import exact_layers
from batchgnn.modes.share import Share
from batchgnn.modes.whole.mode import WholeGraphMode
from batchgnn.nn.model import StagedModel

MOST_LOSS_GAP, MOST_DISAGREEMENT = 0.1, 0.25
"""Benign runs were seen to stay below .02 and .17; one that collapsed from 83 to 45 % of accuracy
was far above."""


@dataclass(frozen=True)
class Reading:
    """What was found in an epoch, on rows with the same dropout.

    epoch         from 1
    loss_gap      the exact model's loss above that of the pipeline's rows, as a share of the loss
                  of rows of zeros, which of classes is the logarithm of their number
    disagreement  share of the vertices whose largest column is another one
    """

    epoch: int
    loss_gap: float
    disagreement: float

    @property
    def is_adrift(self) -> bool:
        """Whether to go on exactly; also of what is not a number."""
        return not (self.loss_gap <= MOST_LOSS_GAP and self.disagreement <= MOST_DISAGREEMENT)

    def __str__(self) -> str:
        return (
            f"the exact loss is {self.loss_gap:.3g} of that of a guess above what training saw "
            f"({MOST_LOSS_GAP:g} is allowed), and {self.disagreement:.1%} of the predictions "
            f"differ ({MOST_DISAGREEMENT:.0%})"
        )


NOTHING_READ = Reading(0, 0.0, 0.0)


class Guard:
    """Compares rows of the pipeline with those of an exact forward."""

    def __init__(self, share: Share, model: StagedModel, exact: WholeGraphMode, owners: Owners):
        self.share, self.model, self.exact, self.owners = share, model, exact, owners

    def read(self, epoch: int, rows: np.ndarray | None) -> Reading:
        """rows: of `Line`, of the epoch; gradients stay. Collective."""
        model, comm = self.model, self.share.grid.world
        width, dtype = model.widths[-1], model.parameters.buffer.dtype
        mine = self.owners.deal(self.owners.layout.num_stages - 1, rows, width, dtype)
        *_, last = exact_layers(model, self.exact.graph, self.share.seed, epoch)
        differs = mine.argmax(axis=1) != last.rows.argmax(axis=1)
        losses = [self._loss(each) for each in (last.rows, mine, np.zeros_like(mine))]
        sums = np.array([*losses, differs.sum(), len(differs)], np.float64)
        allreduce_sum(comm, sums, "guard")
        exact, seen, guess, num_other, num_vertices = sums
        gap = (exact - seen) / guess if guess else 0.0
        return Reading(epoch + 1, float(gap), float(num_other / max(num_vertices, 1)))

    def _loss(self, rows: np.ndarray) -> float:
        """The sum of the losses of own seeds."""
        grad, roots = self.model.parameters.grad, self.exact.roots.at(0)
        before = grad.copy()  # a task's head writes its own
        loss_sum, _ = self.share.task.loss(roots.take(rows), roots.roots, 1.0)
        grad[:] = before
        return loss_sum
