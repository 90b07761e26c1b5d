"""`verify` finds every flipped bit of every file of a store, sampled over all of their bits."""

import random

import pytest
from shards import store_graph, two_triangles

from batchgnn.base.errors import StoreError
from batchgnn.partition.partition import partition
from batchgnn.store.graph_verify import verify as verify_graph
from batchgnn.store.shard_verify import verify as verify_shards
from fuzz.count import SEED

MANY = 2500
"Of each file; `unit/test_shard_check.py` has a few hundred in all."


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """(file, what verifies it) of a graph store and of its two shards; the smallest there are."""
    folder = tmp_path_factory.mktemp("bits")
    graph = two_triangles(directed=True, weighted=True)
    store_graph(graph, folder / "g.h5")
    partition(graph, folder / "shards", "random", 2)
    files = [(path, verify_shards, folder / "shards") for path in (folder / "shards").iterdir()]
    return [(folder / "g.h5", verify_graph, folder / "g.h5"), *sorted(files)]


def misses(stores, count):
    """Which of `count` bits of each file are flipped and not noticed."""
    rng, missed = random.Random(SEED), []
    for path, verify, store in stores:
        verify(store)
        written = path.read_bytes()
        for bit in rng.sample(range(8 * len(written)), count):
            damaged = bytearray(written)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            try:
                verify(store)
                missed.append((path.name, bit))
            except StoreError:
                pass
        path.write_bytes(written)
    return missed


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_verify_misses_none_of_thousands_of_flipped_bits(stores):
    assert not misses(stores, MANY)
