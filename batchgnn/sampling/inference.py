"""Exact inference, layer by layer over all vertices, in chunks of bounded memory.

Each layer is computed for every own vertex from the full neighbourhoods; rows of the layer below
that other ranks own are fetched chunk by chunk. The chunks are the same for all layers and all
evaluations: where their blocks are small enough they are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from batchgnn.comm.exchange import ArrayRows, allreduce_max
from batchgnn.operators.cached import CachedOperator
from batchgnn.operators.local import LocalOperator
from batchgnn.sampling.inputs import InputPlanner, InputRows
from batchgnn.sampling.sampler import Sampler
from batchgnn.store.own_shards import Column, OwnShards

CHUNK_BYTES = 256 << 20
KEPT_BYTES = 64 << 20


@dataclass
class Chunk:
    """Consecutive own rows, the operator that makes them, and where its input rows are."""

    own: slice
    operator: LocalOperator
    inputs: InputRows


class Inference:
    """Logits of all own vertices by the exact model; every method is collective."""

    def __init__(
        self,
        comm,
        own: OwnShards,
        model,
        chunk_bytes: int = CHUNK_BYTES,
        aggregated: Column | None = None,
    ):
        """chunk_bytes: memory for the rows of one chunk's block, input and output.

        aggregated: what the first layer aggregates for every own vertex, where that is known
        """
        self.comm, self.own, self.model, self.aggregated = comm, own, model, aggregated
        gcn = model.aggregation == "gcn"
        self.sampler = Sampler(comm, own, gcn=gcn)
        self.planner = InputPlanner(comm, own, gcn=gcn)
        widest = max(own.features.width, *model.widths)
        self.most_rows = max(1, chunk_bytes // (8 * widest))
        self.slices = self._slices(self.most_rows)
        edges = allreduce_max(comm, int(own.degree_in.sum()) + own.num_own, "edges")
        self.kept: list[Chunk] | None = [] if 32 * edges <= KEPT_BYTES else None

    def logits(self) -> np.ndarray:
        """float32 (num_own, num_classes), rows in own order."""
        return self.rows(self.model.num_layers)

    def rows(self, num_layers: int) -> np.ndarray:
        """Output of the first `num_layers` layers, at least one: float32 (num_own, width)."""
        source: Column | ArrayRows = self.own.features
        for layer in range(num_layers):
            out = np.empty((self.own.num_own, self.model.widths[layer + 1]), np.float32)
            if layer == 0 and self.aggregated is not None:
                self._first_layer(self.aggregated, out)
            else:
                for chunk in self._chunks():
                    out[chunk.own] = self._compute(layer, source, chunk)
            source = ArrayRows(out)
        return out

    def _compute(self, layer: int, source: Column | ArrayRows, chunk: Chunk) -> np.ndarray:
        inputs = chunk.inputs.fetch(source)
        return self.model.layer_forward(layer, chunk.operator, inputs.rows[0])

    def _first_layer(self, aggregated: Column, out: np.ndarray) -> None:
        """The first layer of all own vertices, without a message."""
        for begin in range(0, self.own.num_own, self.most_rows):
            rows = np.arange(begin, min(begin + self.most_rows, self.own.num_own))
            operator = CachedOperator(self.own.ids[rows], aggregated.at(rows))
            out[rows] = self.model.layer_forward(0, operator, self.own.features.at(rows))

    def _chunks(self) -> Iterator[Chunk]:
        """All chunks, made anew unless they were kept."""
        if self.kept:
            yield from self.kept
            return
        for own in self.slices:
            chunk = self._make(own)
            if self.kept is not None:
                self.kept.append(chunk)
            yield chunk

    def _make(self, own: slice) -> Chunk:
        block = self.sampler.own_block(self.own.ids[own])
        inputs = self.planner.plan([block.ids])
        if inputs.scale is not None:
            block = block.with_scale(inputs.scale[0])
        return Chunk(own, LocalOperator(block, self.model.aggregation), inputs)

    def _slices(self, most_rows: int) -> list[slice]:
        """Consecutive own rows with at most `most_rows` sources, as many slices on every rank.

        A vertex with more in-neighbours than that has a slice of its own.
        """
        sources = np.concatenate([[0], np.cumsum(self.own.degree_in + 1)])
        slices, begin = [], 0
        while begin < self.own.num_own:
            end = int(np.searchsorted(sources, sources[begin] + most_rows, side="right")) - 1
            end = min(max(end, begin + 1), self.own.num_own)
            slices.append(slice(begin, end))
            begin = end
        empty = slice(self.own.num_own, self.own.num_own)
        most = allreduce_max(self.comm, len(slices), "chunk count")
        return slices + [empty] * (most - len(slices))
