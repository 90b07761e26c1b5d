"""Looking at every byte of shards when they are mapped costs little beside making them."""

import time

import pytest
from graphs import learnable_graph, shards_of

from batchgnn.cli import main
from batchgnn.store.shard_store import ShardStore

VERTICES, DEGREE, SHARDS = 4_000_000, 16, 4
"64 million arcs."


def processor_s(work):
    """Of all threads of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert not end.value.code


def open_all(shards):
    store = ShardStore(shards)
    for s in range(store.manifest.num_shards):
        store.shard(s)


@pytest.mark.slow
def test_checks_take_a_twentieth_of_the_time_of_the_cut(tmp_path):
    open_all(shards_of(learnable_graph(), tmp_path / "first"))  # compiles
    graph, shards = tmp_path / "graph.h5", tmp_path / "shards"
    sizes = ["--vertices", VERTICES, "--degree", DEGREE, "--features", 16]
    run("data", "generate", "rmat", graph, *sizes)
    cut = ["--shards", SHARDS, "--method", "random"]
    cut_s = processor_s(lambda: run("partition", graph, shards, *cut))
    check_s = processor_s(lambda: open_all(shards))
    said = f"partition {cut_s:.2f}, checks {check_s:.2f} processor seconds: {check_s / cut_s:.1%}"
    print(said)
    assert check_s <= 0.05 * cut_s, said
