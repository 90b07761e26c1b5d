"""`predict --pairs` of links: the decoder's score of any two vertices, by the user's own ids."""

import csv
from dataclasses import replace

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from graphs import learnable_graph, shards_of
from mpi.in_folder import trained
from mpi.together import WHOLE, by_vertex, changed, wait_asleep

from batchgnn.base.errors import ConfigError
from batchgnn.modes.open import make_inference
from batchgnn.run.predict import predict
from batchgnn.run.session import load_best, open_session

NUM_VERTICES, NUM_PAIRS = 97, 50
SETTINGS = changed(WHOLE, layers=2, embedding=6, eval_negatives=3, epochs=2, decoder="distmult")
IDS = {
    "numbers": 1000 - np.arange(NUM_VERTICES),
    "text": np.array([f"vé{k}".encode() for k in range(NUM_VERTICES)]),
}


@pytest.fixture(scope="module", params=IDS)
def run(request, shared_folder):
    """A run, the pairs' rows in the graph, their ids, and their scores by the decoder."""
    from mpi4py import MPI

    comm, ids = MPI.COMM_WORLD, IDS[request.param]
    shards, out = (shared_folder / f"{name}-{request.param}" for name in ("shards", "run"))
    if comm.rank == 0:
        graph = replace(learnable_graph(num_vertices=NUM_VERTICES), names=ids)
        shards_of(graph, shards, links=(0.8, 0.1, 0.1))
    wait_asleep()
    with trained(comm, shards, out, SETTINGS):
        pass
    rows = np.random.default_rng(3).integers(0, NUM_VERTICES, (2, NUM_PAIRS))
    with open_session(shards, SETTINGS, comm) as share:
        load_best(share, out)
        found = by_vertex(share, make_inference(share).logits())
        weight = share.task.p["w"].copy()
    z = {k: row for part in comm.allgather(found) for k, row in part.items()}
    z = np.array([z[k] for k in range(NUM_VERTICES)])
    names = np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids
    return out, names[rows], ((z[rows[0]] * weight) * z[rows[1]]).sum(axis=1)


def write(path, source, target):
    """A file of pairs, of the kind that its name says."""
    if path.suffix == ".npz":
        np.savez(path, source=source, target=target)
    elif path.suffix == ".parquet":
        table = {"weight": np.ones(len(source)), "source": source, "target": target}
        parquet.write_table(pyarrow.table(table), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerows([("target", "source"), *zip(target, source, strict=True)])


def read(path):
    """Sources, targets and scores of what was written."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8") as file:
            columns, rows = csv.DictReader(file), []
            rows = list(columns)
            assert columns.fieldnames == ["source", "target", "score"]
        return tuple([row[name] for row in rows] for name in ("source", "target", "score"))
    if path.suffix == ".parquet":
        return tuple(parquet.read_table(path)[n].to_pylist() for n in ("source", "target", "score"))
    with h5py.File(path) as file:
        ends = [file[name][:] for name in ("source", "target")]
        ends = [np.char.decode(e, "utf-8") if e.dtype.kind == "S" else e for e in ends]
        return *(each.tolist() for each in ends), file["score"][:]


@pytest.mark.parametrize("kinds", [(".npz", ".h5"), (".csv", ".csv"), (".parquet", ".parquet")])
def test_scores_stand_beside_the_users_ids(comm, run, shared_folder, kinds):
    out, (source, target), expected = run
    asked = shared_folder / f"asked-{source.dtype.kind}{kinds[0]}"
    said = shared_folder / f"said-{source.dtype.kind}{kinds[1]}"
    if comm.rank == 0:
        write(asked, source.tolist(), target.tolist())
    wait_asleep()
    predict(out, said, pairs=asked)
    if comm.rank == 0:
        *ends, scores = read(said)
        for found, given in zip(ends, (source, target), strict=True):
            assert list(map(str, found)) == list(map(str, given.tolist()))
        np.testing.assert_allclose(np.asarray(scores, float), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_no_pairs_or_one_are_answered(comm, run, shared_folder, count):
    out, (source, target), expected = run
    asked, said = (shared_folder / f"{n}-{count}-{source.dtype.kind}.csv" for n in ("few", "told"))
    if comm.rank == 0:
        write(asked, source[:count].tolist(), target[:count].tolist())
    wait_asleep()
    predict(out, said, pairs=asked)
    if comm.rank == 0:
        assert np.asarray(read(said)[2], float) == pytest.approx(expected[:count], rel=1e-4)


BAD = {
    "strange": ("source,target\n1,no-such\n", r"no vertex of .* is|ids have to be whole numbers"),
    "column": ("source,aim\n1,2\n", "cannot be read .* needed .* source, target"),
    "short": ("source,target\n1\n", "cannot be read"),
    "empty": ("", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_of_pairs_is_refused_in_a_sentence(comm, run, shared_folder, name):
    text, sentence = BAD[name]
    asked = shared_folder / f"bad-{name}.csv"
    if comm.rank == 0:
        asked.write_text(text)
    wait_asleep()
    with pytest.raises(ConfigError, match=sentence):
        predict(run[0], shared_folder / f"none-{name}.csv", pairs=asked)
    assert not (shared_folder / f"none-{name}.csv").exists()
