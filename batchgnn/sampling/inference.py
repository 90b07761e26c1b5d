"""Exact inference, layer by layer over all vertices, in chunks of bounded memory.

Each layer is computed for every own vertex from the full neighbourhoods; rows of the layer below
that other ranks own are fetched chunk by chunk. The chunks are the same for all layers and all
evaluations: where their blocks are small enough they are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from batchgnn.comm.exchange import ArrayRows, allreduce_max
from batchgnn.comm.grid import Comm
from batchgnn.nn.model import Model, layered
from batchgnn.operators.cached import CachedOperator
from batchgnn.operators.local import LocalOperator
from batchgnn.sampling.inputs import InputPlanner, InputRows
from batchgnn.sampling.sampler import Sampler
from batchgnn.store.own_shards import Column, OwnShards

CHUNK_BYTES = 256 << 20
"For the rows of a chunk's block, input and output, where nothing else is said."
KEPT_BYTES = 64 << 20


def most_rows(chunk_bytes: int, widths: Sequence[int]) -> int:
    """Sources of a chunk, with repeats, for rows of at most these widths."""
    return max(1, chunk_bytes // (8 * max(widths)))


@dataclass
class Chunk:
    """Consecutive own rows, the operator that makes them, and where its input rows are."""

    rows: slice
    operator: LocalOperator
    inputs: InputRows


class Inference:
    """Logits of all own vertices by the exact model; every method is collective."""

    def __init__(
        self,
        comm: Comm,
        own: OwnShards,
        model: Model,
        chunk_bytes: int = CHUNK_BYTES,
        kept_inputs: Column | None = None,
    ):
        """chunk_bytes: memory for the rows of one chunk's block, input and output.

        kept_inputs: what the first layer aggregates for every own vertex, where that is known
        """
        self.comm, self.own, self.model = comm, own, layered(model)
        self.kept_inputs = kept_inputs
        gcn = model.aggregation == "gcn"
        self.sampler = Sampler(comm, own, gcn=gcn)
        self.planner = InputPlanner(comm, own, gcn=gcn)
        self.most_rows = most_rows(chunk_bytes, [own.features.width, *model.widths])
        self.slices = self._slices(self.most_rows)
        edges = allreduce_max(comm, int(own.degree_in.sum()) + own.num_own, "edges")
        self.kept_chunks: list[Chunk] | None = [] if 32 * edges <= KEPT_BYTES else None

    def logits(self) -> np.ndarray:
        """float32 (num_own, outputs), rows in own order."""
        return self.rows(self.model.num_layers)

    def rows(self, num_layers: int) -> np.ndarray:
        """Output of the first `num_layers` layers, at least one: float32 (num_own, width)."""
        source: Column | ArrayRows = self.own.features
        for layer in range(num_layers):
            out = np.empty((self.own.num_own, self.model.widths[layer + 1]), np.float32)
            if layer == 0 and self.kept_inputs is not None:
                self._first_layer(self.kept_inputs, out)
            else:
                for chunk in self._chunks():
                    out[chunk.rows] = self._compute(layer, source, chunk)
            source = ArrayRows(out)
        return out

    def _compute(self, layer: int, source: Column | ArrayRows, chunk: Chunk) -> np.ndarray:
        inputs = chunk.inputs.fetch(source)
        return self.model.layer_forward(layer, chunk.operator, inputs.rows[0])

    def _first_layer(self, kept_inputs: Column, out: np.ndarray) -> None:
        """The first layer of all own vertices, without a message."""
        for begin in range(0, self.own.num_own, self.most_rows):
            rows = np.arange(begin, min(begin + self.most_rows, self.own.num_own))
            operator = CachedOperator(self.own.ids[rows], kept_inputs.at(rows))
            out[rows] = self.model.layer_forward(0, operator, self.own.features.at(rows))

    def _chunks(self) -> Iterator[Chunk]:
        """All chunks, made anew unless they were kept."""
        if self.kept_chunks:
            yield from self.kept_chunks
            return
        for rows in self.slices:
            chunk = self._make(rows)
            if self.kept_chunks is not None:
                self.kept_chunks.append(chunk)
            yield chunk

    def _make(self, rows: slice) -> Chunk:
        block = self.sampler.own_block(self.own.ids[rows])
        inputs = self.planner.plan([block.ids])
        if inputs.scale is not None:
            block = block.with_scale(inputs.scale[0])
        return Chunk(rows, LocalOperator(block, self.model.aggregation), inputs)

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
