"""The commands `partition`, `inspect` and `verify`."""

from dataclasses import replace

import numpy as np
import pytest
from cyclopts import App
from shards import edited, random_graph, store_graph

import batchgnn.partition.cli as cli
from batchgnn.base.errors import StoreError
from batchgnn.partition.cut import Cut
from batchgnn.partition.partition import partition
from batchgnn.store.graph_store import GraphStore
from batchgnn.store.seal import seal
from batchgnn.store.shard_store import ShardStore


def test_partition_and_inspect_as_commands(tmp_path, capsys):
    path = store_graph(random_graph(300, 900, splits=2), tmp_path / "g.h5")
    cli.partition(path, tmp_path / "s", cut=Cut(num_shards=40), dry_run=True)
    assert "memory in all" in capsys.readouterr().out
    assert not (tmp_path / "s").exists()
    cli.partition(path, tmp_path / "s", cut=Cut(num_shards=4), memory="2G")
    assert "4 shards of arrays" in capsys.readouterr().out
    cli.inspect(tmp_path / "s")
    shown = capsys.readouterr().out
    for words in ("halo factor rho", "balance kappa", "edges cut", "load / mean", "fingerprint"):
        assert words in shown
    cli.inspect(path)
    assert "split 1" in capsys.readouterr().out
    cli.verify(tmp_path / "s")
    assert "4 shards, all checksums and invariants hold" in capsys.readouterr().out
    cli.verify(path)
    assert "all values are in range" in capsys.readouterr().out


def test_the_command_line_tells_the_folder_from_the_number_of_shards(tmp_path):
    path = store_graph(random_graph(300, 900), tmp_path / "g.h5")
    app = App(name="batchgnn", result_action="return_value")
    app.command(cli.partition)
    line = f"partition {path} {tmp_path}/s --shards 3 --method supernode --clusters 9 --seed 5"
    app(line, exit_on_error=False)
    m = ShardStore(tmp_path / "s").manifest
    assert (m.num_shards, m.method, m.seed) == (3, "supernode", 5)
    assert m.options == {"clusters": 9, "even_seeds": True, "order": "rcm"}


def shown_of(path, capsys):
    """What `inspect` prints, without line breaks and frames."""
    capsys.readouterr()
    cli.inspect(path)
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.fixture
def half_labelled():
    """300 vertices of which 200 train; the first 100 of these have no label."""
    split, label = np.repeat([1, 1, 3], 100).astype(np.uint8), np.repeat([-1, 0, 1], 100)
    return replace(random_graph(300, 900), split=split, label=label.astype(np.int32))


def test_inspect_says_how_many_training_vertices_have_no_label(half_labelled, tmp_path, capsys):
    path = store_graph(half_labelled, tmp_path / "g.h5")
    cli.partition(path, tmp_path / "s", cut=Cut(num_shards=3))
    shown = shown_of(path, capsys)
    assert "train 200, val 0, test 100; 100 of train without a label" in shown
    shown = shown_of(tmp_path / "s", capsys)
    assert "train 200; 100 of train without a label" in shown
    assert "multiclass, 2 classes, 100 vertices without a label" in shown


def test_inspect_says_the_range_of_numbers(half_labelled, tmp_path, capsys):
    label = np.where(half_labelled.label < 0, np.nan, np.linspace(-1, 2, 300)).astype(np.float32)
    graph = replace(half_labelled, label=label, num_classes=1)
    path = store_graph(graph, tmp_path / "g.h5")
    cli.partition(path, tmp_path / "s", cut=Cut(num_shards=3))
    for store in (path, tmp_path / "s"):
        shown = shown_of(store, capsys)
        assert "regression, labels from 0.00334448 to 2, 100 vertices without a label" in shown
    none = replace(graph, label=np.full(300, np.nan, np.float32))
    shown = shown_of(store_graph(none, tmp_path / "none.h5"), capsys)
    assert "regression, 300 vertices without a label" in shown


def test_many_shards_are_summed_up(tmp_path, capsys):
    partition(random_graph(300, 900), tmp_path / "s", "random", 40)
    cli.inspect(tmp_path / "s")
    shown = capsys.readouterr().out
    assert "least" in shown
    assert "most" in shown


@pytest.mark.parametrize("command", [cli.inspect, cli.verify])
def test_commands_on_nothing(tmp_path, command):
    with pytest.raises(StoreError, match="does not exist: needed a graph store"):
        command(tmp_path / "g.h5")
    with pytest.raises(StoreError, match=r"has no manifest\.h5"):
        command(tmp_path)


def test_verify_names_the_row_of_a_bad_value(tmp_path):
    graph = random_graph(300, 900)
    path = store_graph(graph, tmp_path / "g.h5")
    store = GraphStore(path)
    np.memmap(path, np.float32, "r+", store.features.offset, (300, 3))[7, 1] = np.nan
    with pytest.raises(StoreError, match=r"g\.h5 is damaged, or was changed after it was written"):
        cli.verify(path)
    seal(path)
    with pytest.raises(StoreError, match=r"vertex/features has a value out of range in row 7\."):
        cli.verify(path)


def test_a_graph_store_that_was_changed_is_not_cut(tmp_path):
    path = store_graph(random_graph(300, 900), tmp_path / "g.h5")
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 1  # of an edge
    path.write_bytes(raw)
    with pytest.raises(StoreError, match=r"g\.h5 is damaged, or was changed after it was written"):
        cli.partition(path, tmp_path / "s", cut=Cut(num_shards=3))
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("method", ["random", "metis"])
@pytest.mark.parametrize("name", ["edge/source", "vertex/split", "vertex/label"])
def test_a_sealed_graph_store_with_a_value_that_cannot_be_is_not_cut(tmp_path, name, method):
    path = store_graph(random_graph(300, 900), tmp_path / "g.h5")
    with edited(path) as file:
        file[name][7] = 250
        file[name][8] = 10**9 if name != "vertex/split" else 250
    with pytest.raises(StoreError, match=rf"{name} has a value out of range in row [78]\."):
        cli.partition(path, tmp_path / "s", cut=Cut(num_shards=3, method=method))
    assert not (tmp_path / "s").exists()
