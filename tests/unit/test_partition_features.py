"""Features of shards in another width than the graph store's."""

import numpy as np
import pytest
from reference import half as reference
from shards import Whole, random_graph, store_graph

import batchgnn.partition.cli as cli
import batchgnn.partition.plan as plan
from batchgnn.base.errors import DataError, StoreError
from batchgnn.kernels.half import as_floats
from batchgnn.partition.cut import Cut
from batchgnn.partition.partition import partition
from batchgnn.partition.write import schema_of
from batchgnn.store.shard_verify import verify


def rounded(x, name):
    """float32 (n, d): numbers as the format `name` holds them."""
    out = np.empty(x.shape, {"float16": np.uint16, "bfloat16": np.int16}[name])
    reference.narrow_rows(x.astype(np.float32), out)
    return as_floats(out).astype(np.float32)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("before", [np.float32, np.float16])
def test_features_are_stored_in_the_width_asked_for(tmp_path, capsys, name, before):
    graph = random_graph(300, 900)
    object.__setattr__(graph, "features", graph.features.astype(before))
    path = store_graph(graph, tmp_path / "g.h5")
    cli.partition(path, tmp_path / "s", cut=Cut(num_shards=3), feature_dtype=name)
    verify(tmp_path / "s")
    whole = Whole(tmp_path / "s")
    assert whole.manifest.feature_name == name
    stored = whole.column("features")
    assert stored.itemsize == 2
    np.testing.assert_array_equal(as_floats(stored), rounded(graph.features, name))
    changed = np.dtype(before).name != name
    assert whole.manifest.options.get("features_rounded_from") == (
        np.dtype(before).name if changed else None
    )
    cli.inspect(tmp_path / "s")
    assert f"3 {name}" in capsys.readouterr().out


def test_features_may_be_widened(tmp_path):
    graph = random_graph(300, 900)
    object.__setattr__(graph, "features", graph.features.astype(np.float16))
    m = partition(graph, tmp_path / "s", "random", 3, feature_dtype="float32")
    assert (m.feature_name, "features_rounded_from" in m.options) == ("float32", False)
    np.testing.assert_array_equal(Whole(tmp_path / "s").column("features"), graph.features)


def test_a_feature_too_large_for_float16_is_named(tmp_path):
    graph = random_graph(300, 900)
    graph.features[211, 2] = -7e4
    with pytest.raises(
        DataError, match=r"feature 2 of vertex 211 is -70000, too large for float16"
    ):
        partition(graph, tmp_path / "s", "random", 3, feature_dtype="float16")
    assert not (tmp_path / "s").exists()
    m = partition(graph, tmp_path / "s", "random", 3, feature_dtype="bfloat16")
    assert m.feature_name == "bfloat16"


def test_verify_finds_an_infinite_bfloat16(tmp_path):
    graph = random_graph(300, 900)
    graph.features[5, 1] = np.inf
    partition(graph, tmp_path / "s", "random", 3, feature_dtype="bfloat16")
    with pytest.raises(StoreError, match="vertex/features: finite does not hold"):
        verify(tmp_path / "s")


def test_half_width_needs_less_disk(tmp_path, capsys):
    path = store_graph(random_graph(300, 900), tmp_path / "g.h5")
    sizes = []
    for name in (None, "bfloat16"):
        cli.partition(path, tmp_path / "s", cut=Cut(num_shards=3), dry_run=True, feature_dtype=name)
        sizes.append(capsys.readouterr().out)
    m = schema_of(random_graph(300, 900))
    half = schema_of(random_graph(300, 900), "bfloat16")
    assert plan.disk_bytes(m, 900, 3) - plan.disk_bytes(half, 900, 3) == 300 * 3 * 2
    assert sizes[0].splitlines()[:-1] == sizes[1].splitlines()[:-1]  # the memory is the same
    assert sizes[0] != sizes[1]
