"""What is damaged in a store is refused before it is used, whichever bit it is."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from shards import edited, random_graph, store_graph

from batchgnn.base.errors import StoreError
from batchgnn.partition.partition import partition
from batchgnn.store.graph_verify import verify as verify_graph
from batchgnn.store.shard_store import ShardStore
from batchgnn.store.shard_verify import verify

SHARDS = 3


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A weighted graph of 180 vertices in three shards, whose classes have names."""
    folder = tmp_path_factory.mktemp("sound") / "s"
    graph = random_graph(180, 900, weighted=True)
    names = [f"class {c}" for c in range(graph.num_classes)]
    partition(replace(graph, class_names=names), folder, "random", SHARDS)
    return folder


@pytest.fixture
def store(sound, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(sound, tmp_path / "s")
    return tmp_path / "s"


def load(folder):
    """As a rank does."""
    store = ShardStore(folder)
    return [store.shard(s) for s in range(SHARDS)]


DAMAGE = {
    ("in/indices", 5): 10**9,
    ("in/indptr", 5): 10**9,
    ("in/indptr", 6): -5,
    ("vertex/features", (7, 0)): np.nan,
    ("vertex/split", 8): 9,
    ("vertex/label", 9): -7,
    ("degree/in", 10): -1,
    ("vertex/original_id", 11): 10**6,
}
UNSEEN = {("vertex/features", (0, 0)): 1e30, ("vertex/original_id", 11): 0, ("in/weight", 0): 7}


@pytest.mark.parametrize("where", DAMAGE, ids=str)
def test_a_value_that_cannot_be_is_refused_with_file_dataset_and_row(store, where):
    name, row = where
    with h5py.File(store / "shard-00001.h5", "r+") as file:
        file[name][row] = DAMAGE[where]
    first = row[0] if isinstance(row, tuple) else row
    first += name == "in/indptr" and DAMAGE[where] > 0  # the next one is below it
    said = rf"shard-00001\.h5: dataset {name} is damaged: row {first} .*bytes are not"
    with pytest.raises(StoreError, match=said):
        load(store)
    with pytest.raises(StoreError, match=f"dataset {name} is damaged"):
        verify(store)


@pytest.mark.parametrize("where", UNSEEN, ids=str)
def test_a_value_that_could_be_is_refused_as_well(store, where):
    name, row = where
    with h5py.File(store / "shard-00001.h5", "r+") as file:
        file[name][row] = UNSEEN[where]
    with pytest.raises(StoreError, match=f"dataset {name} is damaged; its bytes"):
        load(store)


LIES = {
    "num_classes": 7,
    "task": "ranking",
    "edge_cut": 1,
    "balance": 9.0,
    "seed": 5,
    "quotient/indices": 100,
}


@pytest.mark.parametrize("name", [*LIES, "format_version"])
def test_a_manifest_that_was_changed_is_refused(store, name):
    with h5py.File(store / "manifest.h5", "r+") as file:
        if name == "format_version":
            del file.attrs[name]
        elif "/" in name:
            file[name][0] = LIES[name]
        else:
            file.attrs[name] = LIES[name]
    with pytest.raises(StoreError, match=r"manifest\.h5 is damaged, or was changed after"):
        ShardStore(store)


CLAIMS = {
    "num_edges": ("attrs", 5, "adds up to num_edges"),
    "task": ("attrs", "ranking", "task: one of multiclass"),
    "options": ("attrs", "3", "options: names and values"),
    "num_features": ("attrs", 9, "shard/place: sizes that follow from the counts"),
    "num_classes": ("attrs", 1.5, r"manifest\.h5 is damaged: .*1\.5.* is no whole number"),
    "id_dtype": ("attrs", "nonsense", r"manifest\.h5 is damaged: data type 'nonsense'"),
    "feature_dtype": ("attrs", "<f8", "feature_dtype: one of float32"),
    "quotient/indices": ("data", 100, "quotient/indices: shards"),
    "quotient/indptr": ("data", 100, "quotient: CSR of every shard"),
    "shard/offset": ("data", 3, "shard/offset: from 0"),
    "shard/num_seeds": ("data", 10**6, "shard/num_seeds: a row per shard"),
    "shard/num_halo": ("data", 10**6, "shard/num_halo: adds up"),
    "degree/count": ("data", 10**6, "degree/count: of every vertex"),
    "class/name": ("data", b"\xff", "class/name: UTF-8"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_sealed_manifest_that_contradicts_itself_is_refused(store, name):
    where, value, said = CLAIMS[name]
    with edited(store / "manifest.h5") as file:
        if where == "attrs":
            file.attrs[name] = value
        else:
            file[name][0] = value
    with pytest.raises(StoreError, match=said):
        ShardStore(store)


def flip(path, bit):
    raw = bytearray(path.read_bytes())
    raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ["manifest.h5", "shard-00001.h5"])
def test_no_flipped_bit_is_missed_when_shards_are_mapped_nor_by_verify(store, name):
    path = store / name
    before, rng = path.read_bytes(), np.random.default_rng(8)
    head = rng.choice(8 * 4096, 60, replace=False)
    for n, bit in enumerate([*head, *rng.integers(0, 8 * len(before), 140)]):
        flip(path, int(bit))
        with pytest.raises(StoreError, match=r"manifest\.h5|shard-00001\.h5"):
            (verify if n % 2 else load)(store)
        path.write_bytes(before)
    verify(store)


def test_no_flipped_bit_of_a_graph_store_is_missed_by_verify(tmp_path):
    path = store_graph(random_graph(60, 200), tmp_path / "g.h5")
    before, rng = path.read_bytes(), np.random.default_rng(9)
    for bit in rng.choice(8 * len(before), 200, replace=False):
        flip(path, int(bit))
        with pytest.raises(StoreError, match=r"g\.h5"):
            verify_graph(path)
        path.write_bytes(before)
    verify_graph(path)
