"""What a seed is: for each kind of label, in the manifest, and as balanced over the shards."""

import dataclasses

import numpy as np
import pytest
from shards import edited, random_graph

from batchgnn.base.errors import StoreError
from batchgnn.partition.cut import METHODS
from batchgnn.partition.partition import partition
from batchgnn.store.seeds import has_label, is_seed
from batchgnn.store.shard_verify import verify

LABELS = {
    "classes": (np.array([-1, 0, 7], np.int32), [False, True, True]),
    "numbers": (np.array([np.nan, 0, -2.5], np.float32), [False, True, True]),
    "several": (np.array([[0, 0], [1, 0], [1, 1]], np.uint8), [True, True, True]),
    "several, some not known": (
        np.array([[255, 255], [255, 0], [1, 255]], np.uint8),
        [False, True, True],
    ),
}


@pytest.mark.parametrize(("label", "wanted"), LABELS.values(), ids=LABELS)
def test_a_vertex_has_a_label(label, wanted):
    np.testing.assert_array_equal(has_label(label), wanted)
    assert has_label(label[:0]).shape == (0,)


@pytest.mark.parametrize(("label", "labelled"), LABELS.values(), ids=LABELS)
def test_a_seed_is_a_training_vertex_with_a_label(label, labelled):
    split = np.array([[1, 0], [1, 2], [3, 1]], np.uint8)
    wanted = np.array([[1, 0], [1, 0], [0, 1]], bool) & np.array(labelled)[:, None]
    np.testing.assert_array_equal(is_seed(label, split), wanted)


@pytest.fixture
def half_labelled():
    """Training vertices all over; the first half of them, the hubs, have no label."""
    graph = random_graph(2000, 6000)
    label = np.where(np.arange(2000) < 1000, -1, 1).astype(np.int32)
    return dataclasses.replace(graph, label=label, split=np.ones(2000, np.uint8))


@pytest.mark.parametrize("method", METHODS)
def test_the_cut_evens_and_counts_seeds_not_training_vertices(half_labelled, tmp_path, method):
    m = partition(half_labelled, tmp_path / "s", method, 4)
    assert m.num_seeds.sum() == 1000
    assert m.num_seeds.max() <= 1.05 * 250
    verify(tmp_path / "s")


def test_verify_finds_a_manifest_that_counts_training_vertices(half_labelled, tmp_path):
    partition(half_labelled, tmp_path / "s", "random", 2)
    with edited(tmp_path / "s" / "manifest.h5") as file:
        file["shard/num_seeds"][...] = file["shard/num_seeds"][()] + [[1], [-1]]
    with pytest.raises(StoreError, match=r"shard/num_seeds of the manifest.*does not hold"):
        verify(tmp_path / "s")
