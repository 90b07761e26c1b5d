"""The table of copied rows against a dictionary; how many rows fit; the plan of their memory."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from reference import row_cache as reference

from batchgnn.base.errors import ConfigError
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.row_cache import enter_rows, redirect_rows
from batchgnn.modes.assembly import resolved, settings_of, task_of
from batchgnn.modes.extent import Extent
from batchgnn.modes.macrobatch.memory import plan_macrobatch
from batchgnn.modes.open import build_model
from batchgnn.sampling.row_cache import capacity_of
from batchgnn.settings.general import Features
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import ShardStore


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("num_cached", [0, 1, 2, 500])
def test_redirecting_is_a_dictionary(dtype, num_cached):
    rng = np.random.default_rng(num_cached)
    ids = rng.permutation(2000)[:num_cached].astype(dtype)
    size = 1 << int(max(1, 2 * num_cached - 1)).bit_length()
    table = np.full(size, 77, dtype), np.full(size, 77, np.int32)
    enter_rows(ids, *table)
    asked = rng.permutation(2000).astype(dtype)
    owner, row = rng.integers(0, 3, 2000).astype(np.int32), rng.integers(0, 900, 2000)
    expected = reference.redirect_rows(asked, owner, row, 1, 900, reference.enter_rows(ids))
    redirect_rows(asked, owner, row, 1, 900, *table)
    assert list(zip(owner, row, strict=True)) == expected
    assert np.sum(row >= 900) == sum(r >= 900 for _, r in expected) <= num_cached


def test_capacity_counts_the_table():
    assert capacity_of(1000, row_bytes=68, id_bytes=4) == 10
    assert capacity_of(1000, row_bytes=52, id_bytes=8) == 10
    with pytest.raises(ConfigError, match="--feature-cache 99 B holds no row: one takes 100 bytes"):
        capacity_of(99, row_bytes=68, id_bytes=4)


@pytest.fixture
def plan(tmp_path):
    """Parts of the memory plan of rank 1 of 2, for any settings."""
    store = ShardStore(shards_of(learnable_graph(), tmp_path / "s"))
    manifest = store.manifest
    ownership = Ownership(manifest.offset, np.array([0, 0, 0, 1], np.int32))

    def of(**options):
        given = settings_of({"macrobatch": 8, "overlap": True, **options})
        settings = resolved(given, manifest.task)
        own = OwnShards(store, ownership, 1, settings[Features].feature_dtype)
        extent = Extent(
            path=store.path,
            manifest=manifest,
            settings=settings,
            model=build_model(manifest, settings, task_of(settings).make(settings)),
            shards=own.shards,
            num_own=own.num_own,
            num_edges=int(own.degree_in.sum()),
            rank=1,
            num_ranks=2,
            ranks_per_node=2,
            threads=1,
            feature_dtype=own.feature_dtype,
            copied_feature_bytes=own.copied_feature_bytes,
        )
        return plan_macrobatch(extent).parts

    return of


def test_the_plan_counts_the_narrowed_copy_and_the_copies_of_remote_rows(plan):
    own, remote = 100, 300
    before, half = plan(), plan(feature_dtype="bfloat16")
    assert before["a copy of the own features"] == before["copies of remote rows"] == 0
    assert half["a copy of the own features"] == own * 12 * 2
    fetched = "fetched rows of macrobatches"
    assert before[fetched] == 2 * half[fetched] > 0
    each = 12 * 4 + 4 * 8
    assert plan(feature_cache="2K")["copies of remote rows"] == 2048 // each * each
    assert plan(feature_cache="1G")["copies of remote rows"] == remote * each
    narrow = plan(feature_cache="1G", feature_dtype="float16")
    assert narrow["copies of remote rows"] == remote * (each - 24)
    assert plan(feature_cache="1G", model="gcn")["copies of remote rows"] == remote * (each + 4)
    aggregated = plan(feature_cache="1G", aggregate_cache="memory")
    assert aggregated["copies of remote rows"] == remote * (each + 48)


def test_the_plan_refuses_a_cache_of_no_row(plan):
    with pytest.raises(ConfigError, match="--feature-cache 79 B holds no row"):
        plan(feature_cache="79")
