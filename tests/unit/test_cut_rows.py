"""Vertices dealt evenly whatever the shards: every one once, in order, to consecutive ranks."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from hypothesis import given
from hypothesis import strategies as st

from batchgnn.graph.cut_rows import cut_rows, even_bounds
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.row_pieces import RowPieces
from batchgnn.store.shard_store import ShardStore


@given(st.integers(0, 50), st.integers(1, 9))
def test_even_bounds_differ_by_one(count, parts):
    sizes = np.diff(even_bounds(count, parts))
    assert sizes.sum() == count
    assert sizes.max() - sizes.min() <= 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 5), st.data())
def test_every_vertex_has_one_owner_and_parts_are_dealt_evenly(sizes, ways, data):
    offset = np.concatenate([[0], np.cumsum(sizes)])
    num_parts = data.draw(st.integers(1, len(sizes)))
    others = st.lists(
        st.integers(0, num_parts - 1), min_size=len(sizes) - num_parts, max_size=len(sizes)
    )
    part_of_shard = np.array([*range(num_parts), *data.draw(others)])[: len(sizes)]
    cut = cut_rows(offset, part_of_shard, ways)
    owner = cut.ownership.owner(np.arange(offset[-1]))
    for part in range(num_parts):
        shards = np.flatnonzero(part_of_shard == part)
        ids = np.concatenate([np.arange(offset[s], offset[s + 1]) for s in shards])
        bounds = even_bounds(len(ids), ways)
        for way in range(ways):
            mine = ids[bounds[way] : bounds[way + 1]]
            assert (owner[mine] == part * ways + way).all()
            np.testing.assert_array_equal(cut.ownership.own_ids(part * ways + way), mine)
            assert len(cut.ownership.own_shards(part * ways + way)) >= 1
    np.testing.assert_array_equal(offset[cut.shard] + cut.begin, cut.ownership.offset[:-1])


@pytest.mark.parametrize("num_ranks", [1, 3, 7])
def test_pieces_hold_what_the_shards_hold(tmp_path, num_ranks):
    store = ShardStore(shards_of(learnable_graph(directed=True), tmp_path / "shards", 2))
    cut = cut_rows(store.manifest.offset, np.zeros(2, np.int64), num_ranks)
    pieces, shards = RowPieces(store, cut), [store.shard(s) for s in range(2)]
    owned = [OwnShards(pieces, cut.ownership, rank) for rank in range(num_ranks)]
    for name in ("label", "split", "original_id", "degree_in"):
        whole = np.concatenate([getattr(shard, name) for shard in shards])
        dealt = np.concatenate([getattr(own, name) for own in owned])
        np.testing.assert_array_equal(dealt, whole)
    features = [own.features.at(np.arange(own.num_own)) for own in owned]
    assert sum(map(len, (f.address for f in features))) == store.manifest.num_vertices
    for own in owned:
        for k, indptr in enumerate(own.in_indptr.parts):
            np.testing.assert_array_equal(
                np.diff(indptr), own.degree_in[own.first_row[k] : own.first_row[k + 1]]
            )
