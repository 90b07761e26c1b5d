"""Covers beside the shards: found again for the same edges and ranks, never a reason to stop."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of

from batchgnn.partition.quality import rank_loads
from batchgnn.plan.shares import share_graph
from batchgnn.store.halo_cover import Cover, cover_path, cut_of, keep_cover, kept_rows, read_cover
from batchgnn.store.shard_store import ShardStore

RANKS = np.array([0, 0, 1, 1])
BITS = np.arange(11) % 3 == 0


@pytest.fixture
def store(tmp_path):
    shards_of(learnable_graph(num_vertices=60), tmp_path / "shards")
    return ShardStore(tmp_path / "shards")


def test_a_cover_is_read_as_it_was_kept(store):
    cut = cut_of(store.manifest, RANKS)
    assert read_cover(store.path, cut, 1) is None
    keep_cover(store.path, cut, 1, Cover(BITS, 7))
    found = read_cover(store.path, cut, 1, len(BITS))
    np.testing.assert_array_equal(found.chosen, BITS)
    assert found.num_rows == 7
    assert read_cover(store.path, cut, 1, len(BITS) + 1) is None
    assert read_cover(store.path, cut, 0) is None


def test_a_cut_is_of_edges_and_ranks(store, tmp_path):
    shards_of(learnable_graph(num_vertices=61), tmp_path / "others")
    others = ShardStore(tmp_path / "others")
    cuts = [
        cut_of(store.manifest, RANKS),
        cut_of(store.manifest, RANKS[::-1]),
        cut_of(others.manifest, RANKS),
    ]
    assert len(set(cuts)) == 3
    assert cut_of(store.manifest, RANKS.astype(np.int32)) == cuts[0]


def test_rows_are_known_when_all_ranks_have_kept_theirs(store):
    cut = cut_of(store.manifest, RANKS)
    keep_cover(store.path, cut, 0, Cover(BITS, 7))
    assert kept_rows(store.path, store.manifest, RANKS) is None
    keep_cover(store.path, cut, 1, Cover(BITS[:5], 2))
    np.testing.assert_array_equal(kept_rows(store.path, store.manifest, RANKS), [7, 2])


def test_the_planner_knows_rows_that_were_kept(store):
    ranks = share_graph(store.manifest, 2).part_of_shard
    assert share_graph(store.manifest, 2, store.path).cover_factor is None
    for rank in range(2):
        keep_cover(store.path, cut_of(store.manifest, ranks), rank, Cover(BITS, 6))
    shares = share_graph(store.manifest, 2, store.path)
    assert shares.cover_factor == 12 / 60
    assert share_graph(store.manifest, 1, store.path).cover is None
    loads = {load.num_ranks: load for load in rank_loads(store.manifest, store.path)}
    assert (loads[2].cover_rho, loads[4].cover_rho) == (12 / 60, None)
    assert loads[2].rho >= shares.halo_factor


@pytest.mark.parametrize("cut_at", [0, 100, -20])
def test_a_damaged_file_is_none(store, cut_at):
    cut = cut_of(store.manifest, RANKS)
    keep_cover(store.path, cut, 0, Cover(BITS, 7))
    path = cover_path(store.path, cut, 0)
    path.write_bytes(path.read_bytes()[:cut_at])
    assert read_cover(store.path, cut, 0, len(BITS)) is None
    keep_cover(store.path, cut, 0, Cover(BITS, 7))
    assert read_cover(store.path, cut, 0, len(BITS)) is not None


def test_a_folder_that_cannot_be_made_keeps_nothing(store):
    (store.path / "cover").write_text("in the way")
    cut = cut_of(store.manifest, RANKS)
    keep_cover(store.path, cut, 0, Cover(BITS, 7))
    assert read_cover(store.path, cut, 0) is None
