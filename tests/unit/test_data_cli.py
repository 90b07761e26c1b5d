"""The command line of `data`: options reach the generators and converters, help has units."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cyclopts import CycloptsError

import batchgnn
from batchgnn.base.errors import ConfigError
from batchgnn.data.cli import app
from batchgnn.store.graph_store import GraphStore

ROOT = Path(batchgnn.__file__).parents[1]


def call(*arguments):
    words = [str(word) for word in arguments]
    return app(words, exit_on_error=False, print_error=False, result_action="return_value")


def test_generate(tmp_path, capsys):
    out = tmp_path / "c.h5"
    options = ("--vertices", 300, "--degree", 6, "--features", 8, "--classes", 3, "--seed", 5)
    call("generate", "communities", out, *options, "--split", 0.5, 0.3, 0.2)
    graph = GraphStore(out)
    assert (graph.num_vertices, graph.num_features, graph.num_classes) == (300, 8, 3)
    assert np.bincount(graph.read_split()[:, 0]).tolist() == [0, 150, 90, 60]
    said = capsys.readouterr().out
    assert f"{out}:" in said
    assert "300 vertices" in said


@pytest.mark.parametrize("kind", ["rmat", "grid"])
def test_generate_other_kinds(kind, tmp_path):
    call("generate", kind, tmp_path / "g.h5", "--vertices", 100, "--classes", 2)
    assert GraphStore(tmp_path / "g.h5").name == kind


def test_generate_digits(tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn (demo extra)")
    call("generate", "digits", tmp_path / "d.h5", "--neighbors", 3)
    assert GraphStore(tmp_path / "d.h5").num_vertices == 1797


def test_convert_npz(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", edge_index=[[0, 1], [1, 0]], x=np.eye(2) * 4, y=[0, 1])
    options = ("--normalize-features", "row", "--split", 0.5, 0.5, 0, "--name", "two")
    call("convert", "npz", tmp_path / "a.npz", tmp_path / "g.h5", *options)
    graph = GraphStore(tmp_path / "g.h5")
    assert graph.name == "two"
    np.testing.assert_array_equal(graph.read_features(), np.eye(2))
    assert "random split 0.5 0.5 0 (train, validation, test), seed 0" in capsys.readouterr().out


def test_convert_edges(tmp_path):
    (tmp_path / "e.csv").write_text("a,b\nx,y\ny,y\n")
    (tmp_path / "v.csv").write_text("id,p,q,l,m\nx,1,2,0,1\ny,3,4,1,1\n")
    call(
        *("convert", "edges", tmp_path / "e.csv", tmp_path / "g.h5", "--source", "b"),
        *("--target", "a", "--vertices", tmp_path / "v.csv", "--features", "q", "p"),
        *("--label", "l", "m", "--arcs", "directed", "--self-loops", "keep"),
    )
    graph = GraphStore(tmp_path / "g.h5")
    assert graph.directed
    assert graph.num_edges == 2
    assert graph.read_features().tolist() == [[2, 1], [4, 3]]
    assert graph.read_labels().tolist() == [[0, 1], [1, 1]]


def test_a_users_error_passes_and_an_unknown_option_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--degree"):
        call("generate", "communities", tmp_path / "g.h5", "--degree", -1)
    with pytest.raises(CycloptsError, match="--vertexes"):
        call("generate", "communities", tmp_path / "g.h5", "--vertexes", 10)
    with pytest.raises(CycloptsError, match="sideways"):
        call("convert", "npz", "a.npz", tmp_path / "g.h5", "--arcs", "sideways")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate",), ("communities", "rmat", "grid", "digits")),
        (("convert",), ("npz", "edges", "ogb")),
        (("generate", "communities"), ("Mean number of neighbours", "default: 10000")),
        (("convert", "edges"), ("--link-features", "--vertices", "must not exist")),
    ],
)
def test_help_says_what_there_is(words, said, capsys):
    call(*words, "--help")
    text = capsys.readouterr().out
    for part in said:
        assert part in text


def test_import_loads_nothing_optional(tmp_path):
    code = (
        "import json, sys, batchgnn.data.cli; "
        "print(json.dumps([m for m in ('sklearn', 'pyarrow', 'mpi4py') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
