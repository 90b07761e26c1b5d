"""Which layers and which chunks each rank has: rank = ways x stage + way.

A stage has some consecutive layers; its ways share them, and each owns a run of the shards. The
first shards of all runs together are the first chunk, the second ones the second, and so on.
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.graph.cut_rows import even_bounds
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.parting import layer_seconds, least_slowest
from batchgnn.nn.model import Model
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import Manifest


@dataclass(frozen=True, eq=False)
class Layout:
    """Layers and shards on S x W ranks.

    layers  int64 (S + 1,): stage s has the layers layers[s] : layers[s + 1]
    shards  int64 (W + 1,): way w has the shards shards[w] : shards[w + 1]
    offset  int64 (K + 1,): first vertex of each shard
    """

    layers: np.ndarray
    shards: np.ndarray
    offset: np.ndarray

    @property
    def num_stages(self) -> int:
        """S."""
        return len(self.layers) - 1

    @property
    def ways(self) -> int:
        """W."""
        return len(self.shards) - 1

    @property
    def num_chunks(self) -> int:
        """As many as the way with most shards has."""
        return int(np.diff(self.shards).max())

    def stage_of_layer(self, layer: int) -> int:
        """Whose layer it is."""
        return int(np.searchsorted(self.layers, layer, side="right")) - 1

    def layers_of(self, rank: int) -> range:
        """Those of a rank's stage."""
        first, end = self.layers[rank // self.ways : rank // self.ways + 2].tolist()
        return range(first, end)

    def ranks_of(self, stage: int) -> range:
        """Its ways."""
        return range(stage * self.ways, (stage + 1) * self.ways)

    @property
    def ownership(self) -> Ownership:
        """Of the ways, in place of ranks."""
        ways = np.repeat(np.arange(self.ways), np.diff(self.shards))
        return Ownership(self.offset, ways.astype(np.int32))

    @property
    def chunk_of_shard(self) -> np.ndarray:
        """int64 (K,)."""
        return np.arange(len(self.offset) - 1) - np.repeat(self.shards[:-1], np.diff(self.shards))

    def chunk_bounds(self, way: int) -> np.ndarray:
        """int64 (C + 1,): a way's chunk k has its rows bounds[k] : bounds[k + 1], maybe none."""
        first, end = self.shards[way : way + 2]
        ends = np.minimum(first + np.arange(self.num_chunks + 1), end)
        return self.offset[ends] - self.offset[first]


def layout_of(settings: Settings, manifest: Manifest, model: Model, num_ranks: int) -> Layout:
    """Layers in nearly equal numbers, or equal seconds, and shards in nearly equal numbers.

    `check.require_stages` has been called.
    """
    options, ways = settings[Stages], settings[Stages].pipeline_ways
    layers = even_bounds(model.num_layers, num_ranks // ways)
    if options.stages == "auto":
        size = manifest.num_vertices, int(manifest.shard_edges.sum())
        seconds = layer_seconds(model, settings[KeptInputs].is_kept, *size)
        layers = least_slowest(seconds, num_ranks // ways)
    return Layout(layers, even_bounds(manifest.num_shards, ways), manifest.offset)
