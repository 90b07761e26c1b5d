"""An epoch of the pipeline: chunks forward from stage to stage, then backward."""

from collections.abc import Sequence

import numpy as np

from batchgnn.base import buffers
from batchgnn.base.rng import Purpose
from batchgnn.comm.background import Background
from batchgnn.comm.pipe import Pipe
from batchgnn.kernels.rng import fill_draws, stream_key
from batchgnn.modes.pipeline.slots import BACKWARD, FORWARD, Slots, num_slots
from batchgnn.modes.pipeline.stage import Stage
from batchgnn.store.own_shards import OwnShards
from batchgnn.tasks.task import Roots, Task
from batchgnn.watch import trace


class Line:
    """All stages in a row, of which this rank has one; its methods are for all ranks to call.

    rows   (n, outputs) of own vertices in the last epoch's forward, on the last stage
    roots  whose rows the loss needs, on the last stage
    """

    def __init__(
        self, stage: Stage, pipe: Pipe, task: Task, mine: OwnShards, split_index: int, every: int
    ):
        """mine: the shards of this rank's way; every: epochs between two histories."""
        self.stage, self.pipe, self.task, self.every = stage, pipe, task, every
        self.graph, self.model = stage.graph, stage.model
        self.slots = Slots(num_slots(self.graph.num_chunks, pipe.num_stages))
        self.dtype = self.model.parameters.buffer.dtype
        seeds = task.seeds(mine, split_index)
        self.num_seeds = seeds.total
        self.roots: Roots | None = None
        if stage.is_last:
            self.roots = task.roots(mine, np.concatenate(seeds.own))
            self.root_rows = mine.ownership.local_rows(self.roots.ids)
        self.rows: np.ndarray | None = None

    @property
    def num_own_seeds(self) -> int:
        """Of this rank: its way's, on the last stage."""
        return 0 if self.roots is None else self.roots.num_seeds

    def order(self, epoch: int) -> list[int]:
        """The chunks as they are taken in an epoch, the same on all ranks."""
        chunks = np.arange(self.graph.num_chunks, dtype=np.uint64)
        key, out = stream_key(self.stage.seed, int(Purpose.SHUFFLE), epoch, 0, 0), chunks.copy()
        fill_draws(np.uint64(key), chunks, out)
        return np.argsort(out, kind="stable").tolist()

    def gradient(self, epoch: int) -> float:
        """Fill `parameters.grad` with this stage's part; the sum of losses, on the last stage."""
        order, is_snapshot = self.order(epoch), (epoch + 1) % self.every == 0
        self.stage.begin(epoch)
        with self.slots.passage():
            with trace.phase("forward"):
                self._forward(order)
            with trace.phase("backward"):
                loss_sum, drows = self._loss()
                self._backward(order[::-1], drows, is_snapshot=is_snapshot)
                self.pipe.finish()
        self.stage.end(is_snapshot=is_snapshot)
        return loss_sum

    def _forward(self, order: list[int]) -> None:
        stage = self.stage
        if stage.is_last:
            shape = self.graph.num_own, self.model.widths[-1]
            self.rows = buffers.empty(shape, self.dtype)
        with self._entering(order) as entering:
            for slot, (chunk, x) in enumerate(zip(order, entering, strict=True), self.pipe.stage):
                with self.slots.slot(FORWARD, slot, chunk=chunk):
                    y = stage.forward(chunk, x)
                if self.rows is None:
                    self.pipe.send_rows(y)
                else:
                    self.rows[self.graph.rows(chunk)] = y

    def _backward(self, order: list[int], drows: np.ndarray | None, *, is_snapshot: bool) -> None:
        stage, behind = self.stage, self.pipe.num_stages - 1 - self.pipe.stage
        with self._returning(order, drows) as returning:
            for slot, (chunk, dy) in enumerate(zip(order, returning, strict=True), behind):
                with self.slots.slot(BACKWARD, slot, chunk=chunk):
                    dx = stage.backward(chunk, dy, is_snapshot=is_snapshot)
                if dx is not None:
                    self.pipe.send_gradients(dx)

    def _loss(self) -> tuple[float, np.ndarray | None]:
        """The sum of losses, and the gradient of all rows; on the last stage."""
        if self.roots is None or self.rows is None:
            return 0.0, None
        scale = 1.0 / max(self.num_seeds, 1)
        loss_sum, dchosen = self.task.loss(self.rows[self.root_rows], self.roots, scale)
        drows = buffers.empty(self.rows.shape, self.dtype)
        drows[...] = 0
        drows[self.root_rows] = dchosen
        self.stage.add_gradient()  # of the task's head
        return loss_sum, drows

    def _entering(self, order: list[int]) -> Background[np.ndarray]:
        """Rows that enter this stage, chunk after chunk."""
        stage = self.stage
        if stage.is_first:
            return Background(lambda t: stage.inputs.rows(order[t]), len(order), enabled=False)
        return self.pipe.rows(self._counts(order), self._width(stage.layers.start), self.dtype)

    def _returning(self, order: list[int], drows: np.ndarray | None) -> Background[np.ndarray]:
        """Gradients of the rows that left it."""
        if drows is not None:
            rows = self.graph.rows
            return Background(lambda t: drows[rows(order[t])], len(order), enabled=False)
        return self.pipe.gradients(
            self._counts(order), self._width(self.stage.layers.stop), self.dtype
        )

    def _counts(self, order: Sequence[int]) -> list[int]:
        sizes = np.diff(self.graph.bounds)
        return sizes[list(order)].tolist()

    def _width(self, layer: int) -> int:
        return self.model.entering_width(layer)
