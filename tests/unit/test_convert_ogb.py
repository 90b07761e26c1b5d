"""`convert ogb`: a small dataset folder in both of OGB's forms, and what is refused."""

import gzip
import shutil

import numpy as np
import pytest

from batchgnn.base.errors import ConfigError, DataError, StoreError
from batchgnn.data.convert_ogb import OgbOptions, convert_ogb
from batchgnn.store.graph_store import GraphStore

ARCS = np.array([[0, 1, 3, 3], [1, 2, 3, 0]])  # 0 -> 1 -> 2, 3 -> 3, 3 -> 0
X = np.array([[0.5, -1], [2, 3], [4, 5], [6, 7.25]], np.float32)
LABEL = np.array([[1], [0], [2], [0]])
PARTS = {"train": [0, 3], "valid": [1], "test": [2]}


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(",".join(map(str, np.atleast_1d(row).tolist())) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))


def write_split(folder, scheme="time"):
    for part, ids in PARTS.items():
        write_csv(folder / "split" / scheme / f"{part}.csv.gz", ids)


@pytest.fixture(params=["csv", "npz"])
def dataset(request, tmp_path):
    """A folder as `ogbn_arxiv/` (csv) or `ogbn_papers100M/` (npz) is downloaded."""
    folder = tmp_path / "ogbn_small"
    write_split(folder)
    if request.param == "csv":
        rows = {"edge": ARCS.T, "node-feat": X, "node-label": LABEL}
        rows |= {"num-node-list": [4], "num-edge-list": [4]}
        for name, values in rows.items():
            write_csv(folder / "raw" / f"{name}.csv.gz", values)
    else:
        (folder / "raw").mkdir()
        arrays = {"edge_index": ARCS, "node_feat": X, "num_nodes_list": [4]}
        np.savez_compressed(folder / "raw" / "data.npz", **arrays)
        np.savez_compressed(folder / "raw" / "node-label.npz", node_label=LABEL.astype(float))
    return folder


def converted(folder, **options):
    out = folder.parent / "g.h5"
    convert_ogb(folder, out, OgbOptions(**options), show=False)
    return GraphStore(out)


def edges_of(graph):
    return [(s, t) for c in graph.iter_edges() for s, t in zip(*map(list, c[:2]), strict=True)]


def test_both_forms_are_read(dataset):
    graph = converted(dataset)
    assert edges_of(graph) == [(0, 1), (1, 2), (3, 0)]
    assert (graph.name, graph.directed, graph.num_classes) == ("ogbn_small", True, 3)
    np.testing.assert_array_equal(graph.read_features(), X)
    assert graph.read_labels().tolist() == [1, 0, 2, 0]
    assert graph.read_split().tolist() == [[1], [2], [3], [1]]


def test_undirected_mirrors(dataset):
    graph = converted(dataset, undirected=True, self_loops="keep")
    assert not graph.directed
    assert edges_of(graph) == [(0, 1), (1, 2), (3, 3), (3, 0)]
    with pytest.raises(ConfigError, match="leave out one of the two"):
        converted(dataset, undirected=True, arcs="both")


def test_another_split(dataset):
    write_split(dataset, "random")
    with pytest.raises(DataError, match="needed one folder of splits, found random, time"):
        converted(dataset)
    assert converted(dataset, scheme="time").read_split().tolist() == [[1], [2], [3], [1]]
    (dataset.parent / "g.h5").unlink()
    assert converted(dataset, split=(0, 0, 1)).read_split().tolist() == [[3]] * 4


def test_no_split_at_all(dataset):
    shutil.rmtree(dataset / "split")
    with pytest.raises(DataError, match=r"found none.*--split 0\.6 0\.2 0\.2"):
        converted(dataset)


def rewritten(folder, name, values):
    """Replace a table or array of the dataset, whichever form it has."""
    keys = {"edge": "edge_index", "node-feat": "node_feat", "node-label": "node_label"}
    if (folder / "raw" / "data.npz").exists():
        path = folder / "raw" / ("node-label.npz" if name == "node-label" else "data.npz")
        arrays = dict(np.load(path))
        arrays[keys[name]] = np.asarray(values).T if name == "edge" else np.asarray(values)
        np.savez(path, **arrays)
    else:
        write_csv(folder / "raw" / f"{name}.csv.gz", values)


BAD = {
    "vertex 4 is out of range": ("edge", [[0, 1], [4, 2]]),
    "feature is nan": ("node-feat", [[0, 0], [1, 1], [np.nan, 2], [3, 3]]),
    r"3 rows found, but the graph has 4 vertices": ("node-feat", [[0, 0], [1, 1], [3, 3]]),
    "label -3 is out of range": ("node-label", [[0], [1], [-3], [0]]),
    "label.*: 5 rows found, but the graph has 4 vertices": (
        "node-label",
        [[0], [1], [2], [0], [0]],
    ),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_values_are_refused(said, dataset):
    rewritten(dataset, *BAD[said])
    with pytest.raises(DataError, match=said):
        converted(dataset)
    assert not (dataset.parent / "g.h5").exists()


def test_missing_labels_and_several_labels(dataset):
    rewritten(
        dataset,
        "node-label",
        [["nan"], [0], [1], ["nan"]]
        if (dataset / "raw" / "edge.csv.gz").exists()
        else [[np.nan], [0], [1], [np.nan]],
    )
    assert converted(dataset).read_labels().tolist() == [-1, 0, 1, -1]
    (dataset.parent / "g.h5").unlink()
    rewritten(dataset, "node-label", [[0, 1], [1, 1], [0, 0], [1, 0]])
    graph = converted(dataset)
    assert (graph.task, graph.num_classes) == ("multilabel", 2)
    assert graph.read_labels().tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]


