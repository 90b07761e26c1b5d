"""Layers in a pipeline, exact: chunks in an order in which edges join near ones.

The steps are those of mode fullgraph, whose optimiser, evaluation and checkpoints they have; only
the gradient is computed by stages (`wave.py`).
"""

from dataclasses import replace
from typing import Any

import numpy as np

from batchgnn.comm.pipe import Pipe
from batchgnn.graph.narrow import narrow_order
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.options import Messages
from batchgnn.modes.pipeline.layout import layout_of
from batchgnn.modes.pipeline.owners import Owners
from batchgnn.modes.pipeline.slots import least_idle
from batchgnn.modes.pipeline.start import kept_rows, open_shards
from batchgnn.modes.pipeline.told import Idle
from batchgnn.modes.pipeline.wave import Wave, WaveChunk, Waves
from batchgnn.modes.share import Share
from batchgnn.modes.whole.halo_graph import halo_graph
from batchgnn.modes.whole.mode import WholeGraphMode
from batchgnn.nn.model import staged
from batchgnn.operators.cached import KeptOperator
from batchgnn.operators.local import LocalOperator
from batchgnn.sampling.in_edges import InEdges
from batchgnn.store.own_shards import OwnShards


class WavefrontMode(WholeGraphMode):
    """Trains layers on different ranks, exactly; every method is collective."""

    def __init__(self, share: Share):
        super().__init__(share, halo_graph(share))
        grid, model, order = share.grid, staged(share.model), narrow_order(share.manifest)
        self.layout = layout_of(share.settings, share.manifest, model, grid.size)
        whole = open_shards(share, self.layout)
        kept = kept_rows(self.graph, Owners(grid.world, share.own.ownership, self.layout))
        chunks = [_chunk(share, whole, int(shard), kept) for shard in order.shards]
        waves = Waves(
            len(chunks), order.width, model.num_layers, self.layout.layers_of(grid.rank),
            grid.rank, grid.size,
        )  # fmt: skip
        pipe = Pipe(grid, overlap=bool(share.settings[Messages].overlap))
        args = pipe, whole, share.task, share.split_index, share.seed
        self.wave, self.idle = Wave(model, waves, chunks, *args), Idle(grid.world, grid.size)

    def gradient(self, epoch: int) -> float:
        """Fill `parameters.grad` with this stage's part, 0 elsewhere; the last one's losses."""
        return self.wave.gradient(epoch)

    def counts(self) -> dict[str, float]:
        """The graph's, and the share of the epoch's passage in no slot."""
        return super().counts() | {"idle": self.idle.epoch(self.wave.slots)}

    def totals(self) -> dict[str, Any]:
        """Stages and slots; width: how far apart the chunks are that edges join."""
        waves, layers_of = self.wave.waves, self.layout.layers_of
        every = [replace(waves, layers=layers_of(s), stage=s) for s in range(waves.num_stages)]
        bubble = least_idle(np.array([each.lengths() for each in every]))
        slots = self.idle.told(waves.num_chunks, waves.num_slots, bubble) | {"width": waves.width}
        return {"stages": np.diff(self.layout.layers).tolist(), "slots": slots}


def _chunk(share: Share, whole: OwnShards, shard: int, kept: np.ndarray | None) -> WaveChunk:
    """A shard as a chunk, with the operator of its in-edges."""
    offset, num_shards = share.manifest.offset, share.manifest.num_shards
    alone = Ownership(offset, np.arange(num_shards, dtype=np.int32))
    edges = InEdges(OwnShards(share.own.whole, alone, shard), num_shards)
    gcn = share.model.aggregation == "gcn"
    block = edges.block(whole.gcn_scale[edges.remote] if gcn else None)
    operator = LocalOperator(block, share.model.aggregation)
    rows = slice(int(offset[shard]), int(offset[shard + 1]))
    first = operator if kept is None else KeptOperator.holding(operator.target_ids, kept[rows])
    return WaveChunk(rows, block.ids.astype(np.int64), operator, first)
