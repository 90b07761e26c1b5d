"""A job that has not begun: what the modes' predictions and memory plans are asked of."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from batchgnn.base.bytes import allowed_bytes
from batchgnn.base.threads import own_cores, usable_cores
from batchgnn.comm.step_sum import message_bytes
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.kernels.half import FEATURE_DTYPES
from batchgnn.modes.assembly import mode_of
from batchgnn.modes.extent import Extent
from batchgnn.modes.inputs import inputs_of
from batchgnn.modes.options import Halo, Messages, Wire
from batchgnn.nn.model import Model
from batchgnn.plan.shares import Shares
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.general import Features, Run, Training
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import Manifest


@dataclass(frozen=True)
class Job:
    """What is planned for: P ranks, so many of them on a node, that train a model on a graph.

    shards    path of the store
    settings  resolved
    shares    the parts of the graph; rank r works on part r // ways
    ways      ranks that slice the columns of a part among themselves
    """

    shards: Path
    manifest: Manifest
    settings: Settings
    model: Model
    shares: Shares
    ranks_per_node: int
    ways: int = 1

    @property
    def num_ranks(self) -> int:
        """P."""
        return self.shares.num_parts * self.ways

    @property
    def num_seeds(self) -> int:
        """Of the chosen split."""
        return int(self.manifest.num_seeds[:, self.settings[Training].split_index].sum())

    @property
    def allowed(self) -> int:
        """Bytes that a rank may use."""
        return allowed_bytes(self.settings[Run].memory, self.ranks_per_node)

    @property
    def covers(self) -> bool:
        """Whether parts send each other sums, where these are fewer than rows."""
        halo = self.settings.get(Halo)
        return halo is not None and halo.covers and self.shares.num_parts > 1

    @property
    def travelling(self) -> np.ndarray:
        """float64 (parts,): rows that come in at each part: the halo, or as few as are known."""
        if not self.covers or self.shares.cover is None:
            return self.shares.halo
        return self.shares.cover.astype(np.float64)

    @property
    def wire(self) -> Wire:
        """How wide numbers are that travel."""
        return self.settings.get(Wire) or Wire()

    @property
    def wire_bytes(self) -> int:
        """Of a number of a row that travels."""
        return self.wire.item_bytes

    @property
    def exactness(self) -> str:
        """Of a mode that is exact but for what travels."""
        return "; ".join(self.wire.remarks) or "exact"

    @property
    def mapped_bytes(self) -> int:
        """Of the shard files of the part that has most."""
        size = self.manifest.place[:, -1, 1]
        return int(np.bincount(self.shares.part_of_shard, weights=size).max())

    @property
    def keeps_inputs(self) -> bool:
        """Whether the first layer's aggregation is computed before training."""
        kept = self.settings.get(KeptInputs)
        return kept is not None and kept.is_kept

    @property
    def trains_inputs(self) -> bool:
        """Whether input rows have a gradient."""
        return inputs_of(self.settings).is_trained

    def num_rows(self, part: int) -> np.ndarray:
        """int64 (ways,): vertices of each rank of a part."""
        return np.diff(even_bounds(int(self.shares.vertices[part]), self.ways))

    @property
    def overlap(self) -> bool:
        """Whether messages travel while the rank computes; by default where there are some."""
        said = self.settings[Messages].overlap
        needs_others = mode_of(self.settings).needs_others(self.settings, self.num_ranks)
        return needs_others if said is None else said

    @property
    def gradient_bytes(self) -> int:
        """Of one all-reduce, over all ranks."""
        alone = self.num_ranks == 1
        return 0 if alone else self.num_ranks * message_bytes(self.model.parameters.grad)

    @cached_property
    def feature_dtype(self) -> np.dtype:
        """What input rows are held as."""
        name = self.settings[Features].feature_dtype or "float32"
        return np.dtype(FEATURE_DTYPES.get(name, name))

    def copied_bytes(self, num_own: int) -> int:
        """Of own features that are rounded, or copied into memory to be read faster."""
        where = self.settings[Features].features
        where = "memory" if inputs_of(self.settings).is_made else where
        rounds = self.feature_dtype != self.manifest.feature_dtype
        copies = where == "memory" or (where == "auto" and mode_of(self.settings).random_rows)
        row_bytes = self.manifest.num_features * self.feature_dtype.itemsize
        return num_own * row_bytes if rounds or copies else 0

    def extent(self, rank: int) -> Extent:
        """How much of it one rank has."""
        overlap = {"overlap": self.overlap} if Messages in self.settings else {}
        part, way = divmod(rank, self.ways)
        num_own = int(self.num_rows(part)[way])
        return Extent(
            path=self.shards,
            manifest=self.manifest,
            settings=self.settings.replace(**overlap),
            model=self.model,
            shards=np.flatnonzero(self.shares.part_of_shard == part),
            num_own=num_own,
            num_edges=int(self.shares.edges[part]),
            rank=rank,
            num_ranks=self.num_ranks,
            ranks_per_node=self.ranks_per_node,
            threads=self.settings[Run].threads or _cores(self.ranks_per_node),
            feature_dtype=self.feature_dtype,
            copied_feature_bytes=self.copied_bytes(num_own),
        )


def _cores(ranks_per_node: int) -> int:
    """Of a rank on a node like this one."""
    return max(1, usable_cores(len(own_cores())) // ranks_per_node)
