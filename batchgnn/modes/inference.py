"""Exact inference, layer by layer over all vertices, in chunks of bounded memory.

Each layer is computed for every own vertex from the full neighbourhoods; rows of the layer below
that other ranks own are fetched chunk by chunk.
"""

import numpy as np

from batchgnn.comm.exchange import ArrayRows, allreduce_max
from batchgnn.modes.inputs import InputFetcher, read_rows
from batchgnn.modes.sampler import Sampler
from batchgnn.operators.local import LocalOperator
from batchgnn.store.own_shards import OwnShards

CHUNK_BYTES = 256 << 20


class Inference:
    """Logits of all own vertices by the exact model; every method is collective."""

    def __init__(self, comm, own: OwnShards, model, chunk_bytes: int = CHUNK_BYTES):
        """chunk_bytes: memory for the rows of one chunk's block, input and output."""
        self.comm, self.own, self.model = comm, own, model
        self.gcn = model.aggregation == "gcn"
        self.sampler = Sampler(comm, own, gcn=self.gcn)
        self.fetcher = InputFetcher(comm, own, gcn=self.gcn)
        self.chunk_bytes = chunk_bytes

    def logits(self) -> np.ndarray:
        """float32 (num_own, num_classes), rows in own order."""
        return self.rows(self.model.num_layers)

    def rows(self, num_layers: int) -> np.ndarray:
        """Output of the first `num_layers` layers, at least one: float32 (num_own, width)."""
        source = self.own.features
        for layer in range(num_layers):
            out = np.empty((self.own.num_own, self.model.widths[layer + 1]), np.float32)
            for chunk in self._chunks(source.width):
                out[chunk] = self._chunk(layer, source, chunk)
            source = ArrayRows(out)
        return source.array

    def _chunk(self, layer: int, source, chunk: slice) -> np.ndarray:
        block = self.sampler.own_block(self.own.ids[chunk])
        inputs = self.fetcher.fetch([block.ids], source)
        if inputs.scale is not None:
            block = block.with_scale(inputs.scale[0])
        x = np.empty((block.num_sources, source.width), np.float32)
        read_rows(source, inputs.rows[0], inputs.fetched, x)
        return self.model.layer_forward(layer, LocalOperator(block, self.model.aggregation), x)

    def _chunks(self, width: int) -> list[slice]:
        """Consecutive own rows whose blocks fit in the budget; as many on every rank."""
        degree = np.concatenate([[0], np.cumsum(self.own.degree_in + 1)])
        most = max(1, self.chunk_bytes // (4 * 2 * max(width, max(self.model.widths))))
        chunks, begin = [], 0
        while begin < self.own.num_own:
            end = int(np.searchsorted(degree, degree[begin] + most, side="right")) - 1
            end = min(max(end, begin + 1), self.own.num_own)
            chunks.append(slice(begin, end))
            begin = end
        empty = slice(self.own.num_own, self.own.num_own)
        most_chunks = allreduce_max(self.comm, len(chunks), "chunk count")
        return chunks + [empty] * (most_chunks - len(chunks))
