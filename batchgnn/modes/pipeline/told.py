"""What a run's files tell of the pipeline: stages, slots, how idle they were, how old rows are."""

from dataclasses import asdict
from typing import Any

import numpy as np

from batchgnn.comm.values import values_of_all
from batchgnn.modes.pipeline.guard import Reading
from batchgnn.modes.pipeline.layout import Layout
from batchgnn.modes.pipeline.line import Line
from batchgnn.modes.pipeline.slots import bubble, num_slots
from batchgnn.modes.share import Share


def history_age(epoch: int, every: int) -> int:
    """Epochs, counted from 0, since the parameters of an epoch's historical rows were its own."""
    return epoch if epoch < every else epoch % every + 1


class Told:
    """Adds up over the epochs that it is told of.

    idle  of each epoch, by rank: the share of its passage in no slot
    """

    def __init__(self, share: Share, layout: Layout, every: int):
        """every: epochs between two histories."""
        self.share, self.layout, self.every = share, layout, every
        self.idle: list[list[float]] = []

    def epoch(self, epoch: int, line: Line, reading: Reading) -> dict[str, float]:
        """For the line of metrics of an epoch that went through the pipeline; collective."""
        self.idle.append(values_of_all(self.share.grid.world, line.slots.idle))
        said = {
            "idle": float(np.mean(self.idle[-1])),
            "history_age": history_age(epoch, self.every),
        }
        if reading.epoch == epoch + 1:
            said |= {"guard_loss_gap": reading.loss_gap, "guard_disagreement": reading.disagreement}
        return said

    def run(self) -> dict[str, Any]:
        """For result.json; idle: means over the epochs but the first, which compiles."""
        chunks, stages = self.layout.num_chunks, self.layout.num_stages
        idle = np.mean(self.idle[1:] or self.idle or [[]], axis=0).round(4)
        slots = {
            "chunks": chunks,
            "each_way": num_slots(chunks, stages),
            "bubble": round(bubble(chunks, stages), 4),
            "idle": idle.tolist(),
        }
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