def test_a_vertex_in_two_parts_of_the_split(dataset):
    write_csv(dataset / "split" / "time" / "test.csv.gz", [2, 3])
    with pytest.raises(DataError, match=r"test\.csv\.gz, row 2: vertex 3 is in two parts"):
        converted(dataset)
    write_csv(dataset / "split" / "time" / "test.csv.gz", [2, 2])
    with pytest.raises(DataError, match=r"row 2: vertex 2 is in two parts .* or twice in one"):
        converted(dataset)
    write_csv(dataset / "split" / "time" / "test.csv.gz", [9])
    with pytest.raises(DataError, match=r"test\.csv\.gz, row 1: vertex 9 is out of range"):
        converted(dataset)
    (dataset / "split" / "time" / "test.csv.gz").unlink()
    with pytest.raises(DataError, match=r"test\.csv\.gz does not exist"):
        converted(dataset)


def test_a_folder_that_is_no_dataset_and_an_output_that_exists(dataset, tmp_path):
    with pytest.raises(DataError, match=r"neither raw/edge\.csv\.gz nor raw/data\.npz"):
        convert_ogb(tmp_path, tmp_path / "g.h5", show=False)
    converted(dataset)
    with pytest.raises(StoreError, match="exists already"):
        converted(dataset)


def test_a_dataset_without_features(tmp_path):
    folder = tmp_path / "ogbn_bare"
    write_split(folder)
    for name, values in {"edge": ARCS.T, "node-label": LABEL, "num-node-list": [4]}.items():
        write_csv(folder / "raw" / f"{name}.csv.gz", values)
    assert converted(folder).read_features().shape == (4, 0)
    write_csv(folder / "raw" / "num-node-list.csv.gz", [4, 4])
    with pytest.raises(DataError, match="2 graphs, needed one"):
        convert_ogb(folder, tmp_path / "h.h5", show=False)


# --- OGB's catalogue -----------------------------------------------------------------------------

NAMED = {  # folder: undirected, classes, split
    "ogbn_products": (True, 47, "sales_ranking"),
    "products": (True, 47, "sales_ranking"),
    "ogbn-products_pyg": (True, 47, "sales_ranking"),
    "ogbn_proteins": (True, 1, "species"),
    "proteinfunc_v4": (True, 1, "species"),
    "ogbn_arxiv": (False, 40, "time"),
    "ogbn_papers100M": (False, 172, "time"),
    "papers100M-bin": (False, 172, "time"),
    "ogbn_small": (False, 3, "time"),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_the_catalogue_says_is_taken_by_name(name, dataset):
    undirected, num_classes, split = NAMED[name]
    folder = dataset.rename(dataset.parent / name)
    (folder / "split" / "time").rename(folder / "split" / split)
    if name != "ogbn_small":
        write_split(folder, "zz_random")
    if split == "species":
        rewritten(folder, "node-label", [[0], [1], [1], [0]])
    graph = converted(folder)
    assert (graph.directed, graph.num_classes) == (not undirected, num_classes)
    assert graph.task == ("multilabel" if split == "species" else "multiclass")
    assert graph.taken["split"] == f"split/{split}, kept"


def test_the_catalogue_can_be_overruled_and_chosen(dataset):
    graph = converted(dataset, name="ogbn-products", classes=5)
    assert (graph.directed, graph.num_classes) == (False, 5)
    (dataset.parent / "g.h5").unlink()
    assert converted(dataset, name="ogbn-products", undirected=False).directed
    (dataset.parent / "g.h5").unlink()
    assert converted(dataset, name="ogbn-products", arcs="directed").directed


@pytest.mark.parametrize("sign", ["raw/triplet-type-list.csv.gz", "raw/num-node-dict.csv.gz"])
def test_a_heterogeneous_dataset_is_called_so(sign, dataset):
    (dataset / sign).touch()
    with pytest.raises(DataError, match="is a heterogeneous graph"):
        converted(dataset)
    (dataset / sign).unlink()
    with pytest.raises(DataError, match="is a heterogeneous graph"):
        converted(dataset.rename(dataset.parent / "ogbn_mag"))


def test_the_number_of_edges_is_what_the_dataset_says(dataset):
    if (dataset / "raw" / "data.npz").exists():
        arrays = dict(np.load(dataset / "raw" / "data.npz"))
        np.savez(dataset / "raw" / "data.npz", num_edges_list=[999], **arrays)
    else:
        write_csv(dataset / "raw" / "num-edge-list.csv.gz", [999])
    with pytest.raises(DataError, match=r"num.edge.*list.* says 999 edges, .* has 4"):
        converted(dataset)
    assert not (dataset.parent / "g.h5").exists()


def test_files_that_are_not_used_are_named(dataset):
    (dataset / "raw" / "node_year.csv.gz").touch()
    assert converted(dataset).taken["not used"] == ["node_year.csv.gz"]


def test_several_labels_may_be_not_known(dataset):
    rewritten(
        dataset,
        "node-label",
        [["nan", 1], [1, 0], ["nan", "nan"], [0, 0]]
        if (dataset / "raw" / "edge.csv.gz").exists()
        else [[np.nan, 1], [1, 0], [np.nan, np.nan], [0, 0]],
    )
    graph = converted(dataset)
    assert graph.read_labels().tolist() == [[255, 1], [1, 0], [255, 255], [0, 0]]
    assert graph.taken["labels not known"] == 3
    assert graph.taken["vertices without a label"] == 1
