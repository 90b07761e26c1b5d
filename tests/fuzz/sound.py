"""What is made once and damaged many times: graph stores, shards and a run on them."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from commands import succeed
from graphs import learnable_graph, shards_of, with_numbers
from shards import store_graph

NUM_SHARDS = 3
SMALL = (
    *("--layers", 2, "--hidden", 8, "--fanouts", 3, 3, "--batch-size", 40),
    *("--threads", 1, "--macrobatch", 1),
)  # fmt: skip


@cache
def place() -> Path:
    """A folder that goes when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix="batchgnn-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def graph_stores() -> tuple[Path, ...]:
    """Directed with weights and names; of several labels; of numbers."""
    names = np.array([f"v{v}" for v in range(60)], "S")
    graphs = (
        learnable_graph(directed=True, num_vertices=60, names=names),
        learnable_graph(multilabel=True, num_vertices=60),
        with_numbers(learnable_graph(num_vertices=60)),
    )
    return tuple(store_graph(graph, place() / f"{n}.h5") for n, graph in enumerate(graphs))


@cache
def shards() -> Path:
    """Three shards of 60 vertices."""
    graph = learnable_graph(directed=True, num_vertices=180)
    return shards_of(graph, place() / "shards", NUM_SHARDS)


@cache
def run() -> Path:
    """A run of two epochs on the shards, with a checkpoint and its best model."""
    made = place() / "run"
    succeed("train", shards(), "--run", made, *SMALL, "--epochs", 2, timeout_s=300)
    return made


def copy_of(made: Path, folder: Path) -> Path:
    """A copy to damage."""
    (shutil.copytree if made.is_dir() else shutil.copy)(made, folder / made.name)
    return folder / made.name
