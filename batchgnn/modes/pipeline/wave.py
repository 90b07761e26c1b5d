"""The exact order: a layer goes on with a chunk when the chunks that it reads have left the layer
before.

Where edges join chunks at most w places apart, layer l (from 0) of chunk i needs the chunks up to
i + w of layer l - 1, so that it is computed in slot i + l w + stage(l); backward likewise, from
the last chunk and the last layer on. C + (L - 1) w + S - 1 slots each way, and nothing is old.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.background import Background
from batchgnn.comm.pipe import Pipe
from batchgnn.modes.pipeline.slots import BACKWARD, FORWARD, Slots
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.linear import dense
from batchgnn.nn.model import StagedModel
from batchgnn.nn.operator import InputOperator, Operator, Saved
from batchgnn.store.own_shards import OwnShards
from batchgnn.tasks.task import Task
from batchgnn.watch import trace


@dataclass(frozen=True)
class WaveChunk:
    """A chunk, and what its aggregations read.

    rows      its vertices
    sources   int64 (k,): it and its in-neighbours in other chunks, the rows that `operator` takes
    first     of the first layer: `operator`, or what it aggregated before training
    """

    rows: slice
    sources: np.ndarray
    operator: Operator
    first: InputOperator


@dataclass(frozen=True)
class Waves:
    """Which chunk of each layer is computed in which slot, by a stage of so many.

    width  w; layers: of this stage, of num_layers
    """

    num_chunks: int
    width: int
    num_layers: int
    layers: range
    stage: int
    num_stages: int

    @property
    def num_slots(self) -> int:
        """Each way, over all stages."""
        return self.num_chunks + (self.num_layers - 1) * self.width + self.num_stages - 1

    def forward(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """A slot after another, and the (layer, chunk) that this stage computes there."""
        for slot in range(self.num_slots):
            here = [(n, slot - n * self.width - self.stage) for n in self.layers]
            if found := [(n, k) for n, k in here if 0 <= k < self.num_chunks]:
                yield slot, found

    def backward(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """The same in the reversed order of everything."""
        turned = list(self.forward())[::-1]
        for slot, found in turned:
            yield self.num_slots - 1 - slot, found[::-1]

    def lengths(self) -> np.ndarray:
        """int64 (2, num_slots): how many chunks of a layer this stage has in each slot."""
        out = np.zeros((2, self.num_slots), np.int64)
        for way, slots in enumerate((self.forward(), self.backward())):
            for slot, found in slots:
                out[way, slot] = len(found)
        return out

    def last_read(self, chunk: int) -> int:
        """The last chunk that a chunk reads."""
        return min(chunk + self.width, self.num_chunks - 1)

    def complete(self, chunk: int) -> range:
        """Whose gradients are complete when a layer has gone backward down to a chunk."""
        last = self.num_chunks - 1
        ends = 0 if chunk == 0 else chunk + self.width
        return range(min(chunk + self.width, last), ends - 1, -1) if ends <= last else range(0)


class Wave:
    """All stages in a row, of which this rank has one; its methods are for all ranks to call."""

    def __init__(
        self,
        model: StagedModel,
        waves: Waves,
        chunks: list[WaveChunk],
        pipe: Pipe,
        whole: OwnShards,
        task: Task,
        split_index: int,
        seed: int,
    ):
        """chunks: in their order; whole: all shards."""
        self.model, self.waves, self.chunks, self.pipe = model, waves, chunks, pipe
        self.whole, self.task, self.seed = whole, task, seed
        self.slots = Slots(waves.num_slots)
        self.layers, self.dtype = waves.layers, model.parameters.buffer.dtype
        self.is_first = self.layers.start == 0
        self.is_last = self.layers.stop == model.num_layers
        seeds = task.seeds(whole, split_index)
        self.num_seeds = seeds.total
        self.roots = task.roots(whole, np.concatenate(seeds.own))
        self.root_rows = whole.ownership.local_rows(self.roots.ids)
        self.total = np.zeros_like(model.parameters.grad)
        self.saved: dict[tuple[int, int], Saved] = {}
        self.entering: dict[int, np.ndarray] = {}
        "By layer: rows that enter it, then their gradients; behind the last layer its results."

    def gradient(self, epoch: int) -> float:
        """Fill `parameters.grad` with this stage's part; the sum of losses, on the last stage."""
        self.total[:] = 0
        self.model.parameters.grad[:] = 0
        with self.slots.passage():
            with trace.phase("forward"):
                self._forward(DropoutStream(self.seed, epoch, step=0))
            with trace.phase("backward"):
                loss_sum = self._loss()
                self._backward()
                self.pipe.finish()
        self.entering = {}
        self.model.parameters.grad[:] = self.total
        return loss_sum

    def _forward(self, stream: DropoutStream) -> None:
        waves, layers = self.waves, self.layers
        self.entering = {n: self._rows(n) for n in self._held}
        with self._arriving() as arriving:
            inbox = iter(zip(self.chunks, arriving, strict=True))
            received = 0
            for slot, todo in waves.forward():
                for n, k in todo if not self.is_first else []:
                    while n == layers.start and received <= waves.last_read(k):
                        chunk, rows = next(inbox)
                        self.entering[n][chunk.rows] = rows
                        received += 1
                with self.slots.slot(FORWARD, slot):
                    results = [(n, self._layer(n, k, stream)) for n, k in todo]
                for n, y in results:
                    if n + 1 not in self.entering:
                        self.pipe.send_rows(y)

    def _layer(self, n: int, k: int, stream: DropoutStream) -> np.ndarray:
        chunk = self.chunks[k]
        if n == 0:
            A = chunk.first
            x = np.empty((len(A.source_ids), 0), self.dtype)
            if A is chunk.operator:
                x = dense(self.whole.features.at(chunk.sources)).astype(self.dtype, copy=False)
        else:
            A, x = chunk.operator, self.entering[n][chunk.sources]
        y, self.saved[n, k] = self.model.forward_layers(n, [A], x, stream)
        if n + 1 in self.entering:
            self.entering[n + 1][chunk.rows] = y
        return y

    def _loss(self) -> float:
        """The sum of losses; rows that entered layers give way to their gradients."""
        loss_sum, results = 0.0, self.entering.get(self.layers.stop)
        if results is not None:
            scale = 1.0 / max(self.num_seeds, 1)
            loss_sum, dchosen = self.task.loss(results[self.root_rows], self.roots, scale)
            self._add_gradient()  # of the task's head
        for each in self.entering.values():
            each[...] = 0
        if results is not None:
            results[self.root_rows] = dchosen
        return loss_sum

    def _backward(self) -> None:
        waves, (first, last) = self.waves, (self.layers.start, self.layers.stop - 1)
        with self._returning() as returning:
            inbox = iter(returning)
            for slot, todo in waves.backward():
                came = [next(inbox) for n, _ in todo if n == last and not self.is_last]
                with self.slots.slot(BACKWARD, slot):
                    for n, k in todo:
                        dy = came.pop() if n == last and came else self._gradient(n, k)
                        self._layer_backward(n, k, dy)
                for n, k in todo if not self.is_first else []:
                    for done in waves.complete(k) if n == first else ():
                        self.pipe.send_gradients(self.entering[n][self.chunks[done].rows])

    def _gradient(self, n: int, k: int) -> np.ndarray:
        return self.entering[n + 1][self.chunks[k].rows].copy()

    def _layer_backward(self, n: int, k: int, dy: np.ndarray) -> None:
        dx = self.model.backward_layers(n, dy, self.saved.pop((n, k)))
        self._add_gradient()
        if dx is not None:
            self.entering[n][self.chunks[k].sources] += dx

    def _add_gradient(self) -> None:
        grad = self.model.parameters.grad
        self.total += grad
        grad[:] = 0

    @property
    def _held(self) -> range:
        """Layers that rows enter from within this stage or from another, and the end of all."""
        return range(max(self.layers.start, 1), self.layers.stop + self.is_last)

    def _rows(self, n: int) -> np.ndarray:
        """(N, d), of rows that enter layer n."""
        return buffers.empty((self.whole.num_own, self._width(n)), self.dtype)

    def _width(self, n: int) -> int:
        model = self.model
        return model.widths[-1] if n == model.num_layers else model.entering_width(n)

    def _arriving(self) -> Background[np.ndarray]:
        """Rows of the stage before, chunk after chunk; none where there is no such stage."""
        if self.is_first:
            return Background(lambda t: self.total, len(self.chunks), enabled=False)
        return self.pipe.rows(self._counts(), self._width(self.layers.start), self.dtype)

    def _returning(self) -> Background[np.ndarray]:
        """Gradients of the stage behind, from the last chunk on."""
        if self.is_last:
            return Background(lambda t: self.total, 0, enabled=False)
        width = self._width(self.layers.stop)
        return self.pipe.gradients(self._counts()[::-1], width, self.dtype)

    def _counts(self) -> list[int]:
        return [each.rows.stop - each.rows.start for each in self.chunks]
