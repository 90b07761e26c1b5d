"""What each rank will hold, planned from the manifest, and the halo of several shards counted."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of

from batchgnn.graph.ownership import Ownership
from batchgnn.modes.assembly import settings_of
from batchgnn.plan.shares import share_graph
from batchgnn.run.session import open_session
from batchgnn.sampling.in_edges import InEdges
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import read_manifest


def four_shards():
    """A ring of four shards: 10 arcs each way between neighbours, 80 more inside of each."""
    return SimpleNamespace(
        name="ring",
        num_shards=4,
        num_vertices=40,
        offset=np.arange(5) * 10,
        shard_vertices=np.full(4, 10),
        shard_edges=np.full(4, 100),
        num_halo=np.array([8, 6, 8, 6]),
        quotient_indptr=np.arange(5) * 2,
        quotient_indices=np.array([1, 3, 0, 2, 1, 3, 0, 2]),
        quotient_weight=np.full(8, 20),
        degree_count=np.zeros((4, 0), np.int64),
    )


def test_shares_of_a_shard_a_rank_are_counts():
    shares = share_graph(four_shards(), 4)
    np.testing.assert_array_equal(shares.far_edges, [20] * 4)
    np.testing.assert_array_equal(shares.halo, [8, 6, 8, 6])
    assert shares.is_exact
    assert (shares.balance, shares.halo_factor, shares.cut) == (1.0, 28 / 40, 0.2)
    assert shares.talks_to == 2


def test_shares_of_two_shards_a_rank():
    """Half of a shard's edges from outside, and so of its halo, is on the rank itself."""
    shares = share_graph(four_shards(), 2)
    np.testing.assert_array_equal(shares.far_edges, [20, 20])
    np.testing.assert_array_equal(shares.halo, [7, 7])
    assert not shares.is_exact
    assert shares.talks_to == 1


@pytest.mark.parametrize("power", [0, 1], ids=["even", "skewed"])
def test_what_several_shards_of_a_rank_read_counts_once(tmp_path, power):
    """Within a tenth of what is counted, where a sum over the shards is far above."""
    rng, n = np.random.default_rng(0), 1200
    weight = 1 / np.arange(1.0, n + 1) ** power
    source = rng.choice(n, 8 * n, p=weight / weight.sum())
    graph = replace(
        learnable_graph(num_vertices=n), source=source, target=rng.integers(0, n, 8 * n),
        weight=None,
    )  # fmt: skip
    path = shards_of(graph, tmp_path / "shards", 16)
    shares, manifest = share_graph(read_manifest(path), 4), read_manifest(path)
    counted = []
    for part in range(4):
        with open_session(path, settings_of(mode="fullgraph")) as share:
            own = OwnShards(share.own.whole, Ownership(manifest.offset, shares.part_of_shard), part)
            counted.append(len(InEdges(own, 4).remote))
    assert sum(manifest.num_halo) > 1.4 * sum(counted)
    np.testing.assert_allclose(shares.halo, counted, rtol=0.1)
