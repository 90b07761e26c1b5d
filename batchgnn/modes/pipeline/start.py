"""What a stage begins with: chunks, input rows, and historical rows of an exact pass."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from batchgnn.comm.exchange import ArrayRows, RowExchange
from batchgnn.modes.pipeline.layout import Layout
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.owners import Owners
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
from batchgnn.operators.swaps import swapped
from batchgnn.sampling.in_edges import InEdges
from batchgnn.settings.general import Features
from batchgnn.store.own_shards import OwnShards


class ChunkInputs:
    """The input rows of a chunk, from the shards; the kept aggregation, where there is one."""

    def __init__(
        self, mine: OwnShards, graph: ChunkedGraph, kept: np.ndarray | None, dtype: np.dtype
    ):
        """kept: the aggregation of this way's vertices, where it is; dtype: of the model."""
        self.mine, self.graph, self.kept, self.dtype = mine, graph, kept, dtype

    def rows(self, chunk: int) -> np.ndarray:
        """(n, D) of a chunk; (n, 0) where only their aggregation is read."""
        rows = self.graph.rows(chunk)
        if self.kept is not None:
            return np.empty((rows.stop - rows.start, 0), self.dtype)
        features = self.mine.features.at(np.arange(rows.start, rows.stop))
        return dense(features).astype(self.dtype, copy=False)

    def operator(self, chunk: int) -> InputOperator | None:
        """Of the first layer, where its aggregation is kept."""
        rows = self.graph.rows(chunk)
        if self.kept is None:
            return None
        return KeptOperator.holding(self.graph.ids[rows], self.kept[rows])


def open_shards(share: Share, layout: Layout) -> OwnShards:
    """The shards of this rank's way, mapped."""
    dtype, way = share.settings[Features].feature_dtype, share.grid.rank % layout.ways
    return OwnShards(share.own.whole, layout.ownership, way, dtype)


def make_stage(share: Share, mine: OwnShards, exact: WholeGraph, owners: Owners) -> Stage:
    """This rank's stage; collective. exact: its kept first layer's aggregation is used."""
    options, model, layout = share.settings[Stages], staged(share.model), owners.layout
    graph = chunked_graph(share, mine, layout)
    return Stage(
        model,
        graph,
        layout.layers_of(share.grid.rank),
        GRADIENTS[options.gradient],
        ChunkInputs(mine, graph, kept_rows(exact, owners), model.parameters.buffer.dtype),
        seed=share.seed,
        recompute=options.recompute,
    )


def chunked_graph(share: Share, mine: OwnShards, layout: Layout) -> ChunkedGraph:
    """The edges into the vertices of this rank's way; collective."""
    edges, kind = InEdges(mine, layout.ways), staged(share.model).aggregation
    bounds = layout.chunk_bounds(mine.rank)
    if layout.ways == 1:
        block, symmetric = edges.block(np.empty(0, np.float32)), not share.manifest.directed
        return ChunkedGraph(block, kind, bounds, symmetric=symmetric)
    comm = share.grid.some(share.grid.rank // layout.ways).world
    norms = RowExchange(comm, mine.ownership.local_rows(edges.remote), edges.counts, "norms")
    far_scale = norms.forward(ArrayRows(mine.gcn_scale[:, None]))[:, 0]
    chunks = layout.chunk_of_shard
    block, swaps = swapped(comm, edges.block(far_scale), mine.ownership, chunks, bounds)
    return ChunkedGraph(block, kind, bounds, symmetric=False, swaps=swaps)


def kept_rows(exact: WholeGraph, owners: Owners) -> np.ndarray | None:
    """The first layer's kept aggregation of a way's vertices, on the first stage; collective."""
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


def start_histories(stage: Stage, exact: Iterator[ExactLayer], owners: Owners) -> None:
    """Historical rows of every stage are those of an exact pass; collective."""
    for layer, aggregated, _ in exact:
        rows = [owners.collect(owners.layout.stage_of_layer(layer), each) for each in aggregated]
        if layer in stage.histories:
            stage.histories[layer].start(*(each for each in rows if each is not None))
