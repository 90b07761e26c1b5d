"""Mode tensor on edges that are larger than the memory allowed: walked, and given back behind.

Slow: 0.8 GB and 4 GiB of edges are generated, cut and trained on, and deleted.
"""

import json
import shutil

import numpy as np
import psutil
import pytest
from commands import succeed

from batchgnn.base.bytes import parse_bytes
from batchgnn.store.shard_store import ShardStore

MODEL = ["--mode", "tensor", "--model", "gcn", "--layers", 2, "--hidden", 8]
TRAINED = ["--epochs", 2, "--eval-every", 2]
NAMES = ("streamed", "streamed on 2 ranks", "in memory")


@pytest.fixture
def folder(tmp_path):
    """Emptied at once: pytest keeps the folders of the last three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def rmat_shards(folder, vertices, degree, num_shards):
    """Shards of a skewed graph with as many edges as asked for; bytes of their indices."""
    sizes = ["--vertices", vertices, "--degree", degree, "--features", 8, "--classes", 8]
    succeed("data", "generate", "rmat", folder / "graph.h5", *sizes, timeout_s=900)
    cut = ["--shards", num_shards, "--method", "random"]
    succeed("partition", folder / "graph.h5", folder / "shards", *cut, timeout_s=1800)
    (folder / "graph.h5").unlink()
    manifest = ShardStore(folder / "shards").manifest
    return folder / "shards", int(manifest.shard_edges.sum()) * manifest.id_dtype.itemsize


def trained(shards, run, memory, ranks=None):
    """Losses of the epochs; largest peak of a rank, and as planned; mean seconds of an epoch."""
    line = ["train", shards, "--run", run, *MODEL, *TRAINED, "--memory", memory]
    succeed(*line, ranks=ranks, timeout_s=900)
    lines = [json.loads(each) for each in (run / "metrics.jsonl").read_text().splitlines()]
    peak = max(max(each["peak_memory_bytes"]) for each in lines)
    terms = json.loads((run / "result.json").read_text())["plan"]["terms"]
    plan = next(each for each in terms if each["name"] == "peak memory of a rank")
    losses = [each["loss"] for each in lines]
    return losses, peak, plan["predicted"], np.mean([each["seconds"] for each in lines])


@pytest.mark.slow
@pytest.mark.timeout(4000)
@pytest.mark.parametrize(
    ("vertices", "degree", "num_shards", "memory", "of_two", "plenty"),
    [
        pytest.param(1 << 18, 780, 2, "640M", "640M", "4G", id="0.8 GB of edges in 640M"),
        pytest.param(1 << 20, 1024, 8, "2G", "1G", "12G", id="4 GiB of edges in 2G"),
    ],
)
def test_edges_larger_than_the_memory_are_streamed(
    folder, vertices, degree, num_shards, memory, of_two, plenty
):
    """Each rank's resident set stays within what it may use; the numbers are the same bits.

    of_two: for each of two ranks; with 4 GiB of edges, together what one rank alone may use
    """
    if shutil.disk_usage(folder).free < 16 * vertices * degree:
        pytest.skip("the raw edges, sorted ones and the graph store need more disk than is free")
    if psutil.virtual_memory().available < parse_bytes(plenty):
        pytest.skip(f"{plenty} of memory are not free to train without streaming")
    shards, edge_bytes = rmat_shards(folder, vertices, degree, num_shards)
    limit = parse_bytes(memory)
    runs = [(memory, None), (of_two, 2), (plenty, None)]
    found = {
        name: trained(shards, folder / name.replace(" ", "-"), *run)
        for name, run in zip(NAMES, runs, strict=True)
    }
    for name, (each, peak, plan, seconds) in found.items():
        told = f"peak {peak >> 20} MiB, planned {plan >> 20}"
        print(f"\n{name}: {told}; {seconds:.1f} s an epoch; losses {each}", end="")
    print(f"\n{edge_bytes >> 20} MiB of edges")
    losses = {name: each for name, (each, *_) in found.items()}
    peaks = {name: peak for name, (_, peak, *_) in found.items()}
    plans = {name: plan for name, (*_, plan, _) in found.items()}
    assert edge_bytes > limit
    assert peaks["streamed"] <= plans["streamed"] <= limit
    assert peaks["streamed on 2 ranks"] <= plans["streamed on 2 ranks"] <= parse_bytes(of_two)
    assert peaks["in memory"] > edge_bytes
    assert losses["streamed"] == losses["in memory"]
    np.testing.assert_allclose(losses["streamed on 2 ranks"], losses["streamed"], rtol=1e-5)
