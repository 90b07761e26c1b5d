"""What a stage begins with: chunks, input rows, and historical rows of an exact pass."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from batchgnn.graph.cut_rows import even_bounds
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.owners import Owners
from batchgnn.modes.pipeline.saved import stage_of
from batchgnn.modes.pipeline.stage import Stage
from batchgnn.modes.share import Share
from batchgnn.modes.whole.mode import WholeGraph
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.linear import dense
from batchgnn.nn.model import StagedModel, staged
from batchgnn.nn.operator import InputOperator, has_adjoint
from batchgnn.operators.cached import KeptOperator
from batchgnn.operators.history import GRADIENTS, ChunkedGraph
from batchgnn.operators.recording import RecordingOperator
from batchgnn.sampling.in_edges import InEdges
from batchgnn.settings.general import Features
from batchgnn.store.own_shards import OwnShards


class ChunkInputs:
    """The input rows of a chunk, from the shards; the kept aggregation, where there is one."""

    def __init__(
        self, whole: OwnShards, graph: ChunkedGraph, kept: np.ndarray | None, dtype: np.dtype
    ):
        """kept: the aggregation of all vertices, where it is; dtype: of the model."""
        self.whole, self.graph, self.kept, self.dtype = whole, graph, kept, dtype

    def rows(self, chunk: int) -> np.ndarray:
        """(n, D) of a chunk; (n, 0) where only their aggregation is read."""
        rows = self.graph.rows(chunk)
        if self.kept is not None:
            return np.empty((rows.stop - rows.start, 0), self.dtype)
        features = self.whole.features.at(np.arange(rows.start, rows.stop))
        return dense(features).astype(self.dtype, copy=False)

    def operator(self, chunk: int) -> InputOperator | None:
        """Of the first layer, where its aggregation is kept."""
        rows = self.graph.rows(chunk)
        if self.kept is None:
            return None
        return KeptOperator.holding(self.graph.ids[rows], self.kept[rows])


def stage_bounds(num_layers: int, num_stages: int) -> np.ndarray:
    """int64 (S + 1,): stage s has the layers bounds[s] : bounds[s + 1]."""
    return even_bounds(num_layers, num_stages)


def open_whole(share: Share) -> OwnShards:
    """The shards of the whole graph, mapped."""
    nobody = np.zeros(share.manifest.num_shards, np.int32)
    ownership = Ownership(share.manifest.offset, nobody)
    return OwnShards(share.own.whole, ownership, 0, share.settings[Features].feature_dtype)


def make_stage(share: Share, whole: OwnShards, exact: WholeGraph, owners: Owners) -> Stage:
    """This rank's stage; collective. exact: its kept first layer's aggregation is used."""
    options, model, rank = share.settings[Stages], staged(share.model), share.grid.rank
    block = InEdges(whole, 1).block(np.empty(0, np.float32))
    symmetric = not share.manifest.directed
    graph = ChunkedGraph(block, model.aggregation, whole.first_row, symmetric=symmetric)
    bounds = stage_bounds(model.num_layers, share.grid.size)
    return Stage(
        model,
        graph,
        range(int(bounds[rank]), int(bounds[rank + 1])),
        GRADIENTS[options.gradient],
        ChunkInputs(whole, graph, _kept(exact, owners), model.parameters.buffer.dtype),
        seed=share.seed,
        recompute=options.recompute,
    )


def _kept(exact: WholeGraph, owners: Owners) -> np.ndarray | None:
    """The first layer's kept aggregation of all vertices, on the first rank; collective."""
    first = exact.operators[0]
    return owners.collect(0, first.gather(exact.x)) if isinstance(first, KeptOperator) else None


class ExactLayer(NamedTuple):
    """A layer of the exact model on own vertices: what it aggregated, and its result."""

    layer: int
    aggregated: list[np.ndarray]
    rows: np.ndarray


def exact_layers(
    model: StagedModel, graph: WholeGraph, seed: int, epoch: int
) -> Iterator[ExactLayer]:
    """Layer by layer as in a step of training, with its dropout; collective."""
    x, stream = graph.x, DropoutStream(seed, epoch, step=0)
    for n, A in enumerate(graph.operators):
        recording = RecordingOperator(A) if has_adjoint(A) else None
        x, _ = model.forward_layers(n, [recording or A], x, stream)
        yield ExactLayer(n, recording.rows if recording else [], x)


def start_histories(
    stage: Stage, exact: Iterator[ExactLayer], owners: Owners, bounds: np.ndarray
) -> None:
    """Historical rows of every stage are those of an exact pass; collective."""
    for layer, aggregated, _ in exact:
        rows = [owners.collect(stage_of(layer, bounds), each) for each in aggregated]
        if layer in stage.histories:
            stage.histories[layer].start(*(each for each in rows if each is not None))
