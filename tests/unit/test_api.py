"""The Python interface: graphs of other libraries become the same graph store; doctests."""

import doctest
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import networkx
import numpy as np
import pandas
import pytest
import scipy.sparse

import batchgnn
from batchgnn.api import command, graph, guests, run, training
from batchgnn.base import errors
from batchgnn.base.errors import BatchGNNError, DataError
from batchgnn.store.graph_store import GraphStore

matplotlib.use("Agg")

EDGES = np.array([[0, 1, 2, 3], [1, 2, 3, 1]])
NAMES = ["a", "b", "ö", "d"]
FEATURES = np.arange(8, dtype=float).reshape(4, 2)
LABELS = ["red", "blue", None, "red"]
PARTS = ["train", "val", "test", "none"]
WEIGHTS = [1.0, 2, 3, 4]


class Tensor:
    """What a tensor of torch offers."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.values


def from_arrays():
    return batchgnn.Graph(
        edges=EDGES, arcs="once", features=FEATURES, labels=np.array(LABELS, object),
        split={"train": [0], "valid": [1], "test": [2]}, ids=NAMES, weights=WEIGHTS,
    )  # fmt: skip


def from_pandas():
    named = np.array(NAMES)[EDGES]
    vertices = pandas.DataFrame({"id": NAMES, "x": FEATURES[:, 0], "y": FEATURES[:, 1]})
    vertices["label"], vertices["split"] = LABELS, PARTS
    edges = pandas.DataFrame({"source": named[0], "target": named[1], "w": WEIGHTS})
    return batchgnn.from_pandas(edges, vertices, arcs="once", weight="w")


def from_networkx():
    made = networkx.Graph()
    for name, row, label, part in zip(NAMES, FEATURES, LABELS, PARTS, strict=True):
        made.add_node(name, p=row[0], q=row[1], colour=label or "", part=part)
    for u, v, w in zip(*EDGES, WEIGHTS, strict=True):
        made.add_edge(NAMES[u], NAMES[v], w=w)
    labels = np.array(LABELS, object)
    return batchgnn.from_networkx(
        made, features=["p", "q"], split="part", weight="w", labels=labels
    )


def from_scipy():
    half = scipy.sparse.coo_array((WEIGHTS, tuple(EDGES)), (4, 4))
    sparse = scipy.sparse.csr_array(FEATURES)
    return batchgnn.from_scipy(
        half + half.T, features=sparse, labels=np.array(LABELS, object), split=PARTS, ids=NAMES
    )


def from_pyg():
    masks = {f"{part}_mask": Tensor(np.array(PARTS) == part) for part in ("train", "val", "test")}
    data = SimpleNamespace(
        edge_index=Tensor(np.hstack([EDGES, EDGES[::-1]])), x=Tensor(FEATURES), num_nodes=4,
        y=Tensor([1, 0, -1, 1]), edge_weight=Tensor(WEIGHTS * 2), is_undirected=lambda: True,
        **masks,
    )  # fmt: skip
    return batchgnn.from_pyg(data, ids=NAMES, class_names=["blue", "red"])


@pytest.mark.parametrize(
    "make",
    [from_arrays, from_pandas, from_networkx, from_scipy, from_pyg],
    ids=lambda f: f.__name__,
)
def test_a_graph_is_the_same_wherever_it_comes_from(make, tmp_path):
    said = make().write(str(tmp_path / "g.h5"))
    assert said.lines[0] == "4 vertices, 4 undirected edges, 2 features, 2 classes"
    store = GraphStore(tmp_path / "g.h5")
    assert store.class_names == ["blue", "red"]
    assert [name.decode() for name in store.read_names()] == NAMES
    assert store.read_labels().tolist() == [1, 0, -1, 1]
    assert store.read_split().ravel().tolist() == [1, 2, 3, 0]
    np.testing.assert_array_equal(store.read_features(slice(0, 4)), FEATURES)
    source, target, weight = (
        np.concatenate(each) for each in zip(*store.iter_edges(), strict=True)
    )
    ends = np.sort([source, target], axis=0).T.tolist()
    assert sorted(zip(ends, weight, strict=True)) == [
        ([0, 1], 1), ([1, 2], 2), ([1, 3], 4), ([2, 3], 3),
    ]  # fmt: skip


def test_a_directed_graph_stays_one(tmp_path):
    made = networkx.DiGraph([(5, 7), (7, 5), (7, 9)])
    batchgnn.from_networkx(made).write(tmp_path / "n.h5")
    store = GraphStore(tmp_path / "n.h5")
    assert (store.directed, store.num_edges) == (True, 3)
    assert store.read_names().tolist() == [5, 7, 9]
    batchgnn.from_scipy(scipy.sparse.csr_array([[0, 1], [0, 0]])).write(tmp_path / "s.h5")
    assert GraphStore(tmp_path / "s.h5").directed


def test_write_graph_takes_arrays_and_options_of_the_converter(tmp_path):
    said = batchgnn.write_graph(
        tmp_path / "g.h5", EDGES, labels=[0.5, 1, 2, np.nan], arcs="directed", task="regression",
        name="ring", weights=WEIGHTS,
    )  # fmt: skip
    assert said.lines[0] == "4 vertices, 4 directed edges, 0 features, labels are numbers"
    assert GraphStore(tmp_path / "g.h5").name == "ring"


FRAME = {"id": ["a", "b"], "note": ["x", "y"]}
MISTAKES = {
    "an id that no vertex has": (
        lambda: batchgnn.from_pandas({"source": ["a"], "target": ["c"]}, FRAME, arcs="once"),
        "edges, row 0: no vertex has the id c",
    ),
    "features that are text": (
        lambda: batchgnn.from_pandas({"source": ["a"], "target": ["b"]}, FRAME, arcs="once"),
        r"vertices: column note is <U1, needed numbers. Say which columns are features",
    ),
    "vertices without the column of ids": (
        lambda: batchgnn.from_pandas({"source": ["a"], "target": ["b"]}, {"x": [1]}, arcs="once"),
        r"vertices have no column id; found x. Name it: id=\.\.\.",
    ),
    "edges without the column of sources": (
        lambda: batchgnn.from_pandas({"citing": ["a"], "cited": ["b"]}, FRAME, arcs="once"),
        r"edges have no column source; found citing, cited. Name it: source=\.\.\.",
    ),
    "an id twice": (
        lambda: batchgnn.Graph(edges=EDGES, arcs="once", ids=["a", "b", "a", "c"]),
        "graph: ids: rows 0 and 2 are both b?'?a",
    ),
    "a split without a part": (
        lambda: batchgnn.Graph(edges=EDGES, arcs="once", split={"train": [0], "test": [1]}),
        "split has train, test: needed train, val and test",
    ),
    "objects": (
        lambda: batchgnn.Graph(edges=EDGES, arcs="once", features=np.array([[None], [1]])),
        "graph: x is an array of Python objects",
    ),
    "a matrix that is not square": (
        lambda: batchgnn.from_scipy(scipy.sparse.csr_array((2, 3))),
        r"the matrix has shape \(2, 3\), needed a square one",
    ),
    "a vertex that is not there": (
        lambda: batchgnn.Graph(edges=EDGES, arcs="once", features=np.ones((3, 1))),
        "graph: .* 3 ",
    ),
    "a node without the attribute": (
        lambda: batchgnn.from_networkx(networkx.path_graph(2), features=["x"]),
        "node 0 has no attribute x",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake, tmp_path):
    make, said = MISTAKES[mistake]
    with pytest.raises(DataError, match=said):
        make().write(tmp_path / "g.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_raises_its_sentence():
    with pytest.raises(BatchGNNError, match=r"^nowhere does not exist: needed a shard store"):
        batchgnn.train("nowhere", "run", show=False)


def test_the_examples_in_docstrings_are_true(tmp_path, monkeypatch):
    """In one folder and in this order: a run that one module trains is the next one's."""
    monkeypatch.chdir(tmp_path)
    for module in (errors, command, graph, guests, training, run):
        assert doctest.testmod(module).failed == 0, module.__name__


def public_objects():
    """Every public name, and the public names of the classes."""
    for name in batchgnn.PUBLIC:
        each = getattr(batchgnn, name)
        yield name, each
        if isinstance(each, type) and not issubclass(each, Exception):
            for key, value in vars(each).items():
                if key[0] != "_" and (callable(value) or isinstance(value, property)):
                    yield f"{name}.{key}", value


def test_every_public_name_has_an_example():
    named = dict(public_objects())
    assert len(named) > 15
    assert [name for name, each in named.items() if ">>>" not in each.__doc__] == []


def test_the_public_names_are_loaded_when_they_are_used():
    assert set(batchgnn.__all__) == set(batchgnn.PUBLIC) <= set(dir(batchgnn))
    assert all(getattr(batchgnn, name).__doc__ for name in batchgnn.PUBLIC)
    look = "import sys, batchgnn; print({'numpy', 'numba', 'mpi4py', 'h5py'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        batchgnn.trian  # noqa: B018
