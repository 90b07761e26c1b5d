"""What must hold of held-out edges, in each shard and over all of them."""

from collections.abc import Iterator

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.store.links import HELD_OUT, arc_numbers, link_seeds, pair_bits
from batchgnn.store.shard_store import Manifest, Shard


class LinkCheck:
    """What must hold of the held-out edges of all shards, shown one after the other."""

    def __init__(self, manifest: Manifest):
        """Nothing was shown yet."""
        self.manifest = manifest
        self.sums = np.zeros((2, 2), np.uint64)

    def claims(self, shard: Shard) -> Iterator[tuple[str, bool]]:
        """(claim, whether it holds) of a shard whose edges are split; nothing of another."""
        m, arcs = self.manifest, [shard.link_val, shard.link_test]
        indptr = shard.out_indptr if m.directed else shard.in_indptr
        indices = shard.out_indices if m.directed else shard.in_indices
        if m.links is None or indptr is None or indices is None:
            return
        seeds = link_seeds(
            indptr,
            indices,
            shard.first_vertex,
            num_vertices=m.num_vertices,
            directed=m.directed,
        )
        counted = sum(map(len, seeds)) == m.num_seeds[shard.shard, 0]
        yield "shard/num_seeds of the manifest: edges that are trained on", counted
        known = arc_numbers(indptr, indices, shard.first_vertex, m.num_vertices)
        for k, (name, held) in enumerate(zip(HELD_OUT.values(), arcs, strict=True)):
            if held is None:
                continue
            source, target = held.astype(np.int64).T
            own = (source >= shard.first_vertex) & (source < shard.first_vertex + len(indptr) - 1)
            yield f"{name}: from vertices of the shard", bool(own.all())
            yield f"{name}: below num_vertices", bool((target < m.num_vertices).all())
            number = source * m.num_vertices + target
            yield f"{name}: ascending, each once", bool((np.diff(number) > 0).all())
            yield f"{name}: no edge of the topology", not np.isin(number, known).any()
            known = np.concatenate([known, number])
            self._add(k, source, target)

    def _add(self, k: int, source: np.ndarray, target: np.ndarray) -> None:
        """Sum what pairs draw, by the direction of their arcs."""
        bits = pair_bits(0, Purpose.LINK_SOURCE, source, target)
        for direction, chosen in enumerate((source < target, source > target)):
            self.sums[k, direction] = np.append(bits[chosen], self.sums[k, direction]).sum()

    @property
    def agrees(self) -> bool:
        """Whether held-out arcs of an undirected graph have their reverse (but for 2^-64)."""
        return self.manifest.directed or bool((self.sums[:, 0] == self.sums[:, 1]).all())
