"""What a run's files tell of the pipeline: stages, slots, how idle they were, how old rows are."""

from dataclasses import asdict
from typing import Any

import numpy as np

from batchgnn.comm.grid import Comm
from batchgnn.comm.values import values_of_all
from batchgnn.modes.pipeline.guard import Reading
from batchgnn.modes.pipeline.layout import Layout
from batchgnn.modes.pipeline.line import Line
from batchgnn.modes.pipeline.slots import Slots, least_idle, num_slots
from batchgnn.modes.share import Share


def history_age(epoch: int, every: int) -> int:
    """Epochs, counted from 0, since the parameters of an epoch's historical rows were its own."""
    return epoch if epoch < every else epoch % every + 1


class Idle:
    """How idle the stages were: shares of an epoch's passage in no slot, by rank.

    least  what of it slots of such lengths leave, did nobody wait for messages
    """

    def __init__(self, comm: Comm, num_stages: int):
        self.comm, self.num_stages = comm, num_stages
        self.shares, self.least = list[np.ndarray](), list[float]()

    def epoch(self, slots: Slots) -> float:
        """Of an epoch, the mean over the ranks; collective."""
        of_all = values_of_all(self.comm, [slots.passage_s, slots.seconds.tolist()])
        passages, seconds = zip(*of_all, strict=True)
        lengths = np.array(seconds)
        self.shares.append(1 - lengths.sum(axis=(1, 2)) / max(passages))
        ways = lengths.reshape(self.num_stages, -1, *lengths.shape[1:])
        self.least.append(least_idle(ways.max(axis=1)))
        return float(np.mean(self.shares[-1]))

    def told(self, num_chunks: int, each_way: int, bubble: float) -> dict[str, Any]:
        """For result.json: means over the epochs but the first, which compiles."""
        idle = np.mean(self.shares[1:] or self.shares or [np.empty(0)], axis=0).round(4)
        least = np.mean(self.least[1:] or self.least or [bubble])
        return {
            "chunks": num_chunks,
            "each_way": each_way,
            "bubble": round(bubble, 4),
            "imbalance": round(float(least - bubble), 4),
            "idle": idle.tolist(),
        }


class Told:
    """Adds up over the epochs that it is told of."""

    def __init__(self, share: Share, layout: Layout, every: int):
        """every: epochs between two histories."""
        self.share, self.layout, self.every = share, layout, every
        self.idle = Idle(share.grid.world, layout.num_stages)

    def epoch(self, epoch: int, line: Line, reading: Reading) -> dict[str, float]:
        """For the line of metrics of an epoch that went through the pipeline; collective."""
        age = float(history_age(epoch, self.every))
        said = {"idle": self.idle.epoch(line.slots), "history_age": age}
        if reading.epoch == epoch + 1:
            said |= {"guard_loss_gap": reading.loss_gap, "guard_disagreement": reading.disagreement}
        return said

    def run(self) -> dict[str, Any]:
        """For result.json."""
        chunks, stages = self.layout.num_chunks, self.layout.num_stages
        each_way = num_slots(chunks, stages)
        slots = self.idle.told(chunks, each_way, (stages - 1) / each_way)
        layers = np.diff(self.layout.layers).tolist()
        return {"stages": layers, "slots": slots, "staleness": self._stale()}

    def _stale(self) -> dict[str, float]:
        """An edge between chunks is read from the history in one of its directions."""
        manifest, chunk = self.share.manifest, self.layout.chunk_of_shard
        num_edges = max(int(manifest.shard_edges.sum()), 1)
        of_row = np.repeat(chunk, np.diff(manifest.quotient_indptr))
        apart = of_row != chunk[manifest.quotient_indices]
        share = int(manifest.quotient_weight[apart].sum()) / 4 / num_edges
        return {"epochs": self.every, "share_of_edges": round(share, 4)}


def told_of_guard(every: int, reading: Reading, exact_from: int) -> dict[str, Any]:
    """For result.json: the guard's last reading, and what came of it."""
    last = asdict(reading) if reading.epoch else {}
    return last | {"every": every, "exact_from": exact_from or None}
