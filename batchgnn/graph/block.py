"""A block: the bipartite graph of one sampled hop, or of one chunk of exact inference."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Block:
    """In-edges of `num_targets` targets; the targets are the first sources.

    indptr   int64   (num_targets + 1,)  edges into target v are indptr[v] : indptr[v + 1]
    indices  int32   (m,)                source of each edge, a row of `ids`
    ids      uint32/uint64 (num_sources,) global vertex ids of the sources
    degree   int64   (num_targets,)      in-degree in the whole graph, drawn edges or not
    weight   float32 (m,) or None        edge weights of a weighted graph
    scale    float32 (num_sources,) or None   rsqrt(weighted in-degree with a loop), for GCN only
    loop     float32 (num_targets,) or None   weight of GCN's loop at each target; None: all 1
    """

    indptr: np.ndarray
    indices: np.ndarray
    ids: np.ndarray
    degree: np.ndarray
    weight: np.ndarray | None = None
    scale: np.ndarray | None = None
    loop: np.ndarray | None = None

    @property
    def num_targets(self) -> int:
        """Rows of the result."""
        return len(self.indptr) - 1

    @property
    def num_sources(self) -> int:
        """Rows of the input."""
        return len(self.ids)

    @property
    def num_edges(self) -> int:
        """Drawn edges, self-loops of GCN and GAT not counted."""
        return len(self.indices)

    def with_scale(self, scale: np.ndarray) -> "Block":
        """The same block with the norms of all its sources, float32 (num_sources,)."""
        return replace(self, scale=scale)
