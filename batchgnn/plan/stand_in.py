"""A session that is not there yet, of which the modes' own memory plans can be asked."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from batchgnn.comm.step_sum import message_bytes
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.half import FEATURE_DTYPES
from batchgnn.nn.model import Model
from batchgnn.plan.shares import Shares
from batchgnn.settings.config import Settings
from batchgnn.store.shard_store import Manifest


@dataclass(frozen=True)
class Job:
    """What is planned for: P ranks, so many of them on a node, that train a model on a graph.

    shards  path of the store
    shares  the parts of the graph; rank r works on part r // ways
    ways    ranks that slice the columns of a part among themselves
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

    def num_rows(self, part: int) -> np.ndarray:
        """int64 (ways,): vertices of each rank of a part."""
        return np.diff(even_bounds(int(self.shares.vertices[part]), self.ways))

    @property
    def overlap(self) -> bool:
        """Whether messages travel while the rank computes; by default with several ranks."""
        settings = self.settings.overlap
        return self.num_ranks > 1 if settings is None else settings

    @property
    def gradient_bytes(self) -> int:
        """Of one all-reduce, over all ranks."""
        alone = self.num_ranks == 1
        return 0 if alone else self.num_ranks * message_bytes(self.model.parameters.grad)

    @cached_property
    def _ownership(self) -> Ownership:
        return Ownership(self.manifest.offset, self.shares.part_of_shard)

    def session(self, rank: int) -> SimpleNamespace:
        """What `modes.choice.plan_memory` reads of a session, for one rank."""
        manifest, settings = self.manifest, replace(self.settings, overlap=self.overlap)
        part, way = divmod(rank, self.ways)
        shards = np.flatnonzero(self.shares.part_of_shard == part)
        num_own, num_edges = int(self.num_rows(part)[way]), int(self.shares.edges[part])
        own = SimpleNamespace(
            num_own=num_own,
            shards=shards,
            degree_in=np.array([num_edges]),
            label=_like(manifest, "vertex/label", num_own),
            split=_like(manifest, "vertex/split", num_own),
            ownership=self._ownership,
            feature_dtype=_feature_dtype(settings),
            manifest=manifest,
            path=self.shards,
        )
        own.copied_feature_bytes = _copied_bytes(settings, manifest, num_own)
        grid = SimpleNamespace(rank=rank, size=self.num_ranks, node_size=self.ranks_per_node)
        return SimpleNamespace(
            settings=settings, manifest=manifest, own=own, model=self.model, grid=grid
        )


def _like(manifest: Manifest, name: str, num_rows: int) -> np.ndarray:
    """An array of the dataset's size that takes no memory."""
    dtype, shape = manifest.layout(1, 0, 0)[name]
    return np.broadcast_to(np.zeros((), dtype), (num_rows, *shape[1:]))


def _feature_dtype(settings: Settings) -> np.dtype:
    name = settings.feature_dtype or "float32"
    return np.dtype(FEATURE_DTYPES.get(name, name))


def _copied_bytes(settings: Settings, manifest: Manifest, num_own: int) -> int:
    """Of own features that are rounded, or copied into memory to be read faster."""
    rounds = _feature_dtype(settings) != manifest.feature_dtype
    copies = settings.features == "memory"
    copies |= settings.features == "auto" and settings.mode == "macrobatch"
    itemsize = _feature_dtype(settings).itemsize
    return num_own * manifest.num_features * itemsize if rounds or copies else 0
