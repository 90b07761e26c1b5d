"""`convert ogb` of a link-property folder whose splits are saved anew, and what is refused."""

import gzip

import numpy as np
import pytest
from shards import Whole

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.convert_ogb import OgbOptions, convert_ogb
from batchgnn.partition.partition import partition
from batchgnn.store.graph_store import GraphStore
from batchgnn.store.shard_verify import verify

EDGES = {"train": [(0, 1), (2, 1), (3, 4), (4, 0)], "valid": [(0, 2)], "test": [(1, 3), (4, 2)]}
X = np.arange(10, dtype=np.float32).reshape(5, 2)


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(",".join(map(str, np.atleast_1d(row).tolist())) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))


def write_part(folder, kind, name, edges):
    stem = folder / "split" / "time" / name
    stem.parent.mkdir(parents=True, exist_ok=True)
    if kind == "csv":
        write_csv(stem.with_suffix(".csv.gz"), edges)
    elif kind == "edge":
        np.savez(stem.with_suffix(".npz"), edge=np.array(edges), weight=np.ones(len(edges)))
    else:
        source, target = np.transpose(edges)
        np.savez(stem.with_suffix(".npz"), source_node=source, target_node=target)


@pytest.fixture(params=["csv", "edge", "ends"])
def dataset(request, tmp_path):
    """A folder as `ogbl_collab/` is downloaded, but for the splits; `raw/edge` is not needed."""
    folder = tmp_path / "ogbl_small"
    write_csv(folder / "raw" / "num-node-list.csv.gz", [5])
    write_csv(folder / "raw" / "node-feat.csv.gz", X)
    for name, edges in EDGES.items():
        write_part(folder, request.param, name, edges)
    return folder


def converted(folder, **options):
    out = folder.parent / "g.h5"
    convert_ogb(folder, out, OgbOptions(**options), show=False)
    return GraphStore(out)


def edges_of(graph):
    ends = [tuple(e) for s, t, _ in graph.iter_edges() for e in np.stack([s, t]).T.tolist()]
    return list(zip(ends, graph.read_edge_split().tolist(), strict=True))


@pytest.mark.parametrize("undirected", [None, True])
def test_edges_are_of_the_part_whose_file_they_are_in(dataset, undirected):
    graph = converted(dataset, undirected=undirected)
    assert graph.directed == (undirected is None)
    parts = dict(zip(EDGES, (1, 2, 3), strict=True))
    assert edges_of(graph) == [(pair, parts[n]) for n, pairs in EDGES.items() for pair in pairs]
    np.testing.assert_array_equal(graph.read_features(), X)
    partition(graph, dataset.parent / "s", "random", 2)
    verify(dataset.parent / "s")
    found = Whole(dataset.parent / "s")
    arcs = {*EDGES["train"]} | ({(v, u) for u, v in EDGES["train"]} if undirected else set())
    assert {arc[:2] for arc in found.arcs("in")} == arcs


def test_datasets_of_the_catalogue_stand_for_both_directions(dataset):
    assert not converted(dataset.rename(dataset.with_name("ogbl_collab"))).directed


def test_a_pickle_is_not_read(dataset):
    part = next((dataset / "split" / "time").glob("valid.*"))
    part.unlink()
    with pytest.raises(DataError, match=r"valid: it is absent: save the edges as valid\.npz"):
        converted(dataset)
    (dataset / "split" / "time" / "valid.pt").write_bytes(b"\x80\x02.")
    with pytest.raises(DataError, match=r"valid\.pt is a pickle, which is not read: save"):
        converted(dataset)
    assert not (dataset.parent / "g.h5").exists()


@pytest.mark.parametrize(
    ("edges", "sentence"),
    [([(0, 5)], "5"), ([(0, 1, 2)], r"needed (two columns|integers edge)|source_node")],
)
def test_what_is_no_edge_is_refused(dataset, edges, sentence):
    kind = "csv" if (dataset / "split" / "time" / "test.csv.gz").is_file() else "edge"
    next((dataset / "split" / "time").glob("test.*")).unlink()
    write_part(dataset, kind, "test", edges)
    with pytest.raises(DataError, match=sentence):
        converted(dataset)


def test_options_of_vertices_are_refused(dataset):
    with pytest.raises(ConfigError, match="--split and --task are of vertices"):
        converted(dataset, split=(0.6, 0.2, 0.2))
