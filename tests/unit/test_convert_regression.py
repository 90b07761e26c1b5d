"""`--task`: numbers as labels through every converter, and what is refused without being told."""

import numpy as np
import pytest
from converters import EDGE_INDEX, X, of_archive, of_tables, saved, write_tables

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.convert import ConvertOptions
from batchgnn.data.convert_npz import convert_npz
from batchgnn.data.convert_ogb import OgbOptions, convert_ogb
from batchgnn.store.graph_store import GraphStore

NUMBERS = np.array([0.25, np.nan, -1, 3])
REGRESSION = ConvertOptions(task="regression")


def as_table(folder, numbers=NUMBERS):
    """The four vertices with these labels, an empty cell where there is none."""
    cells = ["" if np.isnan(number) else f"{number:g}" for number in numbers]
    rows = [
        f"{name},{cell}" for name, cell in zip(("bob", "ann", "zoë", "eve"), cells, strict=True)
    ]
    write_tables(folder)
    (folder / "vertices.csv").write_text("\n".join(["id,label", *rows, ""]), encoding="utf-8")
    return folder


def as_ogb(folder, numbers=NUMBERS):
    """The same as an OGB folder."""
    (folder / "ogbn_small" / "raw").mkdir(parents=True)
    raw = {"edge_index": EDGE_INDEX, "node_feat": X, "num_nodes_list": [4]}
    np.savez(folder / "ogbn_small" / "raw" / "data.npz", **raw)
    np.savez(folder / "ogbn_small" / "raw" / "node-label.npz", node_label=numbers[:, None])
    return folder / "ogbn_small"


def from_edges(folder, numbers, task):
    return of_tables(as_table(folder, numbers), task=task)


def from_npz(folder, numbers, task):
    return of_archive(folder, ConvertOptions(task=task), y=numbers)


def from_ogb(folder, numbers, task):
    options = OgbOptions(task=task, split=(0.5, 0.25, 0.25))
    convert_ogb(as_ogb(folder, numbers), folder / "g.h5", options, show=False)
    return GraphStore(folder / "g.h5")


def from_debian_files(folder, numbers, task):
    """The packing of its own: 0 - 1 - 2, 2 - 3."""
    arrays = {"deg_out": [1, 1, 1, 0], "indices_delta": [1, 1, 1], "split": [0, 1, 2, 3]}
    np.savez(folder / "a.npz", cat=np.zeros((4, 4), np.uint8), y=numbers, **arrays)
    convert_npz(folder / "a.npz", folder / "g.h5", ConvertOptions(task=task), show=False)
    return GraphStore(folder / "g.h5")


CONVERTERS = {
    "edges": from_edges,
    "npz": from_npz,
    "ogb": from_ogb,
    "debian files": from_debian_files,
}
every_converter = pytest.mark.parametrize("convert", CONVERTERS.values(), ids=CONVERTERS)


@every_converter
def test_numbers_are_kept_when_asked_for(convert, tmp_path):
    graph = convert(tmp_path, NUMBERS, "regression")
    assert (graph.task, graph.num_classes) == ("regression", 1)
    np.testing.assert_array_equal(graph.read_labels(), NUMBERS.astype(np.float32))
    assert graph.read_labels().dtype == np.float32


@every_converter
def test_whole_numbers_become_floats_when_asked_for(convert, tmp_path):
    graph = convert(tmp_path, np.array([3, 0, -1, 12]), "regression")
    assert graph.read_labels().tolist() == [3.0, 0.0, -1.0, 12.0]
    assert graph.read_labels().dtype == np.float32


@every_converter
def test_whole_numbers_are_classes_unless_asked(convert, tmp_path):
    graph = convert(tmp_path, np.array([1.0, 0, -1, 2]), None)
    assert (graph.task, graph.num_classes) == ("multiclass", 3)
    assert graph.read_labels().tolist() == [1, 0, -1, 2]


@every_converter
def test_fractions_are_refused_unless_asked(convert, tmp_path):
    with pytest.raises(DataError, match=r"label 0\.25 is no whole number.*--task regression"):
        convert(tmp_path, NUMBERS, None)
    assert not (tmp_path / "g.h5").exists()


@every_converter
@pytest.mark.parametrize("large", [np.inf, -1e300])
def test_a_label_that_is_not_finite_is_refused_with_its_row(convert, large, tmp_path):
    rows_from = 2 if convert is from_edges else 0  # a table's rows count its header
    said = rf"row {2 + rows_from}: label -?(inf|1e\+300) is no finite number of 32 bits"
    with pytest.raises(DataError, match=said):
        convert(tmp_path, np.array([1, 2, large, np.nan]), "regression")


@every_converter
def test_one_column_of_several_labels_is_kept_when_asked_for(convert, tmp_path):
    graph = convert(tmp_path, np.array([1, 0, 0, 1]), "multilabel")
    assert (graph.task, graph.num_classes) == ("multilabel", 1)
    assert graph.read_labels().tolist() == [[1], [0], [0], [1]]


def test_a_vertex_without_a_number_is_in_no_part_of_a_random_split(tmp_path):
    graph = of_tables(as_table(tmp_path), task="regression", split=(1.0, 0.0, 0.0))
    assert graph.read_split().ravel().tolist() == [1, 0, 1, 1]


def test_fractions_may_be_names_of_classes_when_asked(tmp_path):
    graph = of_tables(as_table(tmp_path, np.array([1.5, 2, np.nan, 1.5])), task="multiclass")
    assert graph.class_names == ["1.5", "2"]
    assert graph.read_labels().tolist() == [0, 1, -1, 0]


def test_a_cell_that_is_no_number_is_named(tmp_path):
    as_table(tmp_path)
    text = (tmp_path / "vertices.csv").read_text("utf-8").replace("0.25", "high")
    (tmp_path / "vertices.csv").write_text(text, "utf-8")
    with pytest.raises(DataError, match="row 2, column label: the cell is 'high'"):
        of_tables(tmp_path, task="regression")


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_several_columns_are_several_labels_and_nothing_else(task, tmp_path):
    y = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    with pytest.raises(DataError, match=rf"y: 2 columns of labels, but --task {task} has one"):
        of_archive(tmp_path, ConvertOptions(task=task), y=y)


def test_a_task_needs_labels(tmp_path):
    with pytest.raises(DataError, match="there is no array y"):
        convert_npz(saved(tmp_path, y=None), tmp_path / "g.h5", REGRESSION, show=False)
    write_tables(tmp_path)
    (tmp_path / "vertices.csv").write_text("id,x\nbob,1\nann,2\nzoë,3\n", "utf-8")
    with pytest.raises(DataError, match=r"there is no column label\. Name it: --label"):
        of_tables(tmp_path, task="regression")
    with pytest.raises(ConfigError, match="give it as --vertices FILE"):
        of_tables(tmp_path, vertices=None, task="regression")


def test_classes_are_not_for_numbers(tmp_path):
    with pytest.raises(ConfigError, match="--classes 3: --task regression has none"):
        of_archive(tmp_path, ConvertOptions(task="regression", classes=3))


def test_the_report_says_that_labels_are_numbers(tmp_path):
    path = saved(tmp_path, y=NUMBERS, class_names=np.array(["a", "b", "c", "d"]))
    assert "labels are numbers" in str(convert_npz(path, tmp_path / "g.h5", REGRESSION, show=False))
    assert GraphStore(tmp_path / "g.h5").class_names is None
