"""The memory plan of mode macrobatch: sizes that nothing was said of are chosen so that it fits."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of

from batchgnn.base.bytes import parse_bytes
from batchgnn.base.errors import MemoryPlanError
from batchgnn.modes.assembly import resolved, settings_of, task_of
from batchgnn.modes.extent import Extent
from batchgnn.modes.kinds import MODES
from batchgnn.modes.macrobatch.memory import (
    SEEDS,
    SOURCES,
    most_drawn,
    plan_macrobatch,
    usual_sources,
    usually_drawn,
    usually_remote,
)
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.modes.open import build_model
from batchgnn.partition.partition import partition
from batchgnn.store.seeds import is_seed
from batchgnn.store.shard_store import ShardStore

RANKS, VERTICES = 16, 220_000
MODE = MODES["macrobatch"]


@pytest.fixture(scope="module")
def extent(tmp_path_factory):
    """Of a graph of 220,000 vertices on 16 ranks of a machine with 20 GB, with some options."""
    path = shards_of(learnable_graph(), tmp_path_factory.mktemp("memory") / "shards", RANKS)
    small = ShardStore(path).manifest
    manifest = replace(
        small,
        quotient_weight=np.full_like(small.quotient_weight, 2 * 9_000_000 // RANKS**2),
        num_vertices=VERTICES,
        num_edges=9_000_000,
        num_features=768,
        num_seeds=np.full((RANKS, 1), 700),
        num_halo=np.full(RANKS, 150_000),
        degree_count=np.zeros((4, 0), np.int64),
    )

    def of(memory="1280M", **options):
        given = settings_of({"memory": memory, "overlap": True, **options})
        settings = resolved(given, manifest.task)
        return Extent(
            path=path,
            manifest=manifest,
            settings=settings,
            model=build_model(manifest, settings, task_of(settings).make(settings)),
            shards=np.array([3]),
            num_own=VERTICES // RANKS,
            num_edges=600_000,
            rank=3,
            num_ranks=RANKS,
            ranks_per_node=RANKS,
            threads=1,
            feature_dtype=manifest.feature_dtype,
            copied_feature_bytes=0,
        )

    return of


def test_macrobatches_take_what_there_is(extent):
    tight, wide = extent(), extent("64G")
    assert plan_macrobatch(tight).total <= parse_bytes("1280M") < plan_macrobatch(wide).total
    chosen = MODE.fit(tight)[Macrobatches]
    assert parse_bytes(MODE.fit(wide)[Macrobatches].macrobatch_memory) == 1 << 30
    assert parse_bytes(chosen.macrobatch_memory) < 1 << 30
    fitted = replace(tight, settings=MODE.fit(tight))
    assert plan_macrobatch(fitted).parts == plan_macrobatch(tight).parts


def test_the_chunk_of_the_evaluation_shrinks_where_it_has_to(extent):
    few = {"batch_size": 16, "fanouts": (1, 1, 1), "hidden": 512}
    wide, tight = extent("64G", **few), extent("500M", **few)
    chunks = [MODE.fit(e)[Macrobatches].evaluation_memory for e in (wide, tight)]
    assert parse_bytes(chunks[1]) < parse_bytes(chunks[0]) == 256 << 20
    assert plan_macrobatch(tight).total < plan_macrobatch(wide).total


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"macrobatch_memory": "1G"}, "macrobatches .*Lower --macrobatch-memory, "),
        ({"macrobatch": 16}, "macrobatches .*Lower --macrobatch, "),
        (
            {"evaluation_memory": "2G", "hidden": 512, "batch_size": 16, "fanouts": (1, 1, 1)},
            "evaluation, .*Lower --evaluation-memory or --hidden",
        ),
    ],
    ids=["bytes", "number", "evaluation"],
)
def test_a_refusal_names_the_option_of_the_largest_part(extent, options, advice):
    fitted = MODE.fit(extent("500M", **options))
    plan = plan_macrobatch(replace(extent("500M", **options), settings=fitted))
    with pytest.raises(MemoryPlanError, match=f"{advice}.* or raise --memory"):
        plan.require(parse_bytes("500M"), MODE.advice, MODE.of_part)


@pytest.mark.parametrize("fanout", [1, 3, 300])
@pytest.mark.parametrize("targets", [1, 40, 399, 4000])
def test_as_many_edges_are_drawn_as_the_highest_degrees_have(tmp_path, targets, fanout):
    shards = ShardStore(shards_of(learnable_graph(), tmp_path / "shards"))
    degree = np.concatenate([shards.shard(s).degree_in for s in range(4)])
    highest = np.sort(np.minimum(degree, fanout))[::-1][:targets]
    assert most_drawn(shards.manifest, targets, fanout) == highest.sum()
    assert most_drawn(shards.manifest, targets, -1) == degree.sum()


def test_random_edges_have_so_many_sources_which_draw_so_much(tmp_path):
    graph = learnable_graph(directed=True, num_vertices=3000)
    store = ShardStore(shards_of(graph, tmp_path / "shards"))
    shards = [store.shard(s) for s in range(4)]
    rng, source = np.random.default_rng(0), np.concatenate([each.in_indices for each in shards])
    target = np.repeat(np.arange(3000), np.concatenate([each.degree_in for each in shards]))
    for drawn in (300, 1000, 20_000):
        picks = [rng.integers(0, len(source), drawn) for _ in range(20)]
        mean = np.mean([len(np.unique(source[edges])) for edges in picks])
        assert usual_sources(store.manifest, drawn) == pytest.approx(mean, rel=0.03)
        degree = np.bincount(target, minlength=3000)
        mean = np.mean([np.minimum(degree[source[edges]], 4).sum() for edges in picks])
        assert usually_drawn(store.manifest, drawn, 4, SOURCES) == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("method", ["random", "metis"])
def test_walks_end_with_others_as_often_as_is_planned(tmp_path, extent, method):
    """From an own vertex, over three in-edges drawn as a fanout of 1 draws them."""
    partition(learnable_graph(num_vertices=3000), tmp_path / "shards", method, 4)
    store = ShardStore(tmp_path / "shards")
    shards = [store.shard(s) for s in range(4)]
    sources = np.concatenate([each.in_indices for each in shards]).astype(np.int64)
    degree = np.concatenate([each.degree_in for each in shards])
    first, own = np.r_[0, np.cumsum(degree)], np.array([0, 1])
    rng, num_own = np.random.default_rng(0), int(store.manifest.offset[2])
    at = rng.integers(0, num_own, 20_000)
    for _ in range(3):
        at = at[degree[at] > 0]
        at = sources[first[at] + rng.integers(0, degree[at])]
    of = replace(
        extent(), manifest=store.manifest, shards=own, num_own=num_own, num_edges=first[num_own]
    )
    share = usually_remote(of, len(at)) / len(at)
    assert (at >= num_own).mean() <= share <= 3 * (at >= num_own).mean()


def test_seeds_draw_what_seeds_have(tmp_path):
    store = ShardStore(shards_of(learnable_graph(), tmp_path / "shards"))
    shards = [store.shard(s) for s in range(4)]
    of_seeds = [each.degree_in[is_seed(each.label, each.split)[:, 0]] for each in shards]
    mean = np.minimum(np.concatenate(of_seeds), 4).mean()
    assert usually_drawn(store.manifest, 10, 4, SEEDS) == pytest.approx(10 * mean)
