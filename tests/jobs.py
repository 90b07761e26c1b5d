"""Training jobs of tests: their ranks while they run, and what they ended with."""

import json
import time

import h5py
import numpy as np
import psutil

from batchgnn.store.checkpoint import checkpoints_in

RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")
TIMED = ("epoch_seconds", "ranks", "versions", "plan")


def rank_of(process):
    """The rank that a process is, None for one that is none, or gone."""
    try:
        environment = process.environ()
    except psutil.Error:
        return None
    return next((int(environment[name]) for name in RANK if name in environment), None)


def ranks_below(launcher):
    """Rank -> process, of those that descend from the process with this id."""
    below = psutil.Process(launcher).children(recursive=True)
    return {rank: process for process in below if (rank := rank_of(process)) is not None}


def wait_while_it_runs(process, condition, timeout_s=200):
    """Wait until something is so; the job that is to bring it about must not end before."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def arrays(path):
    """Name -> array of an HDF5 file."""
    with h5py.File(path) as file:
        return {name: file[name][...] for name in file}


def newest_checkpoint(out):
    """Its folder, None where there is none."""
    return next(reversed(checkpoints_in(out / "checkpoint")), None)


def saved_at(out):
    """(epoch, step) of a run's newest checkpoint, from 0; 0, 0 where there is none."""
    path = newest_checkpoint(out)
    return (0, 0) if path is None else tuple(map(int, path.name.split("-")[1::2]))


def last_checkpoint(out):
    """The arrays of the newest checkpoint of a run."""
    return arrays(newest_checkpoint(out) / "replicated.h5")


def metrics(out):
    """The lines of a run's metrics."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out):
    """The mean loss of each epoch of a run."""
    return [line["loss"] for line in metrics(out)]


def result(out):
    """What a run ended with, apart from how long it took and on what."""
    values = json.loads((out / "result.json").read_text())
    return {k: v for k, v in values.items() if k not in TIMED}


def assert_same_weights(out, whole, rtol=0):
    """The best model and all that the last checkpoint holds; rtol 0: to the last bit."""
    pairs = [
        (arrays(out / "model.h5"), arrays(whole / "model.h5")),
        (last_checkpoint(out), last_checkpoint(whole)),
    ]
    for found, wanted in pairs:
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            if rtol == 0:
                np.testing.assert_array_equal(found[name], array, err_msg=name)
            else:
                distance = np.linalg.norm(found[name] - array) / np.linalg.norm(array)
                assert distance <= rtol, name
