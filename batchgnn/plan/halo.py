"""How many distinct sources several shards read together, estimated from what each of them reads.

Edges of a source are taken as drawn: of one with d out-edges, each of which leads to a shard with
chance x, the shard reads it with chance 1 - (1 - x)^d. From its halo follows the x of each shard,
so that sources of many edges, which all shards read, are not counted once for each.
"""

import numpy as np

GRID = np.linspace(0, 1, 1025) ** 3
"Chances x, most of them small."


def joined_halo(
    halo: np.ndarray, part: np.ndarray, outside: np.ndarray, degree_count: np.ndarray
) -> np.ndarray:
    """float64 (parts,): distinct sources outside of each part.

    halo          float64 (K,)        those of each shard that are outside of its part
    part          integers (K,)       of each shard
    outside       integers (parts,)   vertices there
    degree_count  int64 (degrees,)    vertices by out-degree, or none where they were not counted:
                                      then the sums, as if no source were read twice
    """
    num_parts = len(outside)
    if not degree_count.sum():
        return np.minimum(np.bincount(part, halo, num_parts), outside)
    read = degree_count @ (1 - (1 - GRID) ** np.arange(len(degree_count))[:, None])
    read /= degree_count.sum()
    share = halo / np.maximum(outside, 1)[part]
    unread = 1 - np.interp(share, read, GRID)
    together = [1 - unread[part == k].prod() for k in range(num_parts)]
    return outside * np.interp(together, GRID, read)
