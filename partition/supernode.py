"""Super-nodes: many METIS clusters, dealt to the shards at random.

Between METIS (few cut edges, shards that differ in their classes) and random (many cut edges,
shards that are alike): the neighbourhood of a vertex stays, the shards become alike. SuperTMA.
"""

import numpy as np

from batchgnn.partition.cut_graph import CutGraph
from batchgnn.partition.metis import metis_shards
from batchgnn.partition.random_shards import random_shards

CLUSTERS_PER_SHARD = 32


def supernode_shards(graph: CutGraph, num_shards: int, seed: int, num_clusters: int) -> np.ndarray:
    """int32 (N,): `num_clusters` METIS clusters, each dealt whole to a shard by a keyed draw.

    Shards get the same number of clusters, give or take one. num_clusters >= num_shards.
    """
    clusters = metis_shards(graph, num_clusters, seed)
    return random_shards(num_clusters, num_shards, seed)[clusters]
