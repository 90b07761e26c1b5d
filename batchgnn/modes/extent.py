"""How much of a job one rank has, and the parts of a memory plan that modes share. Upper bounds.

A plan asks for nothing but an `Extent`: of a share that is open, or of one that is predicted.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.bytes import allowed_bytes, parse_bytes
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.inputs import inputs_of
from batchgnn.nn.model import Model
from batchgnn.sampling import kept_inputs
from batchgnn.sampling.options import KeptInputs, Sampling
from batchgnn.sampling.some_kept_inputs import rows_within
from batchgnn.settings.general import Run, Training
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.kinds import TASKS, TaskKind

INTERPRETER_BYTES = 360 << 20
"Python, libraries, MPI's buffers, and kernels: a rank that compiles them holds 130 MiB more."


@dataclass(frozen=True, kw_only=True)
class Extent:
    """One rank's part of a job, in numbers.

    path           the shard store
    shards         int64 (k,), numbers of the own shards
    num_own        vertices; num_edges: edges into them
    feature_dtype  what input rows are held as
    copied_feature_bytes  of own input rows that are held besides the mapped shards
    """

    path: Path
    manifest: Manifest
    settings: Settings
    model: Model
    shards: np.ndarray
    num_own: int
    num_edges: int
    rank: int
    num_ranks: int
    ranks_per_node: int
    threads: int
    feature_dtype: np.dtype
    copied_feature_bytes: int

    @property
    def gcn(self) -> bool:
        """Whether operators hold GCN's norms."""
        return self.model.aggregation == "gcn"

    @property
    def allowed(self) -> int:
        """Bytes that a rank may use now."""
        return allowed_bytes(self.settings[Run].memory, self.ranks_per_node)

    @property
    def num_seeds(self) -> np.ndarray:
        """int64 (K,), of every shard of the store, in the chosen split."""
        return self.manifest.num_seeds[:, self.settings[Training].split_index]

    @property
    def itemsize(self) -> int:
        """Bytes of a number of the model."""
        return self.model.parameters.buffer.itemsize

    def held_bytes(self, per_vertex: int) -> dict[str, int]:
        """What every mode holds; per_vertex: bytes of ids and degrees."""
        return {
            "the interpreter and its libraries": INTERPRETER_BYTES,
            "parameters, gradients and moments": 6 * self.model.parameters.buffer.nbytes,
            "what is known of own vertices": (self.manifest.told_bytes + per_vertex) * self.num_own,
        }

    def table_bytes(self) -> dict[str, int]:
        """Trained rows besides those that are the first layer's input, where there are some.

        Two moments and the best rows; in a step their gradient, and what is aggregated of narrow
        rows with its gradient: wider ones are multiplied by the weights first.
        """
        if not inputs_of(self.settings).is_trained:
            return {}
        width, then = self.model.widths[:2]
        aggregated = 2 * (1 + (self.model.aggregation == "mean")) * (width < then)
        size = (3 + 1 + aggregated) * self.num_own * width * self.itemsize
        return {"trained rows, their moments and gradients": size}

    @property
    def task(self) -> TaskKind:
        """The row of the task."""
        return TASKS[self.settings[Chosen].task or ""]

    def step_bytes(self, most: int | None = None) -> int:
        """What the task holds of a step over the rank's seeds, and of scores; by edges known.

        most: seeds of a step on the rank, where these are not all
        """
        own = int(self.num_seeds.sum())
        if not self.manifest.directed:
            own = min(own, self.num_edges)
        num_seeds = own if most is None else min(own, most)
        counts = own, num_seeds, len(self.shards), self.manifest.num_vertices, self.itemsize
        return self.task.step_bytes(self.settings, *counts)

    def halo_bounds(self) -> tuple[int, int]:
        """Most distinct sources of own edges that others own; most rows that it sends them."""
        manifest = self.manifest
        halo = int(manifest.num_halo[self.shards].sum())
        sent = min(int(manifest.num_halo.sum()), self.num_own * self.num_ranks)
        return min(halo, manifest.num_vertices - self.num_own), sent

    def far_edges(self) -> int:
        """Most edges between own shards and others, of one direction."""
        manifest = self.manifest
        shard = np.repeat(np.arange(manifest.num_shards), np.diff(manifest.quotient_indptr))
        own = np.isin(np.arange(manifest.num_shards), self.shards)
        leaves = own[shard] & ~own[manifest.quotient_indices]
        arcs = int(manifest.quotient_weight[leaves].sum())
        return arcs if manifest.directed else arcs // 2

    def kept_bytes(self) -> tuple[int, int]:
        """Bytes of kept inputs, and those held while they are computed; files are mapped.

        Raises ConfigError when --aggregate-memory is too small for a row.
        """
        kept, sampling = self.settings[KeptInputs], self.settings.get(Sampling)
        if not kept.is_kept:
            return 0, 0
        row_bytes = self.manifest.num_features * self.feature_dtype.itemsize
        halo, sent = self.halo_bounds()
        every = (halo + sent) * row_bytes
        block = max(every // self.manifest.num_features, min(kept_inputs.BLOCK_BYTES, every))
        of_all = kept_inputs.EDGE_BYTES * self.num_edges
        of_all += (4 * self.manifest.num_features + 32) * self.num_own
        scratch = block + min(3 * kept_inputs.CHUNK_BYTES, 2 * of_all)
        scratch += min(kept_inputs.PIECE_ROWS, sent) * row_bytes * (block < every)
        scratch += 40 * (self.num_own + halo) + 8 * sent + self.manifest.num_vertices // 4
        rows = self.num_own if kept.aggregate_cache == "memory" else 0
        if sampling is not None and sampling.aggregate_memory is not None:
            rows = min(rows, rows_within(parse_bytes(sampling.aggregate_memory), row_bytes))
            scratch += 40 * self.num_own
        return rows * row_bytes, scratch
